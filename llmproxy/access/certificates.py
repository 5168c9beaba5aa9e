"""Read the subject of a client's certificate, and of the one that a configuration names.

A subject is written as `O=Acme,CN=ci`, in any order; a comma or backslash within a part has a backslash before it. A
word without `=` is a common name. TLS has verified the certificate before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from llmproxy.client_request import ClientCertificate

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "emailAddress",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "serialNumber": "serialNumber",
    "stateOrProvinceName": "ST",
    "userId": "UID",
}
_PART = re.compile(r"\s*((?:[^,\\]|\\.)*)", re.DOTALL)
_SEPARATOR = re.compile(r"\s*=\s*")

Subject = tuple[tuple[tuple[str, str], ...], ...]
"""As Python's `ssl` has it: relative names in order, each of pairs of type and value."""


@lru_cache(maxsize=1024)
def read_certificate(subject: Subject) -> ClientCertificate:
    """Return the certificate with this subject."""
    pairs = [pair for name in subject for pair in name]
    parts = [f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in pairs]
    name = next((value for kind, value in reversed(pairs) if kind == "commonName"), "")
    return ClientCertificate(subject=",".join(parts), parts=frozenset(parts), name=name)


def parts_of(subject: str) -> frozenset[str]:
    """Return the parts of a subject that a configuration names: of a word alone the word itself."""
    if "=" not in subject:
        return frozenset((subject.strip(),))
    return frozenset(_SEPARATOR.sub("=", part, count=1).strip() for part in _split(subject))


def _split(subject: str) -> Sequence[str]:
    parts, at = [], 0
    while at < len(subject):
        match = _PART.match(subject, at)
        assert match is not None, "it matches nothing too"
        parts.append(match[1])
        at = match.end() + 1
    return [part for part in parts if part.strip()]


def _escaped(value: str) -> str:
    return re.sub(r"([,\\])", r"\\\1", value)

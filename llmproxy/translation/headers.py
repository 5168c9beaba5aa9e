"""The headers of translated requests and answers: what crosses from one dialect to another.

Begin reading at `request_headers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from llmproxy.access.credentials import VENDOR_CREDENTIALS
from llmproxy.answer import Answer, Headers, list_dropped
from llmproxy.dialects import catalog

# Headers about the client's SDK or the body that it sent.
_OWN_PREFIXES = ("x-stainless-", "content-")
# Headers of the provider about its body.
_OF_BODY = ("Content-Type", "Content-Length", "Content-Encoding", "Content-MD5", "ETag", "Digest", "Transfer-Encoding")


def request_headers(headers: Headers, key_header: str, key_scheme: str) -> Headers:
    """Return the client's headers without those of its dialect, the credential in `key_header` behind `key_scheme`."""
    own = _kept_here(catalog.own_headers())
    kept = [
        (name, value)
        for name, value in headers.items()
        if not (lower := name.lower()).startswith(own) and lower not in VENDOR_CREDENTIALS
    ]
    translated = Headers(kept)
    translated["Content-Type"] = "application/json"
    translated["Accept-Encoding"] = "identity"
    key = _credential(headers)
    if key:
        translated.add(key_header, key_scheme + key)
    return translated


@lru_cache(maxsize=4)
def _kept_here(own: tuple[str, ...]) -> tuple[str, ...]:
    """Return the beginnings of the names of headers that do not go to a provider of another dialect."""
    return (*_OWN_PREFIXES, *own)


def _credential(headers: Headers) -> str:
    for name in VENDOR_CREDENTIALS:
        value = headers.get(name, "").strip()
        scheme, _, key = value.rpartition(" ")
        if key and scheme.strip().lower() in ("", "bearer"):  # a signature is no key
            return key
    return ""


def answer_headers(answer: Answer, dropped: Sequence[str], content_type: str) -> Headers:
    """Return the headers of a provider's answer for a body of ours, with what was `dropped`."""
    headers = answer.headers.copy()
    for name in _OF_BODY:
        headers.popall(name, None)
    headers["Content-Type"] = content_type
    list_dropped(headers, dropped)
    return headers

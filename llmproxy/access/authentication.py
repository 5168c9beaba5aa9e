"""Find out who a client is: by the keys and tokens that it presents, else by its certificate.

The keys of a file may be replaced at any time. A token may need a key set that is still to be fetched; nothing else is
waited for. Begin reading at `Authentication.identify`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Mapping
from typing import Protocol

from llmproxy.access.keys import KeyRing
from llmproxy.access.presented_keys import (
    KEY_PREFIX,
    presented_keys,
    remove_bearer_key,
    remove_keys,
    sole_bearer_key,
)
from llmproxy.client_key import ClientKey
from llmproxy.errors import Unauthenticated
from llmproxy.exchange import Exchange
from llmproxy.fault_log import FaultLog

log = logging.getLogger(__name__)


class TokenVerifier(Protocol):
    """Verifies tokens (JWT)."""

    def find(self, token: str) -> ClientKey | None:
        """Return whose token it is; None when it is not valid."""

    def needs_fetch(self, token: str) -> bool:
        """Return whether the key of this token may be in a key set that is to be fetched now."""

    async def fetch(self) -> None:
        """Fetch the key set. Raises ProxyError when there is none at all."""


class Authentication:
    """The clients of one configuration.

    `keys` are those of the configuration and its keys file. `subjects` are those of clients with a certificate, by the
    parts of its subject or its common name alone. Both may be replaced. With `certificates_suffice` a certificate that
    is not among them names its client all the same.
    """

    __slots__ = ("_certificates_suffice", "_refusals", "_refused", "_tokens", "keys", "subjects")

    def __init__(
        self,
        keys: KeyRing,
        tokens: TokenVerifier | None = None,
        *,
        subjects: Mapping[frozenset[str], ClientKey] | None = None,
        certificates_suffice: bool = False,
    ) -> None:
        self.keys = keys
        self._tokens = tokens
        self.subjects = subjects or {}
        self._certificates_suffice = certificates_suffice
        self._refusals = FaultLog(log)
        self._refused = 0

    def identify(self, exchange: Exchange) -> Awaitable[None] | None:
        """Set the key of the client and take it out of the request. Raises Unauthenticated.

        Returns something to await when that depends on a key set that has to be fetched first.
        """
        headers, query = exchange.headers, exchange.query
        if (sole := sole_bearer_key(headers, query)) and (key := self._verified(sole)) is not None:
            _name(exchange, key)
            if not remove_bearer_key(headers, sole):
                remove_keys(exchange, [sole])
            return None
        presented = presented_keys(headers, query)
        if self._find(exchange, presented):
            return None
        tokens = self._tokens
        if tokens is not None and any(tokens.needs_fetch(each) for each in presented):
            return self._identify_later(exchange, presented, tokens)
        raise self._refusal(exchange)

    def _find(self, exchange: Exchange, presented: list[str]) -> bool:
        verified: list[str] = []
        found: ClientKey | None = None
        for each in presented:
            key = self._verified(each)
            # One that has expired is nobody else's either.
            if key is not None or each.startswith(KEY_PREFIX) or self.keys.knows(each):
                verified.append(each)
                found = found or key
        if found is None:
            found = self._by_certificate(exchange)
        if found is None:
            return False
        _name(exchange, found)
        remove_keys(exchange, verified)
        return True

    def _verified(self, presented: str) -> ClientKey | None:
        key = self.keys.find(presented)
        return self._tokens.find(presented) if key is None and self._tokens is not None else key

    async def _identify_later(self, exchange: Exchange, presented: list[str], tokens: TokenVerifier) -> None:
        await tokens.fetch()
        if not self._find(exchange, presented):
            raise self._refusal(exchange)

    def _by_certificate(self, exchange: Exchange) -> ClientKey | None:
        certificate = exchange.client.certificate
        if certificate is None:
            return None
        key = self.subjects.get(certificate.parts) or self.subjects.get(frozenset((certificate.name,)))
        if key is not None and key.has_expired(time.time()):
            return None
        if key is None and self._certificates_suffice and certificate.name:
            key = ClientKey(id=certificate.name, name=certificate.name, tenant=f"certificate:{certificate.subject}")
        return key

    def _refusal(self, exchange: Exchange) -> Unauthenticated:
        """Return the error, the same whatever was wrong. Logged once a minute: anybody can send wrong keys."""
        self._refused += 1
        self._refusals.failed(
            logging.WARNING,
            "requests refused without a valid key: %d so far, the last from %s",
            self._refused,
            exchange.client.address,
        )
        return Unauthenticated()


def _name(exchange: Exchange, key: ClientKey) -> None:
    client = exchange.client
    client.key, client.name, client.tenant = key, key.name, key.tenant

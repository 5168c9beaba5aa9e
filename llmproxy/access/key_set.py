"""The public keys of an identity provider, as it publishes them (JWKS, RFC 7517): kept, and fetched anew.

They are fetched at the start, from time to time, and when a token names a key that is not among them; never more often
than once in some seconds, whatever tokens name. An address that does not answer changes nothing. Begin reading at
`KeySet`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmproxy.errors import ProxyError
from llmproxy.fault_log import FaultLog

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Of keys that are published. A secret is not among them."""

_MOST_KEYS = 100
_SMALLEST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A key, and the one algorithm that it is for. `id` is its `kid`, where it has one."""

    algorithm: str
    key: Any
    id: str | None = None


def algorithm_of(key: object) -> str:
    """Return the algorithm that a public key is for. Raises ValueError for a kind that is not used here."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _SMALLEST_RSA_BITS:
            raise ValueError(f"the RSA key has {key.key_size} bits; it needs {_SMALLEST_RSA_BITS}")
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    raise ValueError("the key is neither RSA, nor P-256, nor Ed25519")


def read_key_set(data: bytes) -> list[VerificationKey]:
    """Return the usable keys of a key set; others are passed over. Raises ValueError when it is none, or has none."""
    try:
        content: object = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    entries = content.get("keys") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("it has no list `keys`")
    keys = list(_usable(entries[:_MOST_KEYS]))
    if not keys:
        raise ValueError(f"it has no key for {', '.join(ALGORITHMS)}")
    return keys


def _usable(entries: Sequence[object]) -> Iterator[VerificationKey]:
    import jwt

    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        try:
            key: object = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
            algorithm = algorithm_of(key)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        identifier = entry.get("kid")
        if entry.get("alg", algorithm) in (algorithm, "Ed25519"):
            yield VerificationKey(algorithm=algorithm, key=key, id=identifier if isinstance(identifier, str) else None)


class KeySet:
    """Keys that `fetch` returns as JSON. `where` names them in messages.

    `generation` grows when the keys change. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        where: str,
        *,
        refresh_s: float,
        min_interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = 0
        self._fetch = fetch
        self._where = where
        self._refresh_s = refresh_s
        self._min_interval_s = min_interval_s
        self._clock = clock
        self._data = b""
        self._keys: list[VerificationKey] = []
        self._asked_s = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._faults = FaultLog(log, clock)

    async def start(self) -> None:
        """Begin to fetch; nobody waits for an address that does not answer."""
        self._begin()

    async def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

    def find(self, algorithm: str, identifier: str | None) -> list[VerificationKey]:
        """Return the keys that a token with this header may be signed with: that of its name, or all without one."""
        if self._keys and self._clock() - self._asked_s >= self._refresh_s:
            self._begin()
        return [each for each in self._keys if each.algorithm == algorithm and identifier in (None, each.id)]

    def lacks(self, algorithm: str, identifier: str | None) -> bool:
        """Return whether fetching may find the key of such a token, and is allowed now or under way."""
        if algorithm not in ALGORITHMS or (self._keys and self.find(algorithm, identifier)):
            return False
        return not self._keys or self._is_fetching() or self._may_fetch()

    async def refresh(self) -> None:
        """Wait for the keys, unless they were fetched a moment ago. Raises ProxyError while there are none at all."""
        if self._is_fetching() or self._may_fetch():
            self._begin()
            if self._fetching is not None:
                await asyncio.wait((self._fetching,))
        if not self._keys:
            raise ProxyError(
                "The keys that verify tokens cannot be fetched now. Try again shortly",
                status=503,
                code="key_set_unavailable",
                headers=(("Retry-After", str(max(1, round(self._min_interval_s)))),),
            )

    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    def _may_fetch(self) -> bool:
        return self._clock() - self._asked_s >= self._min_interval_s

    def _begin(self) -> None:
        """Fetch, unless that is under way."""
        if not self._is_fetching():
            self._asked_s = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._load())

    async def _load(self) -> None:
        """Fetch the keys and put them in place of the old ones; keep these when that fails."""
        try:
            data = await self._fetch()
            if data != self._data:
                self._keys = read_key_set(data)
                self._data = data
                self.generation += 1
        except (ProxyError, ValueError) as error:
            kept = f"; the {len(self._keys)} known keys stay" if self._keys else ""
            self._faults.failed(logging.WARNING, "the key set %s cannot be used: %s%s", self._where, error, kept)
        else:
            self._faults.works("the key set %s can be used again", self._where)

"""The client keys of a configuration: found by their digest, and made anew.

Only digests are kept. A generated key is `llmp_ID_SECRET`, where the id is public and the secret has 256 bits, so that
a plain SHA-256 suffices: nobody can try all of them. Begin reading at `KeyRing.find`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llmproxy.access.presented_keys import KEY_PREFIX
from llmproxy.client_key import ClientKey

_ID_LENGTH = 8
_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_SECRET_BITS = 256
_SECRET_LETTERS = string.digits + string.ascii_letters
_SECRET_LENGTH = 43  # digits of base 62 for 256 bits
# Longer ones are no keys; they are refused before they are hashed.
_LONGEST = 1024


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A new key: `text` is for its owner and is kept nowhere, `id` and `sha256` are for the configuration."""

    text: str
    id: str
    sha256: str

    @classmethod
    def generate(cls) -> NewKey:
        """Return a new random key."""
        identifier = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        number, letters = secrets.randbits(_SECRET_BITS), ""
        for _ in range(_SECRET_LENGTH):
            number, digit = divmod(number, len(_SECRET_LETTERS))
            letters += _SECRET_LETTERS[digit]
        text = f"{KEY_PREFIX}{identifier}_{letters}"
        return cls(text=text, id=identifier, sha256=digest_of(text).hex())


class KeyRing:
    """Keys by digest. `keys` are pairs of the SHA-256 of a key and what it allows."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[tuple[bytes, ClientKey]] = ()) -> None:
        self._keys: Mapping[bytes, tuple[bytes, ClientKey]] = {digest: (digest, key) for digest, key in keys}

    def knows(self, presented: str) -> bool:
        """Return whether this is one of the keys, expired or not."""
        return len(presented) <= _LONGEST and digest_of(presented) in self._keys

    def find(self, presented: str) -> ClientKey | None:
        """Return the client key that was presented; None when it is unknown or has expired."""
        if len(presented) > _LONGEST:
            return None
        digest = digest_of(presented)
        stored, key = self._keys.get(digest, (b"", None))
        # The dict compares digests, whose beginnings say nothing of a key. Comparing in constant time costs 0.2 µs.
        if key is None or not hmac.compare_digest(stored, digest):
            return None
        return None if key.expires_s is not None and key.has_expired(time.time()) else key

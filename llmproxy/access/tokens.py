"""Verify the tokens (JWT) of clients, and read from their claims who they are.

Each key verifies one algorithm, which its kind decides and never the token: so neither `alg: none` nor a token that is
signed with a public key as if that were a secret can pass. A verified token is remembered until it expires. PyJWT does
the work, and is imported only where tokens are configured. Begin reading at `Tokens.find`.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmproxy.access.key_set import KeySet, VerificationKey, algorithm_of
from llmproxy.client_key import ClientKey
from llmproxy.limit import Limit
from llmproxy.system_errors import explain_fault

LONGEST_TOKEN = 16 * 1024
"""Those of Entra with many groups have some 8 KB. Longer ones are refused before they are read."""

_MOST_VERIFIED = 10_000
_LONGEST_NAME = 200
_MOST_ENTRIES = 200

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """The requirements for tokens. `audience` may be empty; then tokens for somebody are refused. `leeway_s` is how far
    clocks may differ."""

    issuer: str | None
    audience: Sequence[str]
    leeway_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Names the claims of each value; None for values without a claim. Nested claims have a path with dots."""

    name: str = "sub"
    team: str | None = None
    models: str | None = None
    providers: str | None = None
    limits: str | None = None


def secret_key(secret: str) -> VerificationKey:
    """Return the key of tokens with a shared secret."""
    return VerificationKey(algorithm="HS256", key=secret)


def read_public_key(path: str) -> VerificationKey:
    """Return the public key in a file (PEM). Raises ValueError that names it. Blocks."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} contains no public key (PEM)") from error
    except OSError as error:
        raise ValueError(f"cannot read {path}: {explain_fault(error)}") from error
    return VerificationKey(algorithm=algorithm_of(key), key=key)


class Tokens:
    """Verifies tokens with `keys` and those of `key_set`.

    `grants` says what every token allows, `claims` what else a token may say itself; `read_limits` reads a claim with
    limits and raises ValueError.
    """

    __slots__ = (
        "_claims",
        "_generation",
        "_grants",
        "_jwt",
        "_key_set",
        "_keys",
        "_read_limits",
        "_rules",
        "_verified",
    )

    def __init__(
        self,
        rules: TokenRules,
        keys: Sequence[VerificationKey],
        key_set: KeySet | None,
        *,
        grants: ClientKey,
        claims: ClaimNames,
        read_limits: Callable[[object], tuple[Limit, ...]],
    ) -> None:
        import jwt

        self._jwt = jwt
        self._rules = rules
        self._keys = tuple(keys)
        self._key_set = key_set
        self._grants = grants
        self._claims = claims
        self._read_limits = read_limits
        self._verified: OrderedDict[bytes, ClientKey] = OrderedDict()
        self._generation = 0

    def find(self, token: str) -> ClientKey | None:
        """Return whose token it is; None when it is not valid. 1.5 µs for one that was verified before."""
        if len(token) > LONGEST_TOKEN or token.count(".") != 2:
            return None
        verified = self._verified
        if self._key_set is not None and self._key_set.generation != self._generation:
            self._generation = self._key_set.generation
            verified.clear()  # the key of some may have been withdrawn
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        key = verified.get(digest)
        if key is None:
            key = self._verify(token)
            if key is not None:
                if len(verified) >= _MOST_VERIFIED:
                    verified.popitem(last=False)
                verified[digest] = key
        elif key.has_expired(time.time()):
            del verified[digest]
            return None
        return key

    def needs_fetch(self, token: str) -> bool:
        """Return whether the key set has no key for this token, and may be fetched now."""
        header = self._header(token)
        return header is not None and self._key_set is not None and self._key_set.lacks(*header)

    async def fetch(self) -> None:
        """Fetch the key set. Raises ProxyError when there is none at all."""
        if self._key_set is not None:
            await self._key_set.refresh()

    def _header(self, token: str) -> tuple[str, str | None] | None:
        """Return algorithm and key id that the token names; None when it is no token."""
        if len(token) > LONGEST_TOKEN or token.count(".") != 2 or not token.isascii():
            return None
        try:
            header = self._jwt.get_unverified_header(token)
        except (self._jwt.PyJWTError, ValueError, RecursionError):
            return None
        algorithm, identifier = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not (identifier is None or isinstance(identifier, str)):
            return None
        return algorithm, identifier

    def _verify(self, token: str) -> ClientKey | None:
        header = self._header(token)
        if header is None:
            return None
        algorithm, identifier = header
        keys = [each for each in self._keys if each.algorithm == algorithm]
        if self._key_set is not None:
            keys += self._key_set.find(algorithm, identifier)
        for key in keys:
            claims = self._decode(token, key)
            if claims is not None:
                return self._client(claims)
        return None

    def _decode(self, token: str, key: VerificationKey) -> Claims | None:
        rules = self._rules
        try:
            claims: Claims = self._jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=rules.issuer,
                audience=list(rules.audience) or None,
                leeway=rules.leeway_s,
                options={"require": ["exp", *(["iss"] if rules.issuer else []), *(["aud"] if rules.audience else [])]},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        return claims

    def _client(self, claims: Claims) -> ClientKey | None:
        """Return the client that verified claims describe; None where a claim is not what it should be."""
        names, grants = self._claims, self._grants
        name = _claim(claims, names.name)
        team = grants.team if names.team is None else _claim(claims, names.team, grants.team)
        models = _words(_claim(claims, names.models, grants.models))
        providers = _words(_claim(claims, names.providers, grants.providers))
        if not _is_name(name) or not (team == "" or _is_name(team)) or models is None or providers is None:
            return None
        limits = grants.limits
        try:
            if names.limits is not None and (claimed := _claim(claims, names.limits)) is not None:
                limits = self._read_limits(claimed)
            expires_s = float(claims["exp"]) + self._rules.leeway_s
        except (ValueError, OverflowError):
            return None
        tenant = f"token:{self._rules.issuer or ''}:{name}"
        return replace(
            grants,
            id=name,
            name=name,
            tenant=tenant,
            team=team,
            models=models,
            providers=providers,
            limits=limits,
            expires_s=expires_s,
        )


def _claim(claims: Claims, name: str | None, default: object = None) -> Any:
    """Return the claim `name`, which may be a path; `default` where there is none."""
    if name is None:
        return default
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return default if value is None else value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _words(value: object) -> tuple[str, ...] | None:
    """Return a list of words, or the words of a text; None for anything else, and for none at all: a claim that allows
    nothing must not allow everything."""
    if isinstance(value, str):
        value = value.split() or None
    if value == ():
        return ()
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= _MOST_ENTRIES:
        return None
    return tuple(value) if all(isinstance(each, str) and each for each in value) else None

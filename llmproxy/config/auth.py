"""The section `auth`: the keys and tokens of clients, and what each of them may do.

Values for the hot path are made in `access.py`. Descriptions are written for users, as in `schema.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from llmproxy.access.tokens import read_public_key
from llmproxy.limit_config import BudgetConfig, LimitConfig
from llmproxy.settings import Duration, ExistingFile, Secret, Strict

Mode = Literal["none", "keys", "jwt"]

SHORTEST_KEY = 8
SHORTEST_SECRET = 32  # RFC 7518, 3.2: as long as the hash
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _one_or_several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _schema_of(one: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}]})


def _time(value: object) -> object:
    """Parse `2027-01-31` or `2027-01-31T12:00:00Z` into seconds since the epoch; without a zone it is UTC."""
    if not isinstance(value, str):
        raise ValueError("must be a time such as 2027-01-31 or 2027-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"invalid time: {value!r}; write 2027-01-31 or 2027-01-31T12:00:00Z (UTC)") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def write_time(value: float | None) -> str:
    """Return the form of a time that `expires` takes."""
    return "" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("use letters, digits, `-` and `_`, at most 64")
    return value


def _sha256(value: str) -> str:
    digest = value.strip().lower()
    if not _SHA256.fullmatch(digest):
        raise ValueError("must be 64 hexadecimal digits; `llmproxy keys new NAME` prints the line")
    return digest


def _no_line_break(value: str) -> str:
    if not value.isprintable():
        raise ValueError("contains characters that cannot be printed")
    return value


Time = Annotated[
    float,
    BeforeValidator(_time),
    PlainSerializer(write_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d"}),
]
ANY_TEXT = WithJsonSchema({"type": "string", "format": "password", "writeOnly": True})  # a variable may be short
Modes = Annotated[list[Mode] | None, BeforeValidator(_one_or_several), _schema_of({"enum": list(get_args(Mode))})]
Words = Annotated[list[str], BeforeValidator(_one_or_several), _schema_of({"type": "string"})]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_line_break)]


class Grants(Strict):
    """The rights, limits and budgets of a client."""

    team: Name | None = Field(default=None, description="Its team, for limits and reports.", examples=["search"])
    models: list[str] = Field(
        default=[],
        description="The only models that it may use, by the name that clients send; * matches anything.",
        examples=[["gpt-*"]],
    )
    providers: list[str] = Field(default=[], description="The only providers that its requests may go to.")
    relay: bool = Field(
        default=False,
        description="With models or providers: it may call paths too on which the model is not known, such as files.",
    )
    limits: list[LimitConfig] = Field(default=[], description="Its own limits, beside those of `limits`.")
    budgets: list[BudgetConfig] = Field(default=[], description="Its own budgets, beside those of `budgets`.")
    tags: dict[str, str] = Field(
        default={}, description="A note of your own about it.", examples=[{"cost_center": "42"}]
    )


class KeyConfig(Grants):
    """One client key. `key`, `sha256` or `subject` is required."""

    name: Name = Field(description="Name of the client in logs, pages and limits.", examples=["ci"])
    key: Annotated[Secret, Field(min_length=SHORTEST_KEY), ANY_TEXT] | None = Field(
        default=None,
        description="The key itself, from a variable.",
        examples=["${CI_KEY}"],
    )
    id: Annotated[str, AfterValidator(_id)] | None = Field(
        default=None, description="The public part of a key that `llmproxy keys new` made.", examples=["h3k9m2pq"]
    )
    sha256: Annotated[str, AfterValidator(_sha256)] | None = Field(
        default=None, description="The SHA-256 of such a key, in place of the key.", examples=["0" * 64]
    )
    subject: str | None = Field(
        default=None,
        min_length=1,
        description="Subject of the client's certificate (server.tls.client_ca), whole or its common name alone.",
        examples=["O=Acme,CN=ci"],
    )
    expires: Time | None = Field(
        default=None,
        description="Time from which it is refused: 2027-01-31, or 2027-01-31T12:00:00Z.",
        examples=["2027-12-31"],
    )

    @model_validator(mode="after")
    def _has_a_proof(self) -> KeyConfig:
        if self.key is None and self.sha256 is None and self.subject is None:
            raise ValueError("needs `key: ${VARIABLE}`, or the `id` and `sha256` that `llmproxy keys new NAME` prints")
        if self.key is not None and self.sha256 is not None:
            raise ValueError("has both `key` and `sha256`; keep one of them")
        return self


class ClaimsConfig(Strict):
    """The claims of a token that hold the name, team and rights of its client. For nested claims write a path:
    realm_access.team."""

    name: str = Field(default="sub", min_length=1, description="Claim with the name of the client; required in tokens.")
    team: str | None = Field(default=None, min_length=1, description="Claim with its team.", examples=["team"])
    models: str | None = Field(
        default=None,
        min_length=1,
        description="Claim with its models (a list, or words), in place of `models`.",
        examples=["models"],
    )
    providers: str | None = Field(
        default=None,
        min_length=1,
        description="Claim with its providers, in place of `providers`.",
        examples=["providers"],
    )
    limits: str | None = Field(
        default=None,
        min_length=1,
        description="Claim with a list of limits as in `limits`, in place of those here.",
        examples=["limits"],
    )


class JwtConfig(Grants):
    """Tokens (JWT) of clients. One of `secret`, `public_key_file` and `jwks_url` is required."""

    issuer: str | None = Field(
        default=None,
        min_length=1,
        description="The issuer (iss) of all tokens.",
        examples=["https://login.example.com/"],
    )
    audience: Words = Field(
        default=[],
        description="Whom tokens are for (aud): one of these. Required with jwks_url.",
        examples=[["llmproxy"]],
    )
    secret: Annotated[Secret, Field(min_length=SHORTEST_SECRET), ANY_TEXT] | None = Field(
        default=None,
        description="Shared secret of tokens with HS256.",
        examples=["${JWT_SECRET}"],
    )
    public_key_file: ExistingFile | None = Field(
        default=None,
        description="Public key (PEM) of tokens with RS256, ES256 or EdDSA; its kind decides.",
        examples=["./token-key.pem"],
    )
    jwks_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]",
        description="URL of the public keys (JWKS) of tokens with RS256, ES256 or EdDSA.",
        examples=["https://login.example.com/.well-known/jwks.json"],
    )
    jwks_refresh: Duration = Field(
        default=3600.0, ge=10, description="How often the keys at that URL are fetched again."
    )
    jwks_min_interval: Duration = Field(
        default=30.0, ge=1, description="Shortest time between two fetches, however many unknown keys tokens name."
    )
    leeway: Duration = Field(default=30.0, le=600, description="How far clocks may differ.")
    claims: ClaimsConfig = Field(default=ClaimsConfig(), description="Which claims of a token say what.")

    @model_validator(mode="after")
    def _has_a_key(self) -> JwtConfig:
        if self.secret is None and self.public_key_file is None and self.jwks_url is None:
            raise ValueError("needs `secret`, `public_key_file` or `jwks_url`, to verify tokens with")
        if self.public_key_file is not None:
            read_public_key(self.public_key_file)
        if self.jwks_url is not None and not (self.issuer and self.audience):
            raise ValueError("needs `issuer` and `audience` beside jwks_url; its keys sign tokens for others too")
        return self


class AuthConfig(Strict):
    """Client authentication. Without it everybody who reaches the proxy may use it."""

    mode: Modes = Field(
        default=None,
        description="none, keys or jwt, or a list of several. By default what is configured here.",
        examples=["keys"],
    )
    keys: list[KeyConfig] = Field(default=[], description="Client keys; `llmproxy keys new NAME` makes one.")
    keys_file: str | None = Field(
        default=None,
        min_length=1,
        description="File with more keys, below `keys:` as here. It is read again when it changes.",
        examples=["./keys.yaml"],
    )
    jwt: JwtConfig | None = Field(default=None, description="Tokens that clients send in place of a key.")

    @model_validator(mode="after")
    def _modes_have_their_settings(self) -> AuthConfig:
        modes = self.mode or []
        if self.mode == []:
            raise ValueError("mode is empty; write keys, jwt, or none to let everybody in")
        if "none" in modes and len(modes) > 1:
            raise ValueError("mode `none` stands alone")
        if "keys" in modes and not (self.keys or self.keys_file):
            raise ValueError("mode `keys` needs `keys` or `keys_file`; `llmproxy keys new NAME` makes a key")
        if "jwt" in modes and self.jwt is None:
            raise ValueError("mode `jwt` needs the section `jwt`")
        return self

    @property
    def uses_keys(self) -> bool:
        """Return whether clients may come in with keys."""
        return "keys" in self.mode if self.mode is not None else bool(self.keys or self.keys_file)

    @property
    def uses_tokens(self) -> bool:
        """Return whether clients may come in with tokens."""
        return "jwt" in self.mode if self.mode is not None else self.jwt is not None

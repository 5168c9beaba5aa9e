"""Bedrock: all its models by Converse, Claude by InvokeModel too, and its forms of OpenAI's and Anthropic's APIs.

Requests are signed (`sigv4.py`) with what `aws_credentials.py` finds, or carry a Bedrock API key. Sources:
docs.aws.amazon.com/bedrock/latest/APIReference and .../userguide (api-keys, inference-profiles-use). Begin reading at
`Bedrock`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import ClassVar

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.encode_context import Options
from llmproxy.errors import BadRequest
from llmproxy.providers.address import split_base_url
from llmproxy.providers.aws_credentials import AwsCredentials, configured_region
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.providers.bedrock_tokens import ask_for_count
from llmproxy.providers.call_forms import entered
from llmproxy.providers.forwarding import offers_credential
from llmproxy.providers.refreshed_token import RefreshedToken
from llmproxy.providers.refreshing import RefreshingProvider
from llmproxy.providers.sigv4 import Keys, Signer
from llmproxy.settings import Secret
from llmproxy.target import Target, UpstreamRequest

log = logging.getLogger(__name__)

_BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = r"^[a-z]{2,}(?:-[a-z0-9]+)+$"
_REGION_IN_HOST = re.compile(r"(?:^|\.)bedrock-(?:runtime|mantle)(?:-fips)?\.([a-z0-9-]+)\.")
_MANTLE = "bedrock-mantle"
_NATIVE = frozenset({"converse", "invoke"})
_CLAUDE = frozenset({"messages"})
_OPENAI = frozenset({"chat", "responses", "openai"})
# Makers of models, as they stand at the beginning of ids, also behind the geography of an inference profile.
_MAKERS = (
    *("ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "luma", "meta", "minimax", "mistral", "moonshot"),
    *("moonshotai", "nvidia", "openai", "qwen", "stability", "twelvelabs", "writer", "zai"),
)
_GEOGRAPHIES = ("apac", "au", "ca", "eu", "global", "jp", "us", "us-gov")
_SKEW_S = 240.0
# The digest of a larger body takes a millisecond and more.
_LARGE_BYTES = 512 * 1024
_CLOCK_ERRORS = ("InvalidSignatureException", "RequestExpired", "SignatureDoesNotMatch", "RequestTimeTooSkewed")
_KEY_ERRORS = ("ExpiredToken", "UnrecognizedClient", "InvalidClientTokenId", "InvalidSignature")


class Bedrock(RefreshingProvider[Keys]):
    """Models at Amazon Bedrock. Models are named by their ids, inference profiles or ARNs."""

    class Config(HttpProvider.Config):
        """The keys of a Bedrock provider."""

        services: ClassVar[Mapping[str, Service]] = {
            "bedrock": Service(
                origin="https://bedrock-runtime.us-east-1.amazonaws.com",
                root="",
                other_names=("aws", "amazon"),
                speaks=_NATIVE | _CLAUDE,
                by_model=((r"(?i).*claude", _NATIVE | _CLAUDE), ("", _NATIVE)),
                embeds=(
                    (r"titan-embed-text-v2", "titan-2"),
                    (r"titan-embed", "titan"),
                    (r"cohere\.embed-v4", "cohere-4"),
                    (r"cohere\.embed", "cohere"),
                ),
                patterns=(
                    *(f"{maker}.*" for maker in _MAKERS),
                    *(f"{geography}.*.*" for geography in _GEOGRAPHIES),
                    "arn:aws*:bedrock:*",
                ),
                options=Options(),
                key_env=_BEARER,
                base_url_env="AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
                variables={
                    "region": _REGIONS,
                    "profile": ("AWS_PROFILE",),
                    "access_key_id": ("AWS_ACCESS_KEY_ID",),
                    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
                    "session_token": ("AWS_SESSION_TOKEN",),
                },
                credentials=("access_key_id", "role_arn", "profile"),
                without_key="where AWS's tools look",
                usual=(
                    *(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", region) for region in _REGIONS),
                    *(("AWS_PROFILE", region) for region in _REGIONS),
                ),
            )
        }

        region: str | None = Field(
            default=None,
            pattern=_REGION,
            examples=["us-east-1"],
            description="The region of AWS; by default that of `base_url`, AWS_REGION, AWS_DEFAULT_REGION or the "
            "profile. An API key alone is used in us-east-1.",
        )
        profile: str | None = Field(
            default=None,
            min_length=1,
            description="A profile in AWS's own configuration. Without credentials here, all places are searched in "
            "which AWS's tools look: environment, profiles, single sign-on, web identity, container, machine.",
        )
        access_key_id: str | None = Field(
            default=None,
            pattern=r"^[!-~]+$",
            examples=["AKIAIOSFODNN7EXAMPLE"],
            description="The id of an access key, with `secret_access_key`.",
        )
        secret_access_key: Secret | None = Field(default=None, description="The secret of that access key.")
        session_token: Secret | None = Field(default=None, description="The session of a temporary access key.")
        role_arn: str | None = Field(
            default=None,
            pattern=r"^arn:\S+$",
            examples=["arn:aws:iam::123456789012:role/bedrock"],
            description="A role to assume with the credentials that were found.",
        )
        external_id: str | None = Field(default=None, description="What the owner of that role asks for.")
        _region: str | None = PrivateAttr(default=None)

        @model_validator(mode="after")
        def _complete_key(self) -> Bedrock.Config:
            has_id, has_secret = self.access_key_id is not None, _text(self.secret_access_key) is not None
            if has_id != has_secret:
                lacking = "secret_access_key" if has_id else "access_key_id"
                raise ValueError(f"has half of an access key: {lacking} is missing")
            if self.external_id and not self.role_arn:
                raise ValueError("external_id belongs to a role; set role_arn too")
            if self.keys and self.role_arn:
                raise ValueError("has several credentials: api_key and role_arn; keep one")
            return self

        @model_validator(mode="after")
        def _has_region(self) -> Bedrock.Config:
            needed = self.enabled and not self.keys
            try:
                self._region = region_of(self)  # once, as the search may read files
            except ValueError:
                if needed:
                    raise
            if needed and self._region is None:
                raise ValueError("region is missing; set it, or AWS_REGION, or a region in the profile")
            return self

        @property
        def used_region(self) -> str:
            """Return the region that is called."""
            return self._region or "us-east-1"

        def address(self) -> str:
            region = self.used_region
            return self.base_url or f"https://bedrock-runtime.{region}.{_domain(region)}"

    holds_bodies = True

    def __init__(self, config: Config) -> None:
        region = config.used_region
        super().__init__(config.model_copy(update={"base_url": config.address()}))
        self._speak_as_addressed(config)
        mantle = self.origin.host.startswith(f"{_MANTLE}.")
        self._signer = Signer(_MANTLE if mantle else "bedrock", region)
        key = next(iter(config.keys), None) or (None if _names_aws(config) else os.environ.get(_BEARER, "").strip())
        self.forwards_credentials = config.auth == "passthrough"
        if key:
            self._credential = ("Authorization", f"Bearer {key}")
            self.secrets = (*self.secrets, key)
            return
        self._source = AwsCredentials(
            region=region,
            keys=_own_keys(config),
            profile=config.profile,
            role_arn=config.role_arn,
            external_id=config.external_id,
        )
        self._token = RefreshedToken(config.name, self._source.fetch)

    def _speak_as_addressed(self, config: Config) -> None:
        """Choose the API by `base_url`: below `/anthropic` Anthropic's, below `/openai` and at mantle OpenAI's."""
        path = f"{self._base}/"
        native = True
        if "/anthropic/" in path:
            native, speaks, root = False, _CLAUDE, "/v1"
        elif "/openai/" in path or self.origin.host.startswith(f"{_MANTLE}."):
            native, speaks, root = False, _OPENAI, "/v1"
        if native:
            self._form = "invoke"
            self.translate_to = self.translate_to or ("converse", "messages")
            return
        self._root = "" if path.endswith("/v1/") else root
        self._headers = (("anthropic-version", "2023-06-01"),) if speaks is _CLAUDE else ()
        if config.dialects is None:
            self.speaks, self._by_model = speaks, ()

    def _use(self, token: Keys) -> None:
        self._hide(*(each for each in (token.secret, token.session) if each))

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        endpoint = request.endpoint
        if self._form and endpoint is not None and _counts(endpoint):
            self._count(prepared, request, endpoint.dialect)
        if self._token is None or self._forwards_credential(request):
            return prepared
        keys, body = self._token.token, prepared.body
        if keys is None:  # nobody has waited for `ready`: `explain` asks where this would go
            return prepared
        if body is not None and not isinstance(body, Body):
            raise BadRequest("A request to Bedrock is signed, so its body must be held: this path is unknown")
        if body is not None and len(body.raw) > _LARGE_BYTES:
            prepared.complete = partial(asyncio.to_thread, self._sign, prepared, keys)
        else:
            self._sign(prepared, keys)
        return prepared

    def _count(self, prepared: UpstreamRequest, request: ClientRequest, client: Dialect) -> None:
        """Turn a request for a number of tokens into Bedrock's own. Raises BadRequest for one without a model."""
        body, own = request.held, catalog.by_name(self._form)
        assert own is not None and own.form is not None, "the form is a dialect"
        if body.model is None:
            raise BadRequest("The request has no model. Add the field `model`", param="model")
        invoked = entered(own.form, body, prepared.headers)
        ask_for_count(prepared, body.model, invoked, own, client, request.request_id)

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest | None:  # type: ignore[override]
        """Return nothing where its own API is called: that lists models at another address."""
        if self._form:
            return None
        listing = super().list_models(request)
        token = None if self._token is None else self._token.token
        if token is not None and "Authorization" not in listing.headers:
            self._sign(listing, token)
        return listing

    def _sign(self, prepared: UpstreamRequest, keys: Keys) -> None:
        raw = prepared.body.raw if isinstance(prepared.body, Body) else b""
        origin = prepared.origin.authority
        self._signer.sign(keys, prepared.method, origin, prepared.target, prepared.headers, raw)

    def _forwards_credential(self, request: ClientRequest) -> bool:
        """Tell whether the client's own key goes on: where that is asked for, or where there is no other."""
        if not offers_credential(request.headers):
            return False
        return self._auth == "passthrough" or (self._fault is not None and self._credential is None)

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "auth": self._auth}

    def _refuses(self, answer: Answer) -> bool:
        """Look for other keys where AWS refuses these, and say when it is the clock."""
        kind = answer.headers.get("x-amzn-ErrorType", "")
        if answer.status == 400 and not kind.startswith((*_KEY_ERRORS, *_CLOCK_ERRORS)):
            return False
        skew_s = _skew_s(answer.headers)
        if abs(skew_s) > _SKEW_S and (kind.startswith(_CLOCK_ERRORS) or not kind):
            way = "ahead of" if skew_s > 0 else "behind"
            log.error(
                "provider %r: AWS refused a signature, and the clock of this machine is %.0f s %s AWS's; set it right",
                self.name,
                abs(skew_s),
                way,
            )
            return False
        refused = kind.startswith(_KEY_ERRORS)
        if refused:
            self._source.forget()
        return refused


def _counts(endpoint: Endpoint) -> bool:
    """Tell whether a call asks for the number of tokens in a request of messages."""
    count = endpoint.dialect.token_count
    return endpoint.capability in _CLAUDE and count is not None and count.path == endpoint.path


def region_of(config: Bedrock.Config) -> str | None:
    """Return the region of a provider, from the configuration, its address, the environment or the profile. Raises
    ValueError where AWS's own configuration is needed for it and cannot be read."""
    if config.region:
        return config.region
    if config.base_url and (found := _REGION_IN_HOST.search(split_base_url(config.base_url).host)):
        return found[1]
    named = next((value for name in _REGIONS if (value := os.environ.get(name, "").strip())), None)
    return named or configured_region(config.profile)


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _text(secret: SecretStr | None) -> str | None:
    return (secret.get_secret_value().strip() or None) if secret is not None else None


def _names_aws(config: Bedrock.Config) -> bool:
    """Tell whether the configuration names credentials that sign."""
    return bool(config.profile or config.access_key_id or config.role_arn)


def _own_keys(config: Bedrock.Config) -> Keys | None:
    secret = _text(config.secret_access_key)
    if config.access_key_id is None or secret is None:
        return None
    return Keys(text=config.access_key_id, secret=secret, session=_text(config.session_token), ends_s=None)


def _skew_s(headers: Headers) -> float:
    """Return for how many seconds our clock is ahead of the one that wrote `Date`; 0 where nobody knows."""
    try:
        return time.time() - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return 0.0

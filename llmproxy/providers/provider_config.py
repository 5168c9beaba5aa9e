"""The configuration of providers: the keys that all have, and those of providers that are reached over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator

from llmproxy.dialects import catalog
from llmproxy.pricing.price_config import PriceConfigs
from llmproxy.providers.address import split_base_url
from llmproxy.providers.service import Service
from llmproxy.settings import DurationLimit, ExistingFile, Secret, Strict, Whole
from llmproxy.target import Timeouts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[\x21-\x7e]+")


def _known_capability(name: str) -> str:
    known = catalog.capabilities()
    if name not in known:
        raise ValueError(f"{name!r} is not a dialect; use {', '.join(known)}")
    return name


Capability = Annotated[
    str, AfterValidator(_known_capability), WithJsonSchema({"type": "string", "enum": list(catalog.capabilities())})
]


class ProviderConfig(Strict):
    """The keys that every provider has."""

    name: str = Field(description="Name of the provider in `provider/model`, in paths, metrics and logs.")
    type: str = Field(description="Type of provider; `path/file.py:Class` for one of your own.")
    enabled: bool = Field(default=True, description="`false` disables it.")
    priority: Whole = Field(default=1, description="Order among providers of the same model: the lowest number first.")
    models: list[str] | None = Field(
        default=None,
        description="Models it answers, exact or with `*`; by default the usual ones of its type. "
        "`name/model` always reaches it.",
    )
    prices: PriceConfigs = Field(
        default={},
        description="Prices of its models in USD per million tokens, as the section `prices`, which they precede.",
        examples=[{"gpt-4o*": {"input": 2.75, "output": 11.0}}],
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_segment(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"invalid name: {name!r}; use letters, digits, `-`, `_` and `.`, and begin with a letter or digit"
            )
        return name

    @field_validator("models")
    @classmethod
    def _models_have_names(cls, models: list[str] | None) -> list[str] | None:
        if models is not None and not all(model.strip() for model in models):
            raise ValueError("contains an empty model name; remove it")
        return models


_TIMEOUTS = Timeouts()


class TimeoutsConfig(Strict):
    """How long the provider may take; `none` is no limit."""

    connect: DurationLimit = Field(default=_TIMEOUTS.connect_s, gt=0, description="Name resolution, TCP and TLS.")
    first_byte: DurationLimit = Field(
        default=_TIMEOUTS.first_byte_s, gt=0, description="From the end of the request to the first byte of the answer."
    )
    idle: DurationLimit = Field(default=_TIMEOUTS.idle_s, gt=0, description="Longest pause within an answer.")
    total: DurationLimit = Field(default=_TIMEOUTS.total_s, gt=0, description="The whole call.")


class HttpProviderConfig(ProviderConfig):
    """The keys of every provider with an HTTP address."""

    services: ClassVar[Mapping[str, Service]]

    base_url: str | None = Field(default=None, description="Its address; by default the usual one of its type.")
    api_key: Secret | None = Field(default=None, description="Its key; without one the client's own key is forwarded.")
    api_key_env: str | None = Field(default=None, description="Environment variable with the key.")
    api_keys: list[Secret] = Field(
        default=[],
        description="More keys. They are used in turn; one that the provider refuses (401, 402, 403, 429) is left "
        "out for a while, and the same request goes on with the next one.",
    )
    auth: Literal["inject", "passthrough"] = Field(
        default="inject",
        description="`inject`: the key replaces the client's; `passthrough`: the client's key, else this one.",
    )
    dialects: list[Capability] | None = Field(
        default=None,
        min_length=1,
        description="Its dialects, if not the usual ones of its type (`openai`: the rest of that API). "
        "Other requests are translated into the first one of this list that has a translation.",
    )
    default_max_tokens: Whole | None = Field(
        default=None,
        gt=0,
        description="Token limit of an answer, when its dialect requires one and a translated request has none; "
        "by default the longest answer of the model, up to 32000.",
    )
    system_turns: bool | None = Field(
        default=None,
        description="Whether it accepts system messages after the first message of a translated request; otherwise "
        "they are sent as the user's. By default its type and model decide.",
    )
    prefill: Literal["auto", "refuse", "continue"] = Field(
        default="auto",
        description="A last message of the assistant, for a model that refuses it: `continue` puts a message of "
        "the user behind it, `refuse` answers 400; `auto`: `continue` for clients of the Responses API.",
    )
    prompt_cache: Literal["auto", "always", "off"] = Field(
        default="auto",
        description="Prompt-cache marks (`cache_control`) in requests that are translated into messages: `auto` "
        "when they declare tools or hold an answer, `always`, or `off`.",
    )
    structured_output: Literal["native", "tool"] | None = Field(
        default=None,
        description="`tool`: the provider has no structured output; translated requests force a tool call. "
        "By default its type decides.",
    )
    timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig, description="How long it may take.")
    ca_file: ExistingFile | None = Field(default=None, description="Additional trusted certificates (PEM).")
    proxy: str | None = Field(
        default="auto",
        description="Outgoing proxy, a URL; `auto`: from HTTPS_PROXY and NO_PROXY; `none`: direct.",
    )

    @classmethod
    def service(cls, type_: str) -> Service:
        """Return the row of a type; a custom class with a single row may use any type name."""
        return cls.services.get(type_) or next(iter(cls.services.values()))

    def address(self) -> str:
        """Return the URL that is called, for people to read: `base_url`, or the usual one."""
        service = self.service(self.type)
        return self.base_url or f"{service.origin}{service.root}"

    @field_validator("base_url")
    @classmethod
    def _base_url_is_an_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None:
            split_base_url(url)
        elif "type" in info.data and cls.service(info.data["type"]).origin is None:
            raise ValueError(f"is missing; the type {info.data['type']!r} has no default address")
        return url

    @field_validator("api_key")
    @classmethod
    def _key_is_one_word(cls, key: SecretStr | None) -> SecretStr | None:
        """Strip white space that a file or the clipboard added; treat an empty key as none."""
        secret = key.get_secret_value().strip() if key else ""
        if secret and not _KEY.fullmatch(secret):
            raise ValueError("contains white space or other invalid characters; copy the key again")
        return SecretStr(secret) if secret else None

    @field_validator("api_keys")
    @classmethod
    def _keys_are_words(cls, keys: list[SecretStr]) -> list[SecretStr]:
        stripped = [cls._key_is_one_word(key) for key in keys]
        if not all(stripped):
            raise ValueError("contains an empty key; remove it")
        return [key for key in stripped if key is not None]

    @property
    def keys(self) -> list[str]:
        """Return all its keys."""
        keys = [*([self.api_key] if self.api_key else []), *self.api_keys]
        return list(dict.fromkeys(key.get_secret_value() for key in keys))

    @field_validator("api_key_env")
    @classmethod
    def _env_is_a_variable(cls, variable: str | None) -> str | None:
        if variable is not None and not _VARIABLE.fullmatch(variable):
            raise ValueError("must be the name of an environment variable; write the key itself in `api_key`")
        return variable

    @field_validator("proxy")
    @classmethod
    def _proxy_is_an_address(cls, proxy: str | None) -> str | None:
        if proxy is None or proxy.strip().lower() in ("none", "off", ""):
            return None
        if proxy != "auto" and not re.match(r"https?://[^/]", proxy, re.IGNORECASE):
            raise ValueError("invalid proxy; write http://host:port, `auto` or `none`")
        return proxy

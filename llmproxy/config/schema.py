"""The sections of the configuration file and their keys, each with what it is for.

The descriptions are what `generate-config`, the JSON Schema and error messages show, so they are written for users.
Entries of `providers` and `middlewares` are read into the `Config` of their own class, see `components.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from llmproxy.providers.base import ProviderConfig
from llmproxy.settings import Duration, Secret, Size, SizeLimit, Strict, Whole, parse_size
from llmproxy.stores.base import StoreConfig

LEVELS = ("debug", "info", "warning", "error", "critical")
_LEVEL_WORDS = {"warn": "warning", "fatal": "critical"}


def _level(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return _LEVEL_WORDS.get(word, word) if isinstance(word, str) else word


Level = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_level)]


class Server(Strict):
    """Where the proxy listens, and how much it holds for how long."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address or host name to listen on. 0.0.0.0 (or ::) listens on every interface of the machine.",
    )
    port: Whole = Field(default=3000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_size: SizeLimit = Field(
        default=parse_size("64MB"),
        gt=0,
        description="Longest request body that is held to be read (413 beyond it), or none.",
    )
    max_upload_size: SizeLimit = Field(
        default=None,
        gt=0,
        description="Longest request body that only passes through, such as a file that is uploaded, or none.",
    )
    max_held_bytes: Size = Field(
        default=parse_size("512MB"),
        gt=0,
        description="What all requests and answers together may hold in memory; beyond it new ones get 503.",
    )
    shutdown_timeout: Duration = Field(
        default=30.0, description="How long exchanges may go on after a signal to stop; then they end with an error."
    )
    keepalive_timeout: Duration = Field(
        default=75.0, gt=0, description="How long a client's connection may stay open without a request."
    )
    header_timeout: Duration = Field(
        default=30.0, gt=0, description="How long a client may take to send the head of a request."
    )

    body_timeout: Duration = Field(
        default=60.0, gt=0, description="How long a client may send nothing in the middle of a request body."
    )

    admin_key: Secret | None = Field(
        default=None,
        min_length=8,
        description="Whoever sends this as a bearer token may change things (empty the cache) from other machines too.",
        examples=["${LLMPROXY_ADMIN_KEY}"],
    )

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        host = value.strip().removeprefix("[").removesuffix("]")
        try:
            known = host.encode("idna")
        except UnicodeError:
            known = b""
        if not known or "/" in host or host.count(":") == 1 or " " in host:
            raise ValueError(f"invalid address or host name: {value!r}; the port belongs in `port`")
        return host


class Target(Strict):
    """One place that a model can be answered by."""

    provider: str = Field(min_length=1, description="The name of a provider.", examples=["openai"])
    model: str | None = Field(
        default=None,
        min_length=1,
        description="What that provider calls the model; without it, it gets the name that the client sent.",
        examples=["gpt-4o-mini"],
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return split_target(value) if isinstance(value, str) else value


def split_target(text: str) -> dict[str, str]:
    """The short form of a target, `provider/model` or `provider`, as its keys."""
    provider, slash, model = text.partition("/")
    return {"provider": provider, "model": model} if slash else {"provider": provider}


class Model(Strict):
    """What clients call a model, and who answers it."""

    name: str = Field(
        min_length=1,
        description="The model name that clients send. * stands for anything, as in gpt-*.",
        examples=["fast"],
    )
    targets: list[Target] = Field(
        min_length=1,
        description="Who answers, one after the other until one does. In short: openai/gpt-4o-mini.",
    )


class Translation(Strict):
    """What happens where client and provider speak different dialects. In short: `translation: strict`."""

    strict: bool = Field(
        default=False,
        description="Refuse (400) what the provider lacks, instead of dropping it and naming it in x-llmproxy-dropped.",
    )
    fetch_media: bool = Field(
        default=False,
        description="Fetch images and documents that clients name by URL, for providers that take them only inside the "
        "request; from public addresses only.",
    )
    max_media_size: Size = Field(default=parse_size("20MB"), gt=0, description="The largest that is fetched.")
    media_timeout: Duration = Field(default=10.0, gt=0, description="How long fetching one may take.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"strict": value == "strict"} if value in ("strict", "lenient") else value


class MiddlewareEntry(Strict):
    """One middleware. Requests go down the list, answers come back up."""

    type: str = Field(
        min_length=1,
        description="A class of your own, ./path/file.py:ClassName, or the name under which a package offers one.",
        examples=["./my/tag.py:Tag"],
    )
    enabled: bool = Field(default=True, description="false leaves it out.")
    config: SerializeAsAny[Strict] = Field(default=Strict(), description="Its settings; each middleware has its own.")


class Logging(Strict):
    """What is written to the console."""

    level: Level = Field(default="info", description="The least important messages that are shown.")


class Config(Strict):
    """The whole configuration."""

    server: Server = Field(default=Server(), description="Where the proxy listens, and its limits.")
    llm: SerializeAsAny[ProviderConfig] | None = Field(
        default=None, description="One upstream that takes every request which nothing else answers."
    )
    providers: list[SerializeAsAny[ProviderConfig]] = Field(
        default=[],
        description="The places that answer. Clients reach one under /its-name/..., and all of them by model name.",
    )
    default_provider: str | None = Field(
        default=None, description="The name of the provider that answers models which nothing else answers."
    )
    models: list[Model] = Field(default=[], description="Model names of your own, and who answers them.")
    stores: dict[str, SerializeAsAny[StoreConfig]] = Field(
        default={},
        description="Where middlewares keep things, by name. `default` serves those that name none, and keeps what the "
        "Responses API stores; it is in memory unless it is set here.",
    )
    translation: Translation = Field(
        default=Translation(), description="What happens where client and provider speak different dialects."
    )
    middlewares: list[MiddlewareEntry] = Field(
        default=[], description="What watches, changes or answers requests, in this order."
    )
    logging: Logging = Field(default=Logging(), description="What is written to the console.")
    directory: SkipJsonSchema[Path] = Field(default=Path(), exclude=True)


SECTIONS = tuple(name for name in Config.model_fields if name != "directory")

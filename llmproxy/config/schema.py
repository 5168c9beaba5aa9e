"""The sections of the configuration file and their keys, each with a description.

`generate-config` and the JSON Schema print the descriptions, so they are written for users. Entries of `providers` and
`middlewares` are read into the `Config` of their own class, see `components.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from llmproxy.config.auth import AuthConfig
from llmproxy.config.observability import LoggingConfig, TelemetryConfig
from llmproxy.config.routing_schema import ModelConfig, RoutingConfig
from llmproxy.config.transport import CorsConfig, NetworkText, TlsConfig
from llmproxy.limit_config import BudgetConfig, LimitConfig
from llmproxy.middleware.limits import QuotasConfig
from llmproxy.pricing.price_config import PriceConfigs
from llmproxy.processors import usable_processors
from llmproxy.providers.base import ProviderConfig
from llmproxy.settings import Duration, DurationLimit, Secret, Size, SizeLimit, Strict, Whole, parse_size
from llmproxy.stores.base import StoreConfig

MOST_WORKERS = 256
AUTO = "auto"

_HOST = re.compile(r"[a-z0-9._*-]+(:\d{1,5})?|[0-9a-f:.]+")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s?#@]+")


def _allowed_host(value: str) -> str:
    """Return the name as it is compared. Raises ValueError for a URL or a path."""
    host = value.strip().lower().removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{value!r} is not a host name; write a name such as llm.example.com, without scheme and path")
    return host


def _allowed_origin(value: str) -> str:
    """Return the origin as browsers send it. Raises ValueError for anything else."""
    origin = value.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{value!r} is not an origin; write scheme and host, such as https://app.example.com")
    default = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0])
    return origin.removesuffix(default) if default else origin


AllowedHost = Annotated[str, AfterValidator(_allowed_host)]
AllowedOrigin = Annotated[str, AfterValidator(_allowed_origin)]


def _workers(value: object) -> object:
    """Return the number of workers as it is checked. Raises ValueError where there can be only one."""
    word = value.strip().lower() if isinstance(value, str) else value
    if sys.platform == "win32" and word not in (1, "1", AUTO):
        raise ValueError(
            "Windows runs one worker only: it cannot hand a connection to another process; leave it at 1, or run "
            "several servers behind a load balancer, with a Redis as their store"
        )
    return word


Workers = Annotated[Annotated[Whole, Field(ge=1, le=MOST_WORKERS)] | Literal["auto"], BeforeValidator(_workers)]


class ServerConfig(Strict):
    """The address of the proxy, its limits and timeouts."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address or host name to listen on. 0.0.0.0 (or ::) listens on every interface of the machine.",
    )
    port: Whole = Field(default=3000, ge=0, le=65535, description="Port to listen on; 0 selects a free one.")
    workers: Workers = Field(
        default=1,
        description="How many processes serve requests, or auto: one for each processor. They act as one server. "
        "max_held_bytes, max_connections and max_concurrent are divided among them.",
        examples=[2, "auto"],
    )
    max_head_size: Size = Field(
        default=parse_size("64KB"),
        ge=1024,
        description="Largest request head: request line and headers together (431 above it).",
    )
    max_body_size: SizeLimit = Field(
        default=parse_size("64MB"),
        gt=0,
        description="Largest request body that is read into memory (413 above it), or none.",
    )
    max_upload_size: SizeLimit = Field(
        default=None,
        gt=0,
        description="Largest request body that is only passed on, such as an uploaded file, or none.",
    )
    max_held_bytes: Size = Field(
        default=parse_size("512MB"),
        gt=0,
        description="Memory limit for all requests and answers together, as they arrive and as they are decoded; above "
        "it requests get 503.",
    )
    max_connections: Whole | None = Field(
        default=None, gt=0, description="How many clients may be connected; further ones get 503.", examples=[10_000]
    )
    max_concurrent: Whole | None = Field(
        default=None,
        gt=0,
        description="How many requests of clients run at the same time, streams to their end. Further ones wait for "
        "their turn (ten times as many), and get 503 after queue_timeout.",
        examples=[500],
    )
    queue_timeout: Duration = Field(
        default=5.0, gt=0, description="How long a request waits when max_concurrent others run."
    )
    shutdown_timeout: Duration = Field(
        default=30.0,
        description="How long running requests may continue after a signal to stop; then they end with an error.",
    )
    reload_on_change: bool = Field(
        default=True, description="Reload the configuration when its file or the .env beside it changes."
    )
    keepalive_timeout: Duration = Field(
        default=75.0, gt=0, description="How long a client connection may stay open without a request."
    )
    websocket_idle_timeout: DurationLimit = Field(
        default=3600.0,
        gt=0,
        description="How long a WebSocket may stay open while nothing passes in either direction, or none.",
    )
    header_timeout: Duration = Field(
        default=30.0, gt=0, description="How long a client may take to send the headers of a request."
    )

    body_timeout: Duration = Field(default=60.0, gt=0, description="How long a client may pause within a request body.")
    body_total_timeout: DurationLimit = Field(
        default=600.0,
        gt=0,
        description="How long the proxy waits for one whole request body (408 after it), or none. Allow longer uploads "
        "with a higher value.",
    )

    admin_key: Secret | None = Field(
        default=None,
        min_length=8,
        description="Bearer token that allows changes, such as emptying the cache, from other machines too.",
        examples=["${LLMPROXY_ADMIN_KEY}"],
    )

    allowed_hosts: list[AllowedHost] = Field(
        default=[],
        description="More names, with or without a port, by which requests may call this server (header Host). On "
        "loopback only the names of this machine are accepted without it, elsewhere every name. * matches anything.",
        examples=["llm.example.com", "*.internal.example"],
    )
    allowed_origins: list[AllowedOrigin] = Field(
        default=[],
        description="More web pages whose requests are accepted (header Origin), beside those of this machine and of "
        "programs on the desktop. * matches anything.",
        examples=["https://app.example.com", "chrome-extension://*"],
    )

    trusted_proxies: list[NetworkText] = Field(
        default=[],
        description="Networks of proxies in front of this server. Only from these X-Forwarded-For counts: the last "
        "address in it that is not in these networks is the client's.",
        examples=["10.0.0.0/8"],
    )
    cors: CorsConfig = Field(default=CorsConfig(), description="Which web pages may read answers (CORS).")
    tls: TlsConfig | None = Field(default=None, description="TLS for clients; without it the server speaks plain HTTP.")

    @property
    def worker_count(self) -> int:
        """Return how many workers there are."""
        return usable_processors() if self.workers == AUTO else int(self.workers)

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        host = value.strip().removeprefix("[").removesuffix("]")
        try:
            encoded = host.encode("idna")
        except UnicodeError:
            encoded = b""
        if not encoded or not host.isprintable() or "/" in host or host.count(":") == 1 or " " in host:
            raise ValueError(f"invalid address or host name: {value!r}; the port belongs in `port`")
        return host


class TranslationConfig(Strict):
    """How requests are translated between dialects. Short form: `translation: strict`."""

    strict: bool = Field(
        default=False,
        description="Refuse (400) requests that use a feature the provider lacks, instead of dropping it and listing "
        "it in x-llmproxy-dropped.",
    )
    estimate_tokens: bool = Field(
        default=False,
        description="Estimate the tokens of a request for clients that ask for their count (/v1/messages/count_tokens, "
        "/v1/responses/input_tokens) where the model's provider has no such call; without it they get 501. Estimates "
        "carry the header x-llmproxy-estimated.",
    )
    fetch_media: bool = Field(
        default=False,
        description="Fetch images and documents that clients send as URLs, for providers that accept them only inside "
        "the request; from public addresses only.",
    )
    max_media_size: Size = Field(
        default=parse_size("20MB"), gt=0, description="Largest image or document that is fetched."
    )
    media_timeout: Duration = Field(default=10.0, gt=0, description="How long fetching one may take.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"strict": value == "strict"} if value in ("strict", "lenient") else value


class MiddlewareEntry(Strict):
    """One middleware. Requests go down the list, answers come back up."""

    type: str = Field(
        min_length=1,
        description="A class of your own as ./path/file.py:ClassName, or the name of an entry point of a package.",
        examples=["./my/tag.py:Tag"],
    )
    enabled: bool = Field(default=True, description="false disables it.")
    config: SerializeAsAny[Strict] = Field(default=Strict(), description="Its settings; they depend on the type.")


class Config(Strict):
    """The whole configuration."""

    server: ServerConfig = Field(default=ServerConfig(), description="The address of the proxy, and its limits.")
    auth: AuthConfig = Field(
        default=AuthConfig(), description="Who may use the proxy. Without it everybody who reaches it may."
    )
    llm: SerializeAsAny[ProviderConfig] | None = Field(
        default=None, description="One upstream that takes every request that nothing else answers."
    )
    providers: list[SerializeAsAny[ProviderConfig]] = Field(
        default=[],
        description="The providers. Clients reach one below /its-name/..., and all of them by model name.",
    )
    default_provider: str | None = Field(
        default=None, description="Name of the provider for models that nothing else answers."
    )
    models: list[ModelConfig] = Field(default=[], description="Model names of your own, and their targets.")
    routing: RoutingConfig = Field(
        default=RoutingConfig(), description="Failover, retries and circuit breakers of all models."
    )
    stores: dict[str, SerializeAsAny[StoreConfig]] = Field(
        default={},
        description="Stores by name. `default` is for middlewares that name no store, and for what the Responses API "
        "stores; it is in memory unless it is set here.",
    )
    limits: list[LimitConfig] = Field(
        default=[], description="How much clients may use in a time; beyond it they get 429. All that match count."
    )
    budgets: list[BudgetConfig] = Field(
        default=[], description="How much money clients may spend; prices must be known for it. All that match count."
    )
    quotas: QuotasConfig = Field(default=QuotasConfig(), description="Where limits and budgets are counted.")
    translation: TranslationConfig = Field(
        default=TranslationConfig(), description="How requests are translated between dialects."
    )
    prices: PriceConfigs = Field(
        default={},
        description="Prices of models in USD per million tokens, by the model's name (* matches anything); the first "
        "match counts, before the table that comes with llmproxy. 0 is free; what has no price has an unknown cost.",
        examples=[{"my-llama*": {"input": 0, "output": 0}}],
    )
    require_price: bool = Field(
        default=False, description="Refuse (403) calls of models whose price is unknown, before anything is sent."
    )
    middlewares: list[MiddlewareEntry] = Field(
        default=[], description="Components that watch, change or answer requests, in this order."
    )
    logging: LoggingConfig = Field(default=LoggingConfig(), description="Log messages.")
    telemetry: TelemetryConfig = Field(
        default=TelemetryConfig(), description="A metrics port of its own, and OpenTelemetry."
    )
    directory: SkipJsonSchema[Path] = Field(default=Path(), exclude=True)


SECTIONS = tuple(name for name in Config.model_fields if name != "directory")

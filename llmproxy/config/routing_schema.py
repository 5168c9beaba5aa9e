"""The keys of `models:` and `routing:`: which targets answer a model, and what happens when one fails.

A model has the keys of `routing`, which are the defaults of all models. `strategy` is read by the class that its type
names, see `routes.py`. Begin reading at `ModelConfig`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializeAsAny,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from llmproxy.route import CONNECTION
from llmproxy.settings import Duration, DurationLimit, HeaderName, Strict, Whole, refuse_bool
from llmproxy.stores.base import DEFAULT_STORE, StoreReference
from llmproxy.wire.http import RETRYABLE_STATUSES

_MOST_RETRIES = 20
_MOST_WEIGHT = 1_000_000


def _retry_reason(value: object) -> object:
    """Read `connection`, or a status of 400 or more. Raises ValueError."""
    refuse_bool(value)
    if value == CONNECTION:
        return value
    try:
        status = int(value) if isinstance(value, (int, str)) else 0
    except ValueError:
        status = 0
    if not 400 <= status <= 599:
        raise ValueError(f"must be {CONNECTION}, or a status from 400 to 599, not {value!r:.60}")
    return status


RetryReason = Annotated[
    int | str,
    BeforeValidator(_retry_reason),
    WithJsonSchema({"anyOf": [{"enum": [CONNECTION]}, {"type": "integer", "minimum": 400, "maximum": 599}]}),
]


def _share(value: object) -> object:
    """Read 0.2 or `20%`. Raises ValueError."""
    refuse_bool(value)
    text = value.strip() if isinstance(value, str) else value
    try:
        number = float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(text)  # type: ignore[arg-type]  # what is no number is refused
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"invalid share: {value!r:.60}; write a percentage such as 20%, from 0% to 100%")
    return number


def _write_share(value: float) -> str:
    return f"{value * 100:g}%"


Percentage = Annotated[
    float,
    BeforeValidator(_share),
    PlainSerializer(_write_share, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
            ]
        }
    ),
]


class StrategyConfig(Strict):
    """A strategy, with its options. Short form: its type alone."""

    type: str = Field(
        min_length=1,
        description="priority, weighted, round_robin, least_busy, fastest, cheapest, sticky, or ./path/file.py:Class.",
    )
    config: SerializeAsAny[Strict] = Field(default=Strict(), description="Its options; they depend on the type.")


PRIORITY = StrategyConfig(type="priority")


class BreakerConfig(Strict):
    """Circuit breaker: takes a target out that fails too often, for a while."""

    failures: Whole = Field(default=5, ge=1, le=10_000, description="Number of failed calls that take a target out.")
    window: Duration = Field(default=60.0, gt=0, description="The time within which they are counted.")
    failure_ratio: Percentage = Field(
        default=0.2, description="Least share of failed calls within that time: a busy target may fail now and then."
    )
    recovery: Duration = Field(
        default=30.0,
        gt=0,
        description="How long it is out. Then a single call decides: the target is back, or out for twice as long.",
    )
    max_recovery: Duration = Field(default=600.0, gt=0, description="The longest time that it is out.")


class RoutingConfig(StoreReference):
    """Defaults for all models, the circuit breaker of all targets, and the retry budget of the program."""

    store: str = Field(
        default=DEFAULT_STORE,
        min_length=1,
        description="Where replicas share what they know of targets: which are out or at their limit, and which one "
        "made a response or file. The name of an entry of `stores`; or in short memory, disk, or the URL of a Redis.",
    )

    strategy: StrategyConfig = Field(
        default=PRIORITY,
        description="How a target is chosen: priority, weighted, round_robin, least_busy, fastest, cheapest, sticky, "
        "or a class of your own as ./path/file.py:Class. With options: {type: cheapest, output_tokens: 200}.",
    )
    retries: Whole = Field(
        default=2,
        ge=0,
        le=_MOST_RETRIES,
        description="How many more calls a request may make after each of its targets has failed once.",
    )
    retry_on: list[RetryReason] = Field(
        default=[CONNECTION, *sorted(RETRYABLE_STATUSES)],
        description="Failures after which another call is made: statuses, and `connection` for a provider that cannot "
        "be reached, breaks off or takes too long. Every other answer goes to the client.",
    )
    retry_delay: Duration = Field(
        default=0.5,
        description="The longest wait before the first retry of a target, doubled for each one after it. The wait is "
        "random.",
    )
    max_retry_delay: Duration = Field(default=8.0, description="The longest wait before any retry.")
    max_retry_after: Duration = Field(
        default=30.0, description="The longest wait that a provider may ask for (Retry-After); else it is not retried."
    )
    timeout: DurationLimit = Field(
        default=None, gt=0, description="Time limit for all calls of a request until an answer begins, or none."
    )
    first_token: DurationLimit = Field(
        default=None,
        gt=0,
        description="Time limit for the first content of a stream; after it the next target is called. Without it a "
        "stream is passed on from its first event.",
    )
    max_wait: Duration = Field(
        default=10.0,
        le=3600,
        description="How long a request waits while all targets of its model are at their limit; then it gets 429.",
    )
    retry_budget: Percentage = Field(
        default=0.2,
        description="Limit of all retries and failovers, as a share of the requests of the last 10 seconds, so that "
        "they do not multiply an outage; 100 are always allowed.",
    )
    breaker: BreakerConfig = Field(default=BreakerConfig(), description="When a target is taken out, and for how long.")
    health_check: DurationLimit = Field(
        default=None,
        gt=0,
        description="How often a target that is out is asked for its list of models, so that it is back as soon as it "
        "answers; or none: requests of clients find out.",
    )


class TargetTimeouts(Strict):
    """Time limits of a target, in place of those of its provider."""

    first_byte: DurationLimit = Field(
        default=None, gt=0, description="Until the first byte of the answer.", examples=["20s"]
    )
    idle: DurationLimit = Field(default=None, gt=0, description="Longest pause within an answer.", examples=["60s"])
    total: DurationLimit = Field(default=None, gt=0, description="The whole call.", examples=["5m"])


class ConditionConfig(Strict):
    """Conditions on requests: a target takes those that fit everything that is set."""

    headers: dict[HeaderName, str] = Field(
        default={}, description="Request headers, with patterns for their values.", examples=[{"x-tier": "gold*"}]
    )
    keys: list[str] = Field(
        default=[], description="Patterns for the name of the client key.", examples=[["ci", "team-*"]]
    )
    min_tokens: Whole | None = Field(
        default=None,
        ge=0,
        description="Least number of tokens of the request, estimated from its length.",
        examples=[1000],
    )
    max_tokens: Whole | None = Field(
        default=None, ge=0, description="Largest number of tokens of the request.", examples=[100000]
    )
    has_images: bool | None = Field(
        default=None, description="Requests with images only, or without only.", examples=[True]
    )
    has_tools: bool | None = Field(
        default=None, description="Requests with tools only, or without only.", examples=[False]
    )

    @model_validator(mode="after")
    def _is_possible(self) -> ConditionConfig:
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens ({self.min_tokens}) is more than max_tokens ({self.max_tokens})")
        return self


class TargetConfig(Strict):
    """One provider, and perhaps its name for the model, that requests can be sent to."""

    provider: str = Field(min_length=1, description="The name of a provider.", examples=["openai"])
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The provider's name for the model; by default the name that the client sent.",
        examples=["gpt-4o-mini"],
    )
    weight: Whole = Field(
        default=1,
        ge=0,
        le=_MOST_WEIGHT,
        description="Its share of the requests (weighted, sticky). 0: only when all others are out.",
    )
    extra_body: dict[str, Any] = Field(
        default={},
        description="Fields of the request body, in place of the client's; the rest of the body stays as it is.",
        examples=[{"service_tier": "flex"}],
    )
    extra_headers: dict[HeaderName, str] = Field(
        default={}, description="Request headers, in place of the client's.", examples=[{"x-tier": "batch"}]
    )
    timeouts: TargetTimeouts | None = Field(
        default=None,
        description="Its time limits, in place of those of the provider.",
    )
    when: ConditionConfig | None = Field(
        default=None,
        description="Which requests it takes: those that fit everything that is set; all by default.",
    )

    rpm: Whole | None = Field(
        default=None,
        ge=1,
        description="Most requests in a minute; beyond it the next target is called.",
        examples=[500],
    )
    tpm: Whole | None = Field(default=None, ge=1, description="Most tokens in a minute.", examples=[200000])
    concurrent: Whole | None = Field(default=None, ge=1, description="Most calls at a time.", examples=[20])

    @property
    def limited(self) -> bool:
        """Return whether it has limits of its own."""
        return (self.rpm, self.tpm, self.concurrent) != (None, None, None)

    @field_validator("extra_headers")
    @classmethod
    def _fit_in_a_line(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not value.isprintable():
                raise ValueError(f"the value of {name!r} contains a line break or another control character; remove it")
        return headers

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return split_target(value) if isinstance(value, str) else value


def split_target(text: str) -> dict[str, str]:
    """Split the short form of a target, `provider/model` or `provider`, into its keys."""
    provider, slash, model = text.partition("/")
    return {"provider": provider, "model": model} if slash else {"provider": provider}


class ModelConfig(Strict):
    """A model name for clients, the targets that answer it, and how one is chosen."""

    name: str = Field(
        min_length=1,
        description="The model name that clients send. * matches anything, as in gpt-*.",
        examples=["fast"],
    )
    aliases: list[str] = Field(default=[], description="More names for it.", examples=[["gpt-4o", "default"]])
    targets: list[TargetConfig] = Field(
        min_length=1,
        description="The targets. The strategy chooses one, and the next ones are called when it fails. Short form: "
        "openai/gpt-4o-mini.",
    )
    strategy: StrategyConfig | None = Field(
        default=None, description="Its own strategy; by default that of `routing`.", examples=["weighted"]
    )
    retries: Whole | None = Field(
        default=None, ge=0, le=_MOST_RETRIES, description="As in `routing`, for this model.", examples=[1]
    )
    retry_on: list[RetryReason] | None = Field(
        default=None, description="As in `routing`, for this model.", examples=[[CONNECTION, 429, 503]]
    )
    timeout: Duration | None = Field(
        default=None, gt=0, description="As in `routing`, for this model.", examples=["2m"]
    )
    first_token: Duration | None = Field(
        default=None, gt=0, description="As in `routing`, for this model.", examples=["20s"]
    )
    max_wait: Duration | None = Field(
        default=None, le=3600, description="As in `routing`, for this model.", examples=["2s"]
    )

    shadow: TargetConfig | None = Field(
        default=None,
        description="A target that gets a copy of each request. Its answer is recorded in traces beside the first one, "
        "and nobody waits for it.",
        examples=["openai/gpt-4o"],
    )

    @field_validator("targets")
    @classmethod
    def _some_weight(cls, targets: list[TargetConfig]) -> list[TargetConfig]:
        if targets and not any(target.weight for target in targets):
            raise ValueError("all weights are 0, so no target would be called; give one of them a weight of 1 or more")
        return targets

    @property
    def names(self) -> list[str]:
        """Return every name that clients may send for it."""
        return [self.name, *self.aliases]

    def or_default(self, routing: RoutingConfig, name: str) -> Any:
        """Return the model's own value of a key of `routing`, else that of `routing`."""
        own = getattr(self, name)
        return getattr(routing, name) if own is None else own

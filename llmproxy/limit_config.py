"""Read limits and budgets from the configuration: at the top, and within a client key.

The hot path gets the values of `limit.py`, which `LimitConfig.limit` and `BudgetConfig.budget` return.
"""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from llmproxy.limit import Budget, BudgetPeriod, Limit, LimitKind, LimitMatch, LimitScope
from llmproxy.settings import Strict, Whole, parse_duration, write_duration

_KINDS: tuple[LimitKind, ...] = ("requests", "tokens", "concurrent", "cost")
_LARGEST_COST = 1e12
_SHORTEST_S, _LONGEST_S = 1.0, 31 * 86400.0
_DEFAULT_S = 60.0
_WORDS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "24h"}
_CALENDAR = ("week", "month", "year")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_REFUSE = "refuse"
_NEVER = ("none", "off", "never")


def _period(value: object) -> float:
    """Read a duration, or the word for one. Raises ValueError."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _CALENDAR:
        raise ValueError(f"must be from 1s to 31d, not {value!r}; periods of the calendar are for `budgets`")
    if word.isalpha() and word not in _WORDS:
        raise ValueError(f"must be {', '.join(_WORDS)}, or a time such as 30s or 5m, not {value!r}")
    seconds = parse_duration(_WORDS.get(word, value))
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise ValueError(f"must be from 1s to 31d, not {value!r}; longer times are for `budgets`")
    return seconds


def _patterns(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _share(value: object) -> object:
    """Read `80%` or 0.8 as a share; `none` as no share. Raises ValueError."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _NEVER):
        return None
    percent = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    share = float(percent[1]) / 100 if percent else value
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError(f"invalid share: {value!r}; write a percentage such as 80%, or never")
    return share


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        remedy = "write a name such as Europe/Berlin (a system without time zones needs the Python package tzdata)"
        raise ValueError(f"unknown time zone {value!r}; {remedy}") from error
    return value


def _write_share(value: float | None) -> str:
    return "never" if value is None else f"{value * 100:g}%"


Count = Annotated[Whole, Field(ge=1)]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    BeforeValidator(_patterns),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Window = Annotated[
    float,
    BeforeValidator(_period),
    PlainSerializer(write_duration, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]
Share = Annotated[
    float | None,
    BeforeValidator(_share),
    PlainSerializer(_write_share, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^(\d+(\.\d+)?\s*%|none|off|never)$"},
            ]
        }
    ),
]
Zone = Annotated[str, AfterValidator(_zone)]

_SCOPES = (
    "key, team, address, model, session or global: what has a counter of its own. key: each client key, or the address "
    "of a client without one. global: one counter for all."
)


class MatchConfig(Strict):
    """The requests that are counted. Each member is a pattern with *, or a list of them."""

    model: Patterns = Field(default=[], description="Model names that clients send.", examples=["gpt-*"])
    key: Patterns = Field(default=[], description="Names of client keys.", examples=["ci-*"])
    team: Patterns = Field(default=[], description="Teams of client keys.")
    path: Patterns = Field(default=[], description="Paths that clients call.", examples=["/v1/embeddings"])
    provider: Patterns = Field(default=[], description="Providers that requests go to first.", examples=["openai"])

    def match(self) -> LimitMatch:
        """Return the value for the hot path."""
        return LimitMatch(
            models=tuple(self.model),
            keys=tuple(self.key),
            teams=tuple(self.team),
            paths=tuple(self.path),
            providers=tuple(self.provider),
        )


class LimitConfig(Strict):
    """A limit of use in a time, such as {requests: 600, per: 1m, scope: key}. One of requests, tokens,
    concurrent and cost is required."""

    requests: Count | None = Field(default=None, description="Requests in any time of length `per`.")
    tokens: Count | None = Field(
        default=None, description="Tokens, input and output together, in any time of length `per`."
    )
    concurrent: Count | None = Field(default=None, description="Requests that run at the same time.")
    cost: float | None = Field(
        default=None, gt=0, le=_LARGEST_COST, description="USD in any time of length `per`; needs prices."
    )
    per: Window | None = Field(
        default=None,
        description="The time: 1m, 1h, or second, minute, hour, day. By default 1m. For longer times use budgets.",
    )
    scope: LimitScope = Field(default="key", description=_SCOPES)
    match: MatchConfig = Field(default=MatchConfig(), description="Count only these requests. By default all.")

    @model_validator(mode="after")
    def _one_kind(self) -> LimitConfig:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = f"; found {' and '.join(kinds)}; write an entry for each" if kinds else ""
            raise ValueError(f"one of requests, tokens, concurrent, cost is required{found}")
        if kinds == ["concurrent"] and self.per is not None:
            raise ValueError("`concurrent` counts requests that run at the same time; remove `per`")
        return self

    def limit(self) -> Limit:
        """Return the value for the hot path."""
        kind = next(kind for kind in _KINDS if getattr(self, kind) is not None)
        per_s = 0.0 if kind == "concurrent" else self.per or _DEFAULT_S
        return Limit(kind=kind, amount=getattr(self, kind), per_s=per_s, scope=self.scope, match=self.match.match())


class RouteInstead(Strict):
    """Send what goes beyond a budget to another model."""

    route: str = Field(min_length=1, description="A name of `models`.", examples=["cheap"])


def _instead(value: object) -> object:
    if isinstance(value, str) and value != _REFUSE:
        raise ValueError(f"must be refuse, or {{route: NAME}} with a name of `models`, not {value!r}")
    return None if value == _REFUSE else value


Instead = Annotated[
    RouteInstead | None,
    BeforeValidator(_instead),
    PlainSerializer(lambda value: _REFUSE if value is None else value, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": _REFUSE},
                {
                    "type": "object",
                    "properties": {"route": {"type": "string", "minLength": 1}},
                    "required": ["route"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class BudgetConfig(Strict):
    """A limit of money, such as {max_cost: 100, per: month}. Needs prices."""

    max_cost: float = Field(gt=0, le=_LARGEST_COST, description="USD in the period.")
    per: BudgetPeriod = Field(
        description="day, week (from Monday), month: periods of the calendar. total: for ever. session: each session."
    )
    scope: LimitScope | None = Field(
        default=None, description=_SCOPES + " By default global; session where the period is session."
    )
    match: MatchConfig = Field(default=MatchConfig(), description="Count only these requests. By default all.")
    warn_at: Share = Field(
        default=0.8, description="Warn at this share: in the log, the metrics and a header; or never."
    )
    on_exceeded: Instead = Field(
        default=None,
        description="refuse: answer 429 with the code budget_exceeded. {route: NAME}: send requests to this model "
        "instead.",
    )
    timezone: Zone = Field(default="UTC", description="Where days begin.", examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _session_scope(self) -> BudgetConfig:
        if self.per == "session" and self.scope not in (None, "session"):
            raise ValueError(f"`per: session` counts each session; remove `scope: {self.scope}`")
        return self

    def budget(self) -> Budget:
        """Return the value for the hot path."""
        return Budget(
            max_cost=self.max_cost,
            period=self.per,
            scope=self.scope or ("session" if self.per == "session" else "global"),
            match=self.match.match(),
            warn_at=self.warn_at,
            route=None if self.on_exceeded is None else self.on_exceeded.route,
            timezone=self.timezone,
        )

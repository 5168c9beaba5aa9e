"""Formats the page `/stats` for a console: the server, a table of providers and models, running exchanges.

Fits 80 columns and shows more in wider windows. The page may come from another version: missing values are dashes.
Begin reading at `render_stats`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.text import Text

from llmproxy.cli.cache_view import cache_parts
from llmproxy.cli.client import as_number, as_text, object_at, objects_in
from llmproxy.cli.limits_view import limit_lists, nearly_used
from llmproxy.cli.tables import (
    RED,
    WARNING,
    Row,
    TableColumn,
    age_ms,
    cost_cell,
    count_cell,
    duration_cell,
    errors_cell,
    input_tokens,
    pack_parts,
    parse_timestamp,
    render_table,
    text_cell,
    tokens_cell,
)
from llmproxy.console.formatting import UNKNOWN, format_age, format_cost, format_count, sanitize
from llmproxy.settings import format_size

_BAD_RATE = 0.95
_LEAST_NAME, _ENOUGH_NAME = 8, 26
_OTHER = "other"  # of models that providers do not know, or beyond the limit of names
_UNCALLED = {"cache": "from the cache", "unknown_model": "unknown model", _OTHER: "other"}
_HEALTHY = "healthy"
_OTHER_MODELS, _OTHER_CALLS = "(other models)", "(other)"
_NOTES = {
    _OTHER_MODELS: "names that the provider does not list, and those beyond the limit of names",
    _OTHER_CALLS: "answered by llmproxy itself, such as lists of models and requests without a valid key",
}
"""What the names of rows mean that are not a provider's."""


def render_stats(page: Row, url: str, *, width: int, height: int | None = None, fault: str = "") -> Group:
    """Return the page of the server at `url`, for a console of `width` columns.

    With `height`, that of a window, lists are cut to fit. `fault` says why the page is not current.
    """
    head = [_server(page, url), *(Text(line) for line in pack_parts(_requests(page), width))]
    if cache := object_at(page, "cache"):
        head += [Text(line) for line in pack_parts(cache_parts(cache), width)]
    if fault:
        head.append(Text(f"{fault}; trying again", style=RED))
    providers = list(_providers(page))
    errors = list(_errors(page))
    notes = [Text(line, style="dim") for line in _notes(providers, width)]
    parts = [*head, *([Text(), *errors] if errors else []), Text(), *render_table(_PROVIDERS, providers, width), *notes]
    lines = [*head, *errors]
    above = sum(-(-line.cell_len // width) for line in lines) + len(providers) + len(notes) + (3 if errors else 2)
    lists = [each for each in _lists(page) if each.rows]
    fitting = [len(each.rows) for each in lists] if height is None else _fit(lists, height - above)
    for each, fits in zip(lists, fitting, strict=True):
        parts += [Text(), *_drawn(each, fits, width)]
    return Group(*parts)


class _List(NamedTuple):
    """A list below the table. `total` is how many there are, also where the page has fewer. Rows that are `calm` ask
    for nobody's attention: they are left out first, and called `calm_name`."""

    title: str
    columns: Sequence[TableColumn]
    rows: Sequence[Row]
    total: int
    calm: Callable[[Row], bool] = lambda row: False
    calm_name: str = ""

    def urgent(self) -> int:
        return sum(not self.calm(row) for row in self.rows)


def _fit(lists: Sequence[_List], room: int) -> list[int]:
    """Return how many rows of each list are shown in `room` lines. Calm rows get what the others leave."""
    fitting = []
    for each in lists:
        fitting.append(max((rows for rows in range(each.urgent() + 1) if _height(each, rows) <= room), default=0))
        room -= _height(each, fitting[-1])
    for place, each in enumerate(lists):
        if fitting[place] == each.urgent() < len(each.rows):
            room += _height(each, fitting[place])
            more = range(fitting[place], len(each.rows) + 1)
            fitting[place] = max((rows for rows in more if _height(each, rows) <= room), default=fitting[place])
            room -= _height(each, fitting[place])
    return fitting


def _height(each: _List, rows: int) -> int:
    """Return the lines that a list takes with so many rows: one above it, title, heads, rows, how many more."""
    return 2 + (1 + rows if rows else 0) + (each.total > rows and (rows > 0 or not _only_calm(each, rows)))


def _only_calm(each: _List, rows: int) -> bool:
    """Return whether all is calm that is left out where so many rows are shown."""
    return rows >= each.urgent() and each.total == len(each.rows)


def _drawn(each: _List, fits: int, width: int) -> Iterator[Text]:
    """Yield the lines of a list, with `fits` of its rows."""
    calm = f", all {each.calm_name}" if each.total > fits and _only_calm(each, fits) else ""
    yield Text(f"{each.title}: {each.total}{'' if fits else calm}", style="bold")
    if fits:
        rows = each.rows if fits == len(each.rows) else sorted(each.rows, key=each.calm)[:fits]
        yield from render_table(each.columns, rows, width)
    if each.total > fits and (fits or not calm):
        yield Text(f"… {each.total - fits} more{calm}", style="dim")


def _server(page: Row, url: str) -> Text:
    uptime_s = as_number(page.get("uptime_seconds"))
    up = f"  up {format_age(uptime_s * 1000)}" if uptime_s is not None else ""
    return Text(f"llmproxy {text_cell(page.get('version'))}  {sanitize(url)}{up}", style="bold")


def _requests(page: Row) -> Iterator[str]:
    """Yield the totals of client requests, and how they add up to the calls of the table below."""
    requests, total = object_at(page, "requests"), object_at(page, "totals", "tokens")
    per_second = as_number(requests.get("per_second"))
    yield _counted(requests.get("total"), "request")
    calls, over = _calls(page)
    if calls:
        yield f"{_counted(calls, 'call')} of providers" + (f" ({count_cell(over)} failed over)" if over else "")
    if per_second:
        yield f"{per_second:.1f}/s"
    yield f"{count_cell(requests.get('in_flight'))} in flight"
    if as_number(requests.get("cancelled")):
        yield f"{count_cell(requests.get('cancelled'))} cancelled"
    if total.get("input") is not None or total.get("output") is not None:
        yield f"tokens {input_tokens(total)}, {count_cell(total.get('output'))} out"
    yield from _cost(object_at(page, "totals"))


def _counted(number: object, noun: str) -> str:
    return f"{count_cell(number)} {noun}{'' if number == 1 else 's'}"


def _calls(page: Row) -> tuple[int, int]:
    """Return how many calls of providers were made, and after how many of them another one was."""
    counts = [object_at(page, "providers", name) for name in object_at(page, "providers")]
    calls, over = (sum(int(as_number(each.get(name)) or 0) for each in counts) for name in ("requests", "failed_over"))
    return calls, over


def _cost(totals: Row) -> Iterator[str]:
    """Yield what all calls cost, if something is known of that, and how many costs are unknown."""
    cost, unknown = as_number(totals.get("cost_usd")), as_number(totals.get("cost_unknown"))
    beside = "" if not unknown else f"cost of {_counted(unknown, 'call')} unknown"
    if cost is not None:
        yield f"cost {format_cost(cost)}" + (f", {beside}" if beside else "")
    elif beside:
        yield beside


def _providers(page: Row) -> Iterator[Row]:
    """Yield a row for each provider, followed by its models."""
    for provider, counts in object_at(page, "providers").items():
        if isinstance(counts, dict):
            yield {**counts, "name": Text(sanitize(provider), style="bold")}
            for model in object_at(counts, "models"):
                yield {**object_at(counts, "models", model), "name": Text(f"  {_model(model)}")}
    counted = {name: as_number(count) for name, count in object_at(page, "without_provider").items()}
    if total := sum(filter(None, counted.values())):
        yield {"requests": total, "name": Text("(no provider)", style="bold")}
        for name, count in counted.items():
            if count:
                yield {"requests": count, "name": Text(f"  ({_UNCALLED.get(name) or sanitize(name)})")}


def _notes(providers: Sequence[Row], width: int) -> Iterator[str]:
    """Yield what names mean that stand in the table, in lines of at most `width` columns."""
    names = {str(row["name"]).strip() for row in providers}
    for name, meaning in _NOTES.items():
        if name in names:
            yield from textwrap.wrap(f"{name}: {meaning}", width)


def _errors(page: Row) -> Iterator[Text]:
    """Yield a line for each model with errors: counts by kind, and how many were failed over."""
    for provider in object_at(page, "providers"):
        models = object_at(page, "providers", provider, "models")
        for model in models:
            kinds = object_at(models, model, "errors")
            kinds_text = ", ".join(f"{sanitize(kind)} {count_cell(times)}" for kind, times in kinds.items())
            if kinds_text:
                over = as_number(object_at(models, model).get("failed_over"))
                rescued = f" ({count_cell(over)} failed over)" if over else ""
                yield Text(f"{sanitize(provider)} {_model(model)}: {kinds_text}{rescued}", style="red")


def _model(name: str) -> str:
    return _OTHER_MODELS if name == _OTHER else sanitize(name) or "(no model)"


def _lists(page: Row) -> Iterator[_List]:
    """Yield the lists below the table."""
    now = _now(page)
    targets = objects_in(page.get("targets"))
    yield _List("targets", _TARGETS, targets, len(targets), lambda row: str(_state(row)) == _HEALTHY, _HEALTHY)
    for title, limit_columns, rows in limit_lists(page, now):
        yield _List(title, limit_columns, rows, len(rows), lambda row: not nearly_used(row), "below 80%")
    for name, columns in (("clients", _CLIENTS), ("sessions", _SESSIONS)):
        listed: list[Row] = [{**row, "ago_ms": age_ms(now, row.get("last_seen"))} for row in objects_in(page.get(name))]
        yield _List(name, columns, listed, len(listed))
    running = objects_in(object_at(page, "running").get("exchanges"))
    count = as_number(object_at(page, "running").get("count"))
    yield _List("in flight", _RUNNING, running, len(running) if count is None else int(count))


def _rate(row: Row) -> Text:
    """Return the success rate; only a perfect one is `100%`, and a bad one is red."""
    rate = as_number(row.get("success_rate"))
    if rate is None:
        return Text(UNKNOWN)
    text = f"{rate:.0%}" if rate in (0, 1) else f"{min(rate * 100, 99.9):.1f}%"
    return Text(text, style=RED if rate < _BAD_RATE else WARNING if rate < 1 else "")


def _speed(row: Row) -> str:
    speed = as_number(row.get("tokens_per_second"))
    if speed is None:
        return UNKNOWN
    return f"{speed:.1f}" if speed < 100 else format_count(round(speed))


def _failures(row: Row) -> Text:
    """Return the number of errors, of all kinds where the page counts kinds."""
    errors = row.get("errors")
    return errors_cell(
        sum(int(as_number(each) or 0) for each in errors.values()) if isinstance(errors, dict) else errors
    )


def _who(row: Row) -> str:
    return text_cell(row.get("session") or row.get("client"), 24)


def _what(row: Row) -> str:
    """Return the model and the provider that answers; the path where there is no model."""
    provider = as_text(row.get("provider"))
    model = text_cell(row.get("model") or row.get("path"), 40)
    return f"{model} > {sanitize(provider)}" if provider else model


def _sent(row: Row) -> str:
    sent = as_number(row.get("sent_bytes"))
    return format_size(int(sent)) if sent else UNKNOWN


def _target(row: Row) -> str:
    model = as_text(row.get("model"))
    provider = text_cell(row.get("provider"))
    return provider if model is None else f"{provider}/{sanitize(model)}"


def _state(row: Row) -> Text:
    """Return the state of a circuit breaker in a word."""
    state = as_text(row.get("state"))
    words = {"closed": _HEALTHY, "half_open": "probing", "open": "out"}
    if state == "closed" and as_number(row.get("at_limit_ms")):
        return Text("at limit", style=RED)
    return Text(words.get(state or "", UNKNOWN), style="" if state == "closed" else RED)


def _left(row: Row) -> str:
    """Return the limit of which the smallest part is left, and how much that is."""
    left = [
        (remaining / limit, f"{as_text(each.get('kind')) or ''} {remaining:g}/{limit:g}")
        for each in objects_in(row.get("limits"))
        if (limit := as_number(each.get("limit"))) and (remaining := as_number(each.get("left"))) is not None
    ]
    return text_cell(min(left)[1], 40) if left else UNKNOWN


def _next_try(row: Row) -> str:
    return format_age(as_number(row.get("next_try_ms") or row.get("at_limit_ms") or None))


def _part(group: str, name: str) -> Callable[[Row], str]:
    return lambda row: duration_cell(object_at(row, group).get(name))


def _now(page: Row) -> float | None:
    """Return the server's own time (Unix), whose clock may differ from ours."""
    began, uptime_s = parse_timestamp(page.get("started")), as_number(page.get("uptime_seconds"))
    return None if began is None or uptime_s is None else began + uptime_s


_PROVIDERS = (
    TableColumn("provider / model", lambda row: row["name"], least=_LEAST_NAME, enough=_ENOUGH_NAME),
    TableColumn("calls", lambda row: count_cell(row.get("requests"))),
    TableColumn("ok", _rate),
    TableColumn("p50", _part("latency_ms", "p50")),
    TableColumn("p95", _part("latency_ms", "p95")),
    TableColumn("p99", _part("latency_ms", "p99"), rank=4),
    TableColumn("ttft", _part("first_token_ms", "p50"), rank=1),
    TableColumn("ttft95", _part("first_token_ms", "p95"), 130, rank=8),
    TableColumn("tok/s", _speed, rank=3),
    TableColumn("in", tokens_cell("input"), 100, rank=1),
    TableColumn("cached", tokens_cell("cache_read"), 100, rank=2),
    TableColumn("out", tokens_cell("output"), 100),
    TableColumn("reason", tokens_cell("reasoning"), 130, rank=7),
    TableColumn("cost", cost_cell, 90),
    TableColumn("now", lambda row: count_cell(row.get("in_flight"))),
    TableColumn("over", lambda row: count_cell(row.get("failed_over")), 100, rank=6),
    TableColumn("errors", _failures),
)
_TARGETS = (
    TableColumn("target", _target, least=_LEAST_NAME),
    TableColumn("state", _state),
    TableColumn("failed", lambda row: errors_cell(row.get("recent_failures"))),
    TableColumn("out", lambda row: count_cell(row.get("opened"))),
    TableColumn("next try", _next_try),
    TableColumn("left", _left, 90),
    TableColumn("ttft", lambda row: duration_cell(row.get("first_token_ms"))),
    TableColumn("now", lambda row: count_cell(row.get("running"))),
)
_RUNNING = (
    TableColumn("what", _what, least=_LEAST_NAME),
    TableColumn("who", _who, least=_LEAST_NAME),
    TableColumn("age", lambda row: format_age(as_number(row.get("age_ms")))),
    TableColumn("ttft", lambda row: duration_cell(row.get("first_token_ms"))),
    TableColumn("sent", _sent),
)
_SEEN = (
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("ok", _rate),
    TableColumn("mean", lambda row: duration_cell(row.get("avg_duration_ms"))),
    TableColumn("in", tokens_cell("input")),
    TableColumn("cached", tokens_cell("cache_read")),
    TableColumn("out", tokens_cell("output")),
    TableColumn("cost", cost_cell, 90),
    TableColumn("now", lambda row: count_cell(row.get("in_flight"))),
    TableColumn("errors", _failures),
    TableColumn("ago", lambda row: format_age(as_number(row.get("ago_ms")))),
)
_CLIENTS = (TableColumn("client", lambda row: text_cell(row.get("client")), least=_LEAST_NAME), *_SEEN)
_SESSIONS = (
    TableColumn("session", lambda row: text_cell(row.get("session")), least=_LEAST_NAME),
    TableColumn("client", lambda row: text_cell(row.get("client"), 15), 100, _LEAST_NAME),
    *_SEEN,
)

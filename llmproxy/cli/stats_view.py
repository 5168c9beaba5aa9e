"""How the page `/stats` looks on a console: a line about the server, a table of providers and models, what runs.

Fits 80 columns and shows more where there is more room. The page may come from an older or a newer server: what it
lacks is a dash. Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group
from rich.text import Text

from llmproxy.cli.cache_view import render_cache_line
from llmproxy.cli.client import as_number, as_text, object_at, objects_in
from llmproxy.cli.tables import (
    RED,
    Row,
    TableColumn,
    age_ms,
    count_cell,
    duration_cell,
    errors_cell,
    parse_timestamp,
    render_table,
    text_cell,
    tokens_cell,
)
from llmproxy.console.formatting import UNKNOWN, format_count, format_duration, sanitize
from llmproxy.settings import format_size

_BAD_RATE = 0.95
_LEAST_NAME = 8


def render_stats(page: Row, url: str, *, width: int, height: int | None = None, fault: str = "") -> Group:
    """The page of the server at `url`, for a console of `width` columns.

    With `height`, that of a window, lists are cut to what fits. `fault` says why the page is not of this moment.
    """
    head = [_server(page, url), _requests(page)]
    if cache := object_at(page, "cache"):
        head.append(render_cache_line(cache))
    if fault:
        head.append(Text(f"{fault}; trying again", style=RED))
    providers = list(_providers(page))
    errors = list(_errors(page))
    parts = [*head, Text(), *render_table(_FIGURES, providers, width)]
    if errors:
        parts += [Text(), *errors]
    above = sum(-(-line.cell_len // width) for line in [*head, *errors]) + len(providers) + (3 if errors else 2)
    room = None if height is None else height - above
    for title, columns, listed, total in _lists(page):
        if not listed:
            continue
        fits = len(listed) if room is None else min(len(listed), max(room - 4, 0))
        parts += [Text(), Text(f"{title}: {total}", style="bold")]
        if fits:
            parts += render_table(columns, listed[:fits], width)
        if total > fits:
            parts.append(Text(f"… {total - fits} more", style="dim"))
        room = None if room is None else room - fits - 4
    return Group(*parts)


def _server(page: Row, url: str) -> Text:
    uptime_s = as_number(page.get("uptime_seconds"))
    up = f"  up {format_duration(uptime_s * 1000)}" if uptime_s is not None else ""
    return Text(f"llmproxy {text_cell(page.get('version'))}  {sanitize(url)}{up}", style="bold")


def _requests(page: Row) -> Text:
    """What clients asked for in all."""
    requests, total = object_at(page, "requests"), object_at(page, "totals", "tokens")
    per_second = as_number(requests.get("per_second"))
    parts = [
        f"{count_cell(requests.get('total'))} requests",
        "-/s" if per_second is None else f"{per_second:.1f}/s",
        f"{count_cell(requests.get('in_flight'))} in flight",
        f"{count_cell(requests.get('cancelled'))} cancelled",
        f"tokens {count_cell(total.get('input'))} in, {count_cell(total.get('output'))} out",
    ]
    return Text("  ".join(parts))


def _providers(page: Row) -> Iterator[Row]:
    """A row for each provider and, below it, each of its models."""
    for provider, figures in object_at(page, "providers").items():
        if isinstance(figures, dict):
            yield {**figures, "name": Text(sanitize(provider), style="bold")}
            for model in object_at(figures, "models"):
                yield {**object_at(figures, "models", model), "name": Text(f"  {_model(model)}")}


def _errors(page: Row) -> Iterator[Text]:
    """Errors by kind, and how many of them another provider made good: a line for each model that had some."""
    for provider in object_at(page, "providers"):
        models = object_at(page, "providers", provider, "models")
        for model in models:
            kinds = object_at(models, model, "errors")
            said = ", ".join(f"{sanitize(kind)} {count_cell(times)}" for kind, times in kinds.items())
            if said:
                over = as_number(object_at(models, model).get("failed_over"))
                rescued = f" ({count_cell(over)} failed over)" if over else ""
                yield Text(f"{sanitize(provider)} {_model(model)}: {said}{rescued}", style="red")


def _model(name: str) -> str:
    return sanitize(name) or "(no model)"


def _lists(page: Row) -> Iterator[tuple[str, Sequence[TableColumn], list[Row], int]]:
    """What is listed below the table: its title, its columns, its rows, and how many there are in truth."""
    now = _now(page)
    for name, columns in (("clients", _CLIENTS), ("sessions", _SESSIONS)):
        listed: list[Row] = [{**row, "ago_ms": age_ms(now, row.get("last_seen"))} for row in objects_in(page.get(name))]
        yield name, columns, listed, len(listed)
    running = objects_in(object_at(page, "running").get("exchanges"))
    known = as_number(object_at(page, "running").get("count"))
    yield "in flight", _RUNNING, running, len(running) if known is None else int(known)


def _rate(row: Row) -> Text:
    """`100%` is shown for nothing less; what is bad stands out."""
    rate = as_number(row.get("success_rate"))
    if rate is None:
        return Text(UNKNOWN)
    shown = f"{rate:.0%}" if rate in (0, 1) else f"{min(rate * 100, 99.9):.1f}%"
    return Text(shown, style=RED if rate < _BAD_RATE else "yellow" if rate < 1 else "")


def _speed(row: Row) -> str:
    speed = as_number(row.get("tokens_per_second"))
    if speed is None:
        return UNKNOWN
    return f"{speed:.1f}" if speed < 100 else format_count(round(speed))


def _failures(row: Row) -> Text:
    """The number of errors: of all kinds where these are told."""
    said = row.get("errors")
    return errors_cell(sum(int(as_number(each) or 0) for each in said.values()) if isinstance(said, dict) else said)


def _who(row: Row) -> str:
    return text_cell(row.get("session") or row.get("client"), 24)


def _what(row: Row) -> str:
    """The model, and who answers; a path where there is no model."""
    provider = as_text(row.get("provider"))
    asked = text_cell(row.get("model") or row.get("path"), 40)
    return f"{asked} > {sanitize(provider)}" if provider else asked


def _sent(row: Row) -> str:
    known = as_number(row.get("sent_bytes"))
    return UNKNOWN if known is None else format_size(int(known))


def _part(group: str, name: str) -> Callable[[Row], str]:
    return lambda row: duration_cell(object_at(row, group).get(name))


def _now(page: Row) -> float | None:
    """The server's own time (Unix), which may not be ours."""
    began, uptime_s = parse_timestamp(page.get("started")), as_number(page.get("uptime_seconds"))
    return None if began is None or uptime_s is None else began + uptime_s


_FIGURES = (
    TableColumn("provider / model", lambda row: row["name"], least=_LEAST_NAME),
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("ok", _rate),
    TableColumn("p50", _part("latency_ms", "p50")),
    TableColumn("p95", _part("latency_ms", "p95")),
    TableColumn("p99", _part("latency_ms", "p99")),
    TableColumn("ttft", _part("first_token_ms", "p50")),
    TableColumn("ttft95", _part("first_token_ms", "p95"), 100),
    TableColumn("tok/s", _speed),
    TableColumn("in", tokens_cell("input"), 110),
    TableColumn("out", tokens_cell("output"), 110),
    TableColumn("cached", tokens_cell("cache_read"), 130),
    TableColumn("reason", tokens_cell("reasoning"), 130),
    TableColumn("now", lambda row: count_cell(row.get("in_flight"))),
    TableColumn("over", lambda row: count_cell(row.get("failed_over")), 100),
    TableColumn("errors", _failures),
)
_RUNNING = (
    TableColumn("what", _what, least=_LEAST_NAME),
    TableColumn("who", _who, least=_LEAST_NAME),
    TableColumn("age", lambda row: duration_cell(row.get("age_ms"))),
    TableColumn("ttft", lambda row: duration_cell(row.get("first_token_ms"))),
    TableColumn("sent", _sent),
)
_SEEN = (
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("ok", _rate),
    TableColumn("mean", lambda row: duration_cell(row.get("avg_duration_ms"))),
    TableColumn("in", tokens_cell("input")),
    TableColumn("out", tokens_cell("output")),
    TableColumn("now", lambda row: count_cell(row.get("in_flight"))),
    TableColumn("errors", _failures),
    TableColumn("ago", lambda row: duration_cell(row.get("ago_ms"))),
)
_CLIENTS = (TableColumn("client", lambda row: text_cell(row.get("client")), least=_LEAST_NAME), *_SEEN)
_SESSIONS = (
    TableColumn("session", lambda row: text_cell(row.get("session")), least=_LEAST_NAME),
    TableColumn("client", lambda row: text_cell(row.get("client"), 15), 100, _LEAST_NAME),
    *_SEEN,
)

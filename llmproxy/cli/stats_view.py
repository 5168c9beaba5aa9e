"""How the page `/stats` looks on a console: a line about the server, a table of providers and models, what runs.

Fits 80 columns and shows more where there is more room. The page may come from an older or a newer server: what it
lacks is a dash. Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group
from rich.text import Text

from llmproxy.cli import cache_view as cacheview
from llmproxy.cli.client import number, rows, table, text
from llmproxy.cli.tables import (
    RED,
    Column,
    Row,
    ago_ms,
    count,
    failures,
    lay_out,
    milliseconds,
    moment,
    safe_text,
    tokens,
)
from llmproxy.console.formatting import UNKNOWN, format_count, format_duration, sanitize
from llmproxy.settings import format_size

_BAD_RATE = 0.95
_LEAST_NAME = 8


def view(page: Row, url: str, *, width: int, height: int | None = None, fault: str = "") -> Group:
    """The page of the server at `url`, for a console of `width` columns.

    With `height`, that of a window, lists are cut to what fits. `fault` says why the page is not of this moment.
    """
    head = [_server(page, url), _requests(page)]
    if cache := table(page, "cache"):
        head.append(cacheview.line(cache))
    if fault:
        head.append(Text(f"{fault}; trying again", style=RED))
    providers = list(_providers(page))
    errors = list(_errors(page))
    parts = [*head, Text(), *lay_out(_FIGURES, providers, width)]
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
            parts += lay_out(columns, listed[:fits], width)
        if total > fits:
            parts.append(Text(f"… {total - fits} more", style="dim"))
        room = None if room is None else room - fits - 4
    return Group(*parts)


def _server(page: Row, url: str) -> Text:
    uptime_s = number(page.get("uptime_seconds"))
    up = f"  up {format_duration(uptime_s * 1000)}" if uptime_s is not None else ""
    return Text(f"llmproxy {safe_text(page.get('version'))}  {sanitize(url)}{up}", style="bold")


def _requests(page: Row) -> Text:
    """What clients asked for in all."""
    requests, total = table(page, "requests"), table(page, "totals", "tokens")
    per_second = number(requests.get("per_second"))
    parts = [
        f"{count(requests.get('total'))} requests",
        "-/s" if per_second is None else f"{per_second:.1f}/s",
        f"{count(requests.get('in_flight'))} in flight",
        f"{count(requests.get('cancelled'))} cancelled",
        f"tokens {count(total.get('input'))} in, {count(total.get('output'))} out",
    ]
    return Text("  ".join(parts))


def _providers(page: Row) -> Iterator[Row]:
    """A row for each provider and, below it, each of its models."""
    for provider, figures in table(page, "providers").items():
        if isinstance(figures, dict):
            yield {**figures, "name": Text(sanitize(provider), style="bold")}
            for model in table(figures, "models"):
                yield {**table(figures, "models", model), "name": Text(f"  {_model(model)}")}


def _errors(page: Row) -> Iterator[Text]:
    """Errors by kind, and how many of them another provider made good: a line for each model that had some."""
    for provider in table(page, "providers"):
        models = table(page, "providers", provider, "models")
        for model in models:
            kinds = table(models, model, "errors")
            said = ", ".join(f"{sanitize(kind)} {count(times)}" for kind, times in kinds.items())
            if said:
                over = number(table(models, model).get("failed_over"))
                rescued = f" ({count(over)} failed over)" if over else ""
                yield Text(f"{sanitize(provider)} {_model(model)}: {said}{rescued}", style="red")


def _model(name: str) -> str:
    return sanitize(name) or "(no model)"


def _lists(page: Row) -> Iterator[tuple[str, Sequence[Column], list[Row], int]]:
    """What is listed below the table: its title, its columns, its rows, and how many there are in truth."""
    now = _now(page)
    for name, columns in (("clients", _CLIENTS), ("sessions", _SESSIONS)):
        listed: list[Row] = [{**row, "ago_ms": ago_ms(now, row.get("last_seen"))} for row in rows(page.get(name))]
        yield name, columns, listed, len(listed)
    running = rows(table(page, "running").get("exchanges"))
    known = number(table(page, "running").get("count"))
    yield "in flight", _RUNNING, running, len(running) if known is None else int(known)


def _rate(row: Row) -> Text:
    """`100%` is shown for nothing less; what is bad stands out."""
    rate = number(row.get("success_rate"))
    if rate is None:
        return Text(UNKNOWN)
    shown = f"{rate:.0%}" if rate in (0, 1) else f"{min(rate * 100, 99.9):.1f}%"
    return Text(shown, style=RED if rate < _BAD_RATE else "yellow" if rate < 1 else "")


def _speed(row: Row) -> str:
    speed = number(row.get("tokens_per_second"))
    if speed is None:
        return UNKNOWN
    return f"{speed:.1f}" if speed < 100 else format_count(round(speed))


def _failures(row: Row) -> Text:
    """The number of errors: of all kinds where these are told."""
    said = row.get("errors")
    return failures(sum(int(number(each) or 0) for each in said.values()) if isinstance(said, dict) else said)


def _who(row: Row) -> str:
    return safe_text(row.get("session") or row.get("client"), 24)


def _what(row: Row) -> str:
    """The model, and who answers; a path where there is no model."""
    provider = text(row.get("provider"))
    asked = safe_text(row.get("model") or row.get("path"), 40)
    return f"{asked} > {sanitize(provider)}" if provider else asked


def _sent(row: Row) -> str:
    known = number(row.get("sent_bytes"))
    return UNKNOWN if known is None else format_size(int(known))


def _part(group: str, name: str) -> Callable[[Row], str]:
    return lambda row: milliseconds(table(row, group).get(name))


def _now(page: Row) -> float | None:
    """The server's own time (Unix), which may not be ours."""
    began, uptime_s = moment(page.get("started")), number(page.get("uptime_seconds"))
    return None if began is None or uptime_s is None else began + uptime_s


_FIGURES = (
    Column("provider / model", lambda row: row["name"], least=_LEAST_NAME),
    Column("reqs", lambda row: count(row.get("requests"))),
    Column("ok", _rate),
    Column("p50", _part("latency_ms", "p50")),
    Column("p95", _part("latency_ms", "p95")),
    Column("p99", _part("latency_ms", "p99")),
    Column("ttft", _part("first_token_ms", "p50")),
    Column("ttft95", _part("first_token_ms", "p95"), 100),
    Column("tok/s", _speed),
    Column("in", tokens("input"), 110),
    Column("out", tokens("output"), 110),
    Column("cached", tokens("cache_read"), 130),
    Column("reason", tokens("reasoning"), 130),
    Column("now", lambda row: count(row.get("in_flight"))),
    Column("over", lambda row: count(row.get("failed_over")), 100),
    Column("errors", _failures),
)
_RUNNING = (
    Column("what", _what, least=_LEAST_NAME),
    Column("who", _who, least=_LEAST_NAME),
    Column("age", lambda row: milliseconds(row.get("age_ms"))),
    Column("ttft", lambda row: milliseconds(row.get("first_token_ms"))),
    Column("sent", _sent),
)
_SEEN = (
    Column("reqs", lambda row: count(row.get("requests"))),
    Column("ok", _rate),
    Column("mean", lambda row: milliseconds(row.get("avg_duration_ms"))),
    Column("in", tokens("input")),
    Column("out", tokens("output")),
    Column("now", lambda row: count(row.get("in_flight"))),
    Column("errors", _failures),
    Column("ago", lambda row: milliseconds(row.get("ago_ms"))),
)
_CLIENTS = (Column("client", lambda row: safe_text(row.get("client")), least=_LEAST_NAME), *_SEEN)
_SESSIONS = (
    Column("session", lambda row: safe_text(row.get("session")), least=_LEAST_NAME),
    Column("client", lambda row: safe_text(row.get("client"), 15), 100, _LEAST_NAME),
    *_SEEN,
)

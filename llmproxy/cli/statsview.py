"""How the page `/stats` looks on a console: a line about the server, a table of providers and models, what runs.

Fits 80 columns and shows more where there is more room. The page may come from an older or a newer server: what it
lacks is a dash. Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from llmproxy.cli.asking import number, rows, table, text
from llmproxy.telemetry import showing

_BAD_RATE = 0.95
_LEAST_NAME = 8
_RED = "bold red"

Row = Mapping[str, Any]


class _Column(NamedTuple):
    """A column: its head, what it shows of a row, and how wide a console must be for it."""

    head: str
    cell: Callable[[Row], Text | str]
    from_width: int = 0


def view(page: Row, url: str, *, width: int, height: int | None = None, fault: str = "") -> Group:
    """The page of the server at `url`, for a console of `width` columns.

    With `height`, that of a window, lists are cut to what fits. `fault` says why the page is not of this moment.
    """
    head = [_server(page, url), _requests(page)]
    if fault:
        head.append(Text(f"{fault}; trying again", style=_RED))
    providers = list(_providers(page))
    errors = list(_errors(page))
    parts: list[RenderableType] = [*head, Text(), _table(_FIGURES, providers, width)]
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
            parts.append(_table(columns, listed[:fits], width))
        if total > fits:
            parts.append(Text(f"… {total - fits} more", style="dim"))
        room = None if room is None else room - fits - 4
    return Group(*parts)


def _server(page: Row, url: str) -> Text:
    uptime_s = number(page.get("uptime_seconds"))
    up = f"  up {showing.duration(uptime_s * 1000)}" if uptime_s is not None else ""
    return Text(f"llmproxy {_safe(page.get('version'))}  {showing.safe(url)}{up}", style="bold")


def _requests(page: Row) -> Text:
    """What clients asked for in all."""
    requests, tokens = table(page, "requests"), table(page, "totals", "tokens")
    per_second = number(requests.get("per_second"))
    parts = [
        f"{_count(requests.get('total'))} requests",
        "-/s" if per_second is None else f"{per_second:.1f}/s",
        f"{_count(requests.get('in_flight'))} in flight",
        f"{_count(requests.get('cancelled'))} cancelled",
        f"tokens {_count(tokens.get('input'))} in, {_count(tokens.get('output'))} out",
    ]
    return Text("  ".join(parts))


def _providers(page: Row) -> Iterator[Row]:
    """A row for each provider and, below it, each of its models."""
    for provider, figures in table(page, "providers").items():
        if isinstance(figures, dict):
            yield {**figures, "name": Text(showing.safe(provider), style="bold")}
            for model in table(figures, "models"):
                yield {**table(figures, "models", model), "name": Text(f"  {_model(model)}")}


def _errors(page: Row) -> Iterator[Text]:
    """Errors by kind, and how many of them another provider made good: a line for each model that had some."""
    for provider in table(page, "providers"):
        models = table(page, "providers", provider, "models")
        for model in models:
            kinds = table(models, model, "errors")
            said = ", ".join(f"{showing.safe(kind)} {_count(times)}" for kind, times in kinds.items())
            if said:
                over = number(table(models, model).get("failed_over"))
                rescued = f" ({_count(over)} failed over)" if over else ""
                yield Text(f"{showing.safe(provider)} {_model(model)}: {said}{rescued}", style="red")


def _model(name: str) -> str:
    return showing.safe(name) or "(no model)"


def _lists(page: Row) -> Iterator[tuple[str, Sequence[_Column], list[Row], int]]:
    """What is listed below the table: its title, its columns, its rows, and how many there are in truth."""
    now = _now(page)
    for name, columns in (("clients", _CLIENTS), ("sessions", _SESSIONS)):
        listed: list[Row] = [{**row, "ago_ms": _ago_ms(now, row.get("last_seen"))} for row in rows(page.get(name))]
        yield name, columns, listed, len(listed)
    running = rows(table(page, "running").get("exchanges"))
    count = number(table(page, "running").get("count"))
    yield "in flight", _RUNNING, running, len(running) if count is None else int(count)


def _table(columns: Sequence[_Column], shown: Sequence[Row], width: int) -> Table:
    """Numbers stand to the right and are never cut: the first column gives way when there is too little room."""
    fitting = [column for column in columns if width >= column.from_width]
    lines = [[_text(column.cell(row)) for column in fitting] for row in shown]
    widths = [
        max([len(column.head), *(line[place].cell_len for line in lines)]) for place, column in enumerate(fitting)
    ]
    room = width - sum(widths[1:]) - len(widths[1:])
    widths[0] = max(min(widths[0], room), _LEAST_NAME)
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column, needed in zip(fitting, widths, strict=True):
        justify: JustifyMethod = "left" if column.head in _WORDS else "right"
        made.add_column(column.head, justify=justify, no_wrap=True, overflow="ellipsis", width=needed)
    for line in lines:
        made.add_row(*line)
    return made


def _text(cell: Text | str) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _count(value: object) -> str:
    known = number(value)
    return showing.count(None if known is None else int(known))


def _ms(value: object) -> str:
    return showing.duration(number(value))


def _safe(value: object, limit: int | None = None) -> str:
    return showing.safe(text(value) or showing.NOTHING, limit)


def _rate(row: Row) -> Text:
    """`100%` is shown for nothing less; what is bad stands out."""
    rate = number(row.get("success_rate"))
    if rate is None:
        return Text(showing.NOTHING)
    shown = f"{rate:.0%}" if rate in (0, 1) else f"{min(rate * 100, 99.9):.1f}%"
    return Text(shown, style=_RED if rate < _BAD_RATE else "yellow" if rate < 1 else "")


def _speed(row: Row) -> str:
    speed = number(row.get("tokens_per_second"))
    if speed is None:
        return showing.NOTHING
    return f"{speed:.1f}" if speed < 100 else showing.count(round(speed))


def _failures(row: Row) -> Text:
    """The number of errors: of all kinds where these are told."""
    said = row.get("errors")
    count = sum(int(number(each) or 0) for each in said.values()) if isinstance(said, dict) else number(said)
    return Text(_count(count), style=_RED if count else "")


def _who(row: Row) -> str:
    return _safe(row.get("session") or row.get("client"), 24)


def _what(row: Row) -> str:
    """The model, and who answers; a path where there is no model."""
    provider = text(row.get("provider"))
    asked = _safe(row.get("model") or row.get("path"), 40)
    return f"{asked} > {showing.safe(provider)}" if provider else asked


def _sent(row: Row) -> str:
    known = number(row.get("sent_bytes"))
    return showing.NOTHING if known is None else showing.size(int(known))


def _tokens(kind: str) -> Callable[[Row], str]:
    return lambda row: _count(table(row, "tokens").get(kind))


def _part(group: str, name: str) -> Callable[[Row], str]:
    return lambda row: _ms(table(row, group).get(name))


def _now(page: Row) -> float | None:
    """The server's own time (Unix), which may not be ours."""
    began, uptime_s = _moment(page.get("started")), number(page.get("uptime_seconds"))
    return None if began is None or uptime_s is None else began + uptime_s


def _ago_ms(now: float | None, stamp: object) -> float | None:
    then = _moment(stamp)
    return None if now is None or then is None else max(now - then, 0.0) * 1000


def _moment(stamp: object) -> float | None:
    try:
        return datetime.fromisoformat(text(stamp) or "").timestamp()
    except (ValueError, OverflowError):
        return None


_WORDS = ("provider / model", "client", "session", "who", "what")
_FIGURES = (
    _Column("provider / model", lambda row: row["name"]),
    _Column("reqs", lambda row: _count(row.get("requests"))),
    _Column("ok", _rate),
    _Column("p50", _part("latency_ms", "p50")),
    _Column("p95", _part("latency_ms", "p95")),
    _Column("p99", _part("latency_ms", "p99")),
    _Column("ttft", _part("first_token_ms", "p50")),
    _Column("ttft95", _part("first_token_ms", "p95"), 100),
    _Column("tok/s", _speed),
    _Column("in", _tokens("input"), 110),
    _Column("out", _tokens("output"), 110),
    _Column("cached", _tokens("cache_read"), 130),
    _Column("reason", _tokens("reasoning"), 130),
    _Column("now", lambda row: _count(row.get("in_flight"))),
    _Column("over", lambda row: _count(row.get("failed_over")), 100),
    _Column("errors", _failures),
)
_RUNNING = (
    _Column("what", _what),
    _Column("who", _who),
    _Column("age", lambda row: _ms(row.get("age_ms"))),
    _Column("ttft", lambda row: _ms(row.get("first_token_ms"))),
    _Column("sent", _sent),
)
_SEEN = (
    _Column("reqs", lambda row: _count(row.get("requests"))),
    _Column("ok", _rate),
    _Column("mean", lambda row: _ms(row.get("avg_duration_ms"))),
    _Column("in", _tokens("input")),
    _Column("out", _tokens("output")),
    _Column("now", lambda row: _count(row.get("in_flight"))),
    _Column("errors", _failures),
    _Column("ago", lambda row: _ms(row.get("ago_ms"))),
)
_CLIENTS = (_Column("client", lambda row: _safe(row.get("client"))), *_SEEN)
_SESSIONS = (
    _Column("session", lambda row: _safe(row.get("session"))),
    _Column("client", lambda row: _safe(row.get("client"), 15), 100),
    *_SEEN,
)

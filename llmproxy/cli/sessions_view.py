"""How the page `/sessions` looks on a console: a line for each session, and the figures of all below them.

Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from llmproxy.cli.client import as_number, object_at, objects_in
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
from llmproxy.console.formatting import UNKNOWN, format_duration


def render_sessions(page: Row, width: int, now_s: float) -> list[Text]:
    """The lines of the page, its list and its figures, for a console of `width` columns; `now_s` is the wall clock."""
    figures = object_at(page, "figures")
    listed = [
        {
            **session,
            "age_ms": age_ms(now_s, session.get("started")),
            "seen_ms": age_ms(now_s, session.get("last_seen")),
        }
        for session in objects_in(page.get("sessions"))
    ]
    lines = render_table(_COLUMNS, listed, width) if listed else [Text("no sessions yet")]
    active = as_number(figures.get("active"))
    if active is not None and active > len(listed) > 0:
        lines.append(Text(f"… {count_cell(active - len(listed))} more; -n says how many are shown", style="dim"))
    lines += [Text(), Text(_figures(figures, page), style="dim")]
    if page.get("available") is False:
        store = text_cell(page.get("store"))
        lines.append(Text(f"{store} cannot be reached: these are the sessions of one process alone", style=RED))
    return lines


def render_session(session: Row, now_s: float) -> list[Text]:
    """One session, a line for each thing that is known of it."""
    used = object_at(session, "tokens")
    values = (
        ("session", text_cell(session.get("id"))),
        ("client", text_cell(session.get("client"))),
        ("started", _when(session.get("started"), now_s)),
        ("last seen", _when(session.get("last_seen"), now_s)),
        ("requests", count_cell(session.get("requests"))),
        ("errors", count_cell(session.get("errors"))),
        ("models", _models(session)),
        ("tokens", f"{count_cell(used.get('input'))} in, {count_cell(used.get('output'))} out"),
    )
    return [Text(f"{name:<11}{value}") for name, value in values]


def _figures(figures: Row, page: Row) -> str:
    return ", ".join([*_counted(figures), f"store {text_cell(page.get('store'))}"])


def _counted(figures: Row) -> Iterator[str]:
    per_minute, rate = as_number(figures.get("creation_rate_per_minute")), as_number(figures.get("hit_rate"))
    yield f"{count_cell(figures.get('active'))} active"
    yield f"{count_cell(figures.get('created'))} created" + (
        "" if per_minute is None else f" ({per_minute:g} a minute)"
    )
    yield f"{count_cell(figures.get('hits'))} hits" + ("" if rate is None else f" ({rate:.1%})")
    for name, shown in (
        ("fuzzy_matches", "fuzzy"),
        ("resets", "resets"),
        ("expired", "expired"),
        ("evicted", "evicted"),
    ):
        yield f"{count_cell(figures.get(name))} {shown}"


def _when(stamp: object, now_s: float) -> str:
    then_s = parse_timestamp(stamp)
    if then_s is None:
        return UNKNOWN
    clock = datetime.fromtimestamp(then_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{clock}, {format_duration(age_ms(now_s, stamp))} ago"


def _models(session: Row) -> str:
    said = session.get("models")
    return ", ".join(text_cell(model) for model in said) if isinstance(said, list) and said else UNKNOWN


_COLUMNS = (
    TableColumn("session", lambda row: text_cell(row.get("id")), least=10),
    TableColumn("client", lambda row: text_cell(row.get("client")), least=9),
    TableColumn("age", lambda row: duration_cell(row["age_ms"]), 70),
    TableColumn("seen", lambda row: duration_cell(row["seen_ms"])),
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("errors", lambda row: errors_cell(row.get("errors"))),
    TableColumn("models", _models, 60, least=8),
    TableColumn("in", tokens_cell("input"), 80),
    TableColumn("out", tokens_cell("output"), 80),
)

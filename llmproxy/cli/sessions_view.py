"""How the page `/sessions` looks on a console: a line for each session, and the figures of all below them.

Begin reading at `view`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from llmproxy.cli.client import number, rows, table
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
from llmproxy.console.formatting import UNKNOWN, format_duration


def view(page: Row, width: int, now_s: float) -> list[Text]:
    """The lines of the page, its list and its figures, for a console of `width` columns; `now_s` is the wall clock."""
    figures = table(page, "figures")
    listed = [
        {
            **session,
            "age_ms": ago_ms(now_s, session.get("started")),
            "seen_ms": ago_ms(now_s, session.get("last_seen")),
        }
        for session in rows(page.get("sessions"))
    ]
    lines = lay_out(_COLUMNS, listed, width) if listed else [Text("no sessions yet")]
    active = number(figures.get("active"))
    if active is not None and active > len(listed) > 0:
        lines.append(Text(f"… {count(active - len(listed))} more; -n says how many are shown", style="dim"))
    lines += [Text(), Text(_figures(figures, page), style="dim")]
    if page.get("available") is False:
        store = safe_text(page.get("store"))
        lines.append(Text(f"{store} cannot be reached: these are the sessions of one process alone", style=RED))
    return lines


def details(session: Row, now_s: float) -> list[Text]:
    """One session, a line for each thing that is known of it."""
    used = table(session, "tokens")
    values = (
        ("session", safe_text(session.get("id"))),
        ("client", safe_text(session.get("client"))),
        ("started", _when(session.get("started"), now_s)),
        ("last seen", _when(session.get("last_seen"), now_s)),
        ("requests", count(session.get("requests"))),
        ("errors", count(session.get("errors"))),
        ("models", _models(session)),
        ("tokens", f"{count(used.get('input'))} in, {count(used.get('output'))} out"),
    )
    return [Text(f"{name:<11}{value}") for name, value in values]


def _figures(figures: Row, page: Row) -> str:
    return ", ".join([*_counted(figures), f"store {safe_text(page.get('store'))}"])


def _counted(figures: Row) -> Iterator[str]:
    per_minute, rate = number(figures.get("creation_rate_per_minute")), number(figures.get("hit_rate"))
    yield f"{count(figures.get('active'))} active"
    yield f"{count(figures.get('created'))} created" + ("" if per_minute is None else f" ({per_minute:g} a minute)")
    yield f"{count(figures.get('hits'))} hits" + ("" if rate is None else f" ({rate:.1%})")
    for name, shown in (
        ("fuzzy_matches", "fuzzy"),
        ("resets", "resets"),
        ("expired", "expired"),
        ("evicted", "evicted"),
    ):
        yield f"{count(figures.get(name))} {shown}"


def _when(stamp: object, now_s: float) -> str:
    then_s = moment(stamp)
    if then_s is None:
        return UNKNOWN
    clock = datetime.fromtimestamp(then_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{clock}, {format_duration(ago_ms(now_s, stamp))} ago"


def _models(session: Row) -> str:
    said = session.get("models")
    return ", ".join(safe_text(model) for model in said) if isinstance(said, list) and said else UNKNOWN


_COLUMNS = (
    Column("session", lambda row: safe_text(row.get("id")), least=10),
    Column("client", lambda row: safe_text(row.get("client")), least=9),
    Column("age", lambda row: milliseconds(row["age_ms"]), 70),
    Column("seen", lambda row: milliseconds(row["seen_ms"])),
    Column("reqs", lambda row: count(row.get("requests"))),
    Column("errors", lambda row: failures(row.get("errors"))),
    Column("models", _models, 60, least=8),
    Column("in", tokens("input"), 80),
    Column("out", tokens("output"), 80),
)

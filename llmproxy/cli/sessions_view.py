"""Formats the page `/sessions` for a console: a line for each session, and the totals below.

Begin reading at `render_sessions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from rich.text import Text

from llmproxy.cli.client import as_number, object_at, objects_in
from llmproxy.cli.tables import (
    RED,
    Row,
    TableColumn,
    age_ms,
    count_cell,
    errors_cell,
    input_tokens,
    pack_parts,
    parse_timestamp,
    render_table,
    text_cell,
)
from llmproxy.cli.trace.rows import LOOPBACK
from llmproxy.console.formatting import UNKNOWN, format_age, format_cost, format_short


def render_sessions(page: Row, width: int, now_s: float) -> list[Text]:
    """Return the lines of the page for a console of `width` columns; `now_s` is the wall clock."""
    totals = object_at(page, "figures")
    listed = [
        {
            **session,
            "age_ms": age_ms(now_s, session.get("started")),
            "seen_ms": age_ms(now_s, session.get("last_seen")),
        }
        for session in objects_in(page.get("sessions"))
    ]
    lines = render_table(_COLUMNS, listed, width) if listed else [Text("no sessions yet")]
    active = as_number(totals.get("active"))
    if active is not None and active > len(listed) > 0:
        lines.append(Text(f"… {count_cell(active - len(listed))} more; show more with -n", style="dim"))
    lines += [Text(), *(Text(line, style="dim") for line in pack_parts(_totals(totals, page), width))]
    if page.get("available") is False:
        store = text_cell(page.get("store"))
        lines.append(Text(f"{store} is not reachable: these are the sessions of one process only", style=RED))
    return lines


def render_session(session: Row, now_s: float) -> list[Text]:
    """Return one session, a line for each value."""
    used = object_at(session, "tokens")
    values = (
        ("session", text_cell(session.get("id"))),
        ("client", text_cell(session.get("client"))),
        ("started", _when(session.get("started"), now_s)),
        ("last seen", _when(session.get("last_seen"), now_s)),
        ("requests", count_cell(session.get("requests"))),
        ("errors", count_cell(session.get("errors"))),
        ("models", _models(session)),
        ("tokens", f"{input_tokens(used)}, {count_cell(used.get('output'))} out"),
        ("cost", _cost(session)),
    )
    return [Text(f"{name:<11}{value}") for name, value in values]


def _totals(totals: Row, page: Row) -> Iterator[str]:
    """Yield what the server counted, without zeros."""
    per_minute, rate = as_number(totals.get("creation_rate_per_minute")), as_number(totals.get("hit_rate"))
    yield f"{count_cell(totals.get('active'))} active"
    yield f"{count_cell(totals.get('created'))} created" + (f" ({per_minute:.1f} a minute)" if per_minute else "")
    yield f"{count_cell(totals.get('hits'))} hits" + ("" if rate is None else f" ({rate:.1%})")
    for name, label in (
        ("fuzzy_matches", "fuzzy"),
        ("resets", "resets"),
        ("expired", "expired"),
        ("evicted", "evicted"),
    ):
        if as_number(totals.get(name)):
            yield f"{count_cell(totals.get(name))} {label}"
    yield f"store {text_cell(page.get('store'))}"


def _when(stamp: object, now_s: float) -> str:
    then_s = parse_timestamp(stamp)
    if then_s is None:
        return UNKNOWN
    clock = datetime.fromtimestamp(then_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{clock}, {format_age(age_ms(now_s, stamp))} ago"


def _cost(session: Row) -> str:
    """Return what the session cost, and of how many requests that is unknown; a dash when nothing is known."""
    cost, unknown = as_number(session.get("cost_usd")), as_number(session.get("cost_unknown"))
    if unknown and not cost:
        return f"unknown ({count_cell(unknown)} requests)"
    return format_cost(cost) + (f" and {count_cell(unknown)} requests unknown" if unknown else "")


def _cost_cell(session: Row) -> str:
    unknown = as_number(session.get("cost_unknown"))
    cost = as_number(session.get("cost_usd"))
    return UNKNOWN if unknown and not cost else f"{format_cost(cost)}{'+' if unknown else ''}"


def _client(session: Row) -> str:
    """Return the client, of a program on this machine what it calls itself: `claude-cli`."""
    address, _, agent = text_cell(session.get("client")).partition(" ")
    return agent.partition("/")[0] if agent and address in LOOPBACK else f"{address} {agent}".rstrip()


def _tokens(kind: str) -> Callable[[Row], str]:
    """Return a function for cells; a session counts tokens that nobody reported as 0."""
    return lambda session: format_short(int(as_number(object_at(session, "tokens").get(kind)) or 0) or None)


def _models(session: Row) -> str:
    models = session.get("models")
    return ", ".join(text_cell(model) for model in models) if isinstance(models, list) and models else UNKNOWN


_COLUMNS = (
    TableColumn("session", lambda row: text_cell(row.get("id")), least=10, enough=12),
    TableColumn("client", _client, least=9, enough=10),
    TableColumn("age", lambda row: format_age(row["age_ms"]), 90, rank=2),
    TableColumn("seen", lambda row: format_age(row["seen_ms"])),
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("errors", lambda row: errors_cell(row.get("errors"))),
    TableColumn("models", _models, 60, least=8, enough=15),
    TableColumn("in", _tokens("input"), 80),
    TableColumn("cached", _tokens("cache_read"), 80, rank=3),
    TableColumn("out", _tokens("output"), 80),
    TableColumn("cost", _cost_cell, 70),
)

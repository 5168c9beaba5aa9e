from __future__ import annotations

import io
import re
import time
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict
from rich.console import Console

from llmproxy.cli.stats_view import render_stats
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.stats import GROUPS, Snapshot, running_exchanges
from tests.metrics.test_counters import ended, recorded
from tests.support.exchanges import new_call

URL = "http://127.0.0.1:3000"


def page(metrics: Metrics | None = None, *running: Exchange) -> dict[str, Any]:
    seen = Snapshot.of(
        metrics or Metrics(),
        running_exchanges(running),
        started_s=time.monotonic() - 65,
        providers=["openai"],
        by=GROUPS,
    )
    head = {"version": "1.2.3", "started": "2026-01-02T03:04:05.000000Z", "uptime_seconds": 65.0}
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**head, **seen.as_json()}))
    return whole


def under_way(**changes: Any) -> Exchange:
    now_s = time.monotonic()
    return ended(**({"outcome": "", "ended_s": None, "stream": True, "started_s": now_s - 1} | changes))


def drawn(
    shown: dict[str, Any], width: int = 80, height: int | None = None, fault: str = "", colour: bool = False
) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(render_stats(shown, URL, width=width, height=height, fault=fault))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert colour or all(len(line.rstrip()) <= width for line in lines), lines
    return [line.rstrip() for line in lines]


def row(lines: list[str], name: str) -> dict[str, str]:
    """Return the cells of the line that begins with `name`, by their heads, which end where the numbers do."""
    (heads,) = [line for line in lines if line.startswith("provider / model")]
    (cells,) = [line for line in lines if re.match(rf"{name} +[\d-]", line)]
    ends = [(match[0], match.end()) for match in re.finditer(r"(?<= )\S+", heads)][2:]
    starts = [len("provider / model"), *(end for _, end in ends)]
    return {head: cells[start:end].rpartition(" ")[2] for (head, end), start in zip(ends, starts, strict=False)}


def test_a_cache_has_a_line_of_its_own() -> None:
    saved = {"input_tokens": 1200, "output_tokens": 85, "seconds": 12.5}
    cache = {"hits": 3, "misses": 1, "hit_rate": 0.75, "saved": saved}

    lines = drawn(page() | {"cache": cache})

    assert lines[2] == "cache hits 3 (75.0%)  misses 1  saved 1200 tokens in, 85 tokens out, 12.50s"
    assert not any(line.startswith("cache") for line in drawn(page()))


def test_a_line_says_which_server_it_is_and_what_it_did() -> None:
    message = Summary(usage=Usage(input=1200, output=85))

    lines = drawn(page(recorded(ended(summary=message), ended(status=None, outcome="cancelled"))))

    assert lines[0] == f"llmproxy 1.2.3  {URL}  up 1m"
    assert (
        lines[1].startswith("2 requests")
        and "0 in flight  1 cancelled" in lines[1]
        and lines[2].startswith("tokens 1200 in, 85 out")
    )


def test_cached_tokens_are_part_of_those_that_came_in() -> None:
    message = Summary(usage=Usage(input=1300, output=85, cache_read=1200))
    lines = drawn(page(recorded(ended(summary=message))), width=120)
    assert "tokens 1.3k in (1.2k cached), 85 out" in lines[1]
    assert row(lines, "  gpt-4o")["cached"] == "1.2k"


def test_each_provider_and_model_has_its_figures_in_eighty_columns() -> None:
    message = Summary(usage=Usage(input=10, output=50), complete=True)
    stream = ended(stream=True, first_token_s=101.0, ended_s=102.0, summary=message)

    lines = drawn(page(recorded(stream, stream, ended(model="o3", status=429)), under_way(model="o3")))

    shown = row(lines, "  gpt-4o")
    assert (shown["calls"], shown["ok"], shown["tok/s"], shown["now"], shown["errors"]) == (
        "2",
        "100%",
        "50.0",
        "0",
        "0",
    )
    assert all(1.9 <= float(shown[each].removesuffix("s")) <= 2.1 for each in ("p50", "p95", "p99"))
    assert 950 <= float(shown["ttft"].removesuffix("ms")) <= 1050
    assert [row(lines, "  o3")[head] for head in ("ok", "errors", "now")] == ["0%", "1", "1"]
    assert row(lines, "openai")["ok"] == "66.7%"
    assert "openai o3: http_429 1" in lines


def test_errors_that_another_provider_made_good_are_reported() -> None:
    attempts = [
        new_call(provider="first", model="m", status=503, ended_s=0.1),
        new_call(provider="openai", model="gpt-4o", status=200, started_s=0.1),
    ]
    assert "first m: http_503 1 (1 failed over)" in drawn(page(recorded(ended(calls=attempts))))


def test_rows_add_up_to_the_requests() -> None:
    unknown = BadRequest("Unknown model", status=404, code="model_not_found")
    here: dict[str, Any] = {"calls": [], "summary": Summary()}
    lines = drawn(
        page(
            recorded(
                ended(),
                ended(model="nobody", status=404),
                ended(**here, status=404, outcome="error", error=unknown),
                ended(**here, cache="hit"),
                ended(**here, status=413, outcome="error", error=BadRequest("too long", status=413)),
            )
        )
    )
    matches = [match for line in lines if (match := re.match(r" *(\(.+\)) +(\d+)", line))]
    shown = {match[1]: match[2] for match in matches}
    assert lines[1].startswith("5 requests")
    assert shown == {
        "(other models)": "1",
        "(no provider)": "3",
        "(from the cache)": "1",
        "(unknown model)": "1",
        "(other)": "1",
    }
    assert "(other): answered by llmproxy itself, such as lists of models and requests" in lines
    assert lines[1].startswith("5 requests  2 calls of providers")


def test_a_wide_console_shows_more() -> None:
    message = Summary(usage=Usage(input=10, output=50, cache_read=4))
    lines = drawn(page(recorded(ended(summary=message))), width=140)

    shown = row(lines, "  gpt-4o")
    assert (shown["in"], shown["out"], shown["cached"], shown["over"]) == ("10", "50", "4", "0")


@pytest.mark.parametrize("width", [80, 100, 120])
def test_names_give_way_to_numbers(width: int) -> None:
    model = "an-extraordinarily-long-name-of-a-model-that-nobody-can-remember-" * 2

    lines = drawn(page(recorded(ended(model=model, status=429))), width=width)

    (cells,) = [line for line in lines if "…" in line and line.startswith("  an-")]
    assert cells.split()[1:3] == ["1", "0%"] and cells.split()[-1] == "1"


def test_a_rate_below_one_is_never_shown_as_all() -> None:
    metrics = recorded(*(ended() for _ in range(3000)), ended(status=500))

    assert row(drawn(page(metrics)), "  gpt-4o")["ok"] == "99.9%"


def test_before_the_first_request_everything_is_unknown() -> None:
    shown = row(drawn(page()), "openai")

    assert shown["calls"] == "0" and not {"ok", "p50", "tok/s"} & shown.keys()


def test_what_runs_is_listed_with_its_age_and_what_was_sent() -> None:
    exchange = under_way(headers=CIMultiDict({"x-session-id": "s-1"}), sent_bytes=2048)

    lines = drawn(page(None, exchange))

    place = lines.index("in flight: 1")
    assert lines[place + 2].split()[:4] == ["gpt-4o", ">", "openai", "s-1"]
    assert lines[place + 2].endswith("2.0KB")


def test_lists_are_cut_to_the_window_and_say_so() -> None:
    shown = page(None, *(under_way(id=str(number)) for number in range(250)))

    cut = drawn(shown, height=24)
    assert len(cut) <= 24 and cut[-1].startswith("… ") and cut[-1].endswith(" more")
    assert "in flight: 250" in cut
    assert drawn(shown)[-1] == "… 50 more"


def of_targets(*states: str, limits: int = 0) -> dict[str, Any]:
    """Return a page with targets of these states, limits that are little used, and 9 running exchanges."""
    targets = [{"provider": f"p{place}", "model": "m", "state": state} for place, state in enumerate(states)]
    little = [{"rule": f"r{place}", "scope": "key", "used": 1, "limit": 10} for place in range(limits)]
    running = page(None, *(under_way(id=str(number)) for number in range(9)))
    return running | {"targets": targets, "limits": {"limits": little}}


@pytest.mark.parametrize(
    ("height", "healthy", "running"),
    [(18, 0, 2), (20, 0, 4), (26, 0, 9), (27, 1, 9), (36, 10, 9), (37, 12, 9), (60, 12, 9)],
)
def test_what_is_well_gives_way_to_running_exchanges(height: int, healthy: int, running: int) -> None:
    lines = drawn(of_targets(*["closed"] * 12), height=height)
    assert len(lines) <= height
    assert len([line for line in lines if re.fullmatch(r"p\d+/m +healthy", line)]) == healthy
    assert len([line for line in lines if line.startswith("gpt-4o > ")]) == running
    assert ("targets: 12, all healthy" in lines) is (healthy == 0)
    assert (f"… {12 - healthy} more, all healthy" in lines) is (0 < healthy < 12)
    assert (f"… {9 - running} more" in lines) is (running < 9)


def test_targets_that_are_out_come_first_where_not_all_fit() -> None:
    lines = drawn(of_targets(*["closed"] * 8, "open", "half_open", limits=6), height=30)
    names = [line.split()[0] for line in lines if re.match(r"p\d/m", line)]
    assert names == ["p8/m", "p9/m"] and "… 8 more, all healthy" in lines and "limits: 6, all below 80%" in lines
    assert len([line for line in lines if line.startswith("gpt-4o > ")]) == 9 and len(lines) == 30
    first = next(line for line in drawn(of_targets("closed", "open")) if re.match(r"p\d/m", line))
    assert first.startswith("p0/m"), "without a window they stay in order"


def test_clients_and_sessions_are_listed_when_the_page_has_them() -> None:
    metrics = recorded(ended(headers=CIMultiDict({"x-session-id": "s-1"})), ended(status=500))

    lines = drawn(page(metrics))

    assert lines[lines.index("clients: 1") + 2].split()[:3] == ["127.0.0.1", "2", "50.0%"]
    assert lines[lines.index("sessions: 1") + 2].split()[:3] == ["s-1", "1", "100%"]


def test_a_fault_is_reported_above_what_was_last_seen() -> None:
    lines = drawn(page(), fault="no server at")

    assert lines[2] == "no server at; trying again" and any("openai" in line for line in lines)


def test_errors_stand_out() -> None:
    lines = drawn(page(recorded(ended(status=500))), colour=True)

    (model,) = [line for line in lines if "gpt-4o" in line and "http_500" not in line]
    assert "\x1b[1;31m" in model
    assert "\x1b[" not in "".join(drawn(page(recorded(ended(status=500)))))


def test_text_of_others_cannot_move_the_cursor_nor_be_markup() -> None:
    evil = "\x1b[2J[red]x[/nope]\r\n"
    exchange = under_way(model=evil, headers=CIMultiDict({"x-session-id": "a\x07"}))

    text = "\n".join(drawn(page(recorded(ended(model=evil, status=500)), exchange), width=200))

    assert "\x1b" not in text and "\r" not in text and "\x07" not in text
    assert "[red]x[/nope]" in text


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"version": 7, "uptime_seconds": "x", "requests": [], "totals": None, "providers": [], "running": 3},
        {"providers": {"a": None, "b": {"models": []}, "c": {"models": {"m": None}, "errors": 4, "latency_ms": 1}}},
        {"running": {"exchanges": [None, {}, {"age_ms": "x", "sent_bytes": None}], "count": "x"}},
        {"clients": [{"last_seen": "yesterday"}, {"errors": 2, "last_seen": 3}], "sessions": {}},
        {"started": "2026-01-02T03:04:05Z", "uptime_seconds": 1e9, "clients": [{"last_seen": "9999-12-31T23:59:59Z"}]},
    ],
)
def test_a_page_that_lacks_or_changes_members_is_shown_as_far_as_it_goes(shown: dict[str, Any]) -> None:
    lines = drawn(shown)

    assert lines[0].startswith("llmproxy ") and lines[1].startswith("- requests")


def test_each_target_has_a_row_with_the_state_of_its_breaker() -> None:
    targets = [
        {"provider": "a", "model": "gpt", "state": "closed", "recent_failures": 0, "opened": 1, "next_try_ms": None},
        {"provider": "b", "model": None, "state": "open", "recent_failures": 7, "opened": 2, "next_try_ms": 12000},
        {"state": "of another version"},
    ]
    lines = drawn(page() | {"targets": targets})
    start = lines.index("targets: 3")
    rows = [line.split() for line in lines[start + 2 : start + 4]]
    assert rows == [["a/gpt", "healthy", "0", "1"], ["b", "out", "7", "2", "12s"]]


def test_costs_have_a_column_and_a_sum() -> None:
    lines = drawn(page(recorded(ended(cost_usd=0.25), ended())), width=140)
    assert "cost $0.2500, cost of 1 call unknown" in lines[1]
    assert row(lines, "openai")["cost"] == "$0.2500"

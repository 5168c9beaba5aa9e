from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict

from llmproxy.client_request import Client
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.metrics import stats
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.stats import Snapshot, running_exchanges
from llmproxy.target import Target
from tests.metrics.test_counters import OPENAI, ended, figures, recorded
from tests.support.exchanges import new_call


def shown(
    metrics: Metrics, *running: Exchange, by: tuple[str, ...] = (), providers: tuple[str, ...] = ()
) -> dict[str, Any]:
    snapshot = Snapshot.of(
        metrics, running_exchanges(running), started_s=time.monotonic() - 10, providers=providers, by=by
    )
    page: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(snapshot.as_json()))
    return page


def model(metrics: Metrics, name: str = "gpt-4o") -> dict[str, Any]:
    found: dict[str, Any] = shown(metrics)["providers"]["openai"]["models"][name]
    return found


def under_way(**changes: Any) -> Exchange:
    """Return a streamed call that began a second ago and goes on."""
    now_s = time.monotonic()
    given = {"outcome": "", "ended_s": None, "stream": True, "started_s": now_s - 1, "first_byte_s": now_s - 0.5}
    return ended(**(given | changes))


def took(seconds: float, **changes: Any) -> Exchange:
    return ended(ended_s=100.0 + seconds, **changes)


def test_figures_are_by_provider_and_model_and_add_up() -> None:
    metrics = recorded(ended(), ended(model="o3"), ended(model="o3", status=429))

    page = shown(metrics)

    openai = page["providers"]["openai"]
    assert {name: row["requests"] for name, row in openai["models"].items()} == {"gpt-4o": 1, "o3": 2}
    assert openai["requests"] == page["totals"]["requests"] == page["requests"]["total"] == 3
    assert openai["models"]["o3"]["errors"] == page["totals"]["errors"] == {"http_429": 1}
    assert openai["models"]["o3"]["success_rate"] == 0.5


def test_counts_are_those_of_the_metrics() -> None:
    usage = Summary(usage=Usage(input=7, output=5, cache_read=2))
    metrics = recorded(
        ended(summary=usage),
        ended(),
        ended(status=500),
        ended(status=504, outcome="error", error=UpstreamError("slow", status=504)),
        ended(stream=True, outcome="cancelled"),
        ended(stream=True, outcome="incomplete"),
    )

    row, same = model(metrics), figures(metrics)

    assert row["requests"] == same["total_requests"] and row["success_rate"] == same["success_rate"]
    assert row["errors"] == same["error_counts"] and row["cancelled"] == same["cancelled"]
    assert row["tokens"] == same["tokens"] and row["usage_unknown"] == same["usage_unknown"]


def test_percentiles_leave_out_what_a_client_cancelled() -> None:
    metrics = recorded(*(took(n / 10) for n in range(1, 101)), took(1000, outcome="cancelled"))

    assert model(metrics)["latency_ms"] == pytest.approx({"p50": 5000, "p95": 9500, "p99": 9900}, rel=0.05)


def test_the_percentiles_of_a_provider_are_those_of_all_its_models() -> None:
    metrics = recorded(took(1), took(1), took(9, model="o3"))

    page = shown(metrics)

    assert page["providers"]["openai"]["latency_ms"]["p50"] == pytest.approx(1000, rel=0.05)
    assert page["totals"]["latency_ms"]["p99"] == pytest.approx(9000, rel=0.05)


def test_tokens_per_second_are_the_output_of_streams_over_the_time_from_first_token_to_end() -> None:
    message = Summary(usage=Usage(input=1, output=60), complete=True)
    metrics = recorded(
        took(4, stream=True, first_token_s=101.0, summary=message),
        took(3, stream=True, first_token_s=102.0, summary=message),
        took(9, stream=True, first_token_s=101.0),
        took(9, summary=message),
    )

    row = model(metrics)

    assert row["tokens_per_second"] == 30.0
    assert row["first_token_ms"]["p95"] == pytest.approx(2000, rel=0.05)


def test_what_nobody_knows_is_null() -> None:
    row = shown(Metrics(), providers=("openai",))["providers"]["openai"]

    assert (row["requests"], row["in_flight"], row["errors"], row["models"]) == (0, 0, {}, {})
    assert row["success_rate"] is None and row["tokens_per_second"] is None
    assert set(row["latency_ms"].values()) | set(row["first_token_ms"].values()) | set(row["tokens"].values()) == {None}


def test_a_failed_attempt_that_another_took_over_counts_for_its_own_provider() -> None:
    attempts = [
        new_call(provider="first", model="m", status=503, ended_s=0.1),
        new_call(provider="openai", model="gpt-4o", status=200, started_s=0.1),
    ]
    page = shown(recorded(ended(calls=attempts)))

    first = page["providers"]["first"]
    assert (first["requests"], first["failed_over"], first["errors"]) == (1, 1, {"http_503": 1})
    assert page["providers"]["openai"]["failed_over"] == 0
    assert (page["requests"]["total"], page["totals"]["requests"], page["totals"]["failed_over"]) == (1, 2, 1)


def test_own_pages_are_not_among_the_requests() -> None:
    own: dict[str, Any] = {"method": "GET", "template": "/health", "target": None, "endpoint": None}
    page = shown(recorded(ended(own=True, **own)), under_way(own=True), by=("client",))

    assert page["requests"]["total"] == page["requests"]["in_flight"] == page["running"]["count"] == 0
    assert page["requests"]["per_second"] == 0 and page["clients"] == []


def test_requests_are_reported_by_status_also_those_that_reached_no_provider() -> None:
    refused = ended(status=404, target=None, outcome="error")
    page = shown(recorded(ended(), refused, ended(status=None, outcome="cancelled")))

    assert page["requests"]["by_status"] == {"200": 1, "404": 1, "499": 1}
    assert page["requests"]["cancelled"] == 1


def test_what_runs_is_shown_with_the_oldest_first() -> None:
    headers = CIMultiDict({"x-session-id": "s-1", "authorization": "Bearer sk-secret"})
    old = under_way(id="a", request_id="r", headers=headers, query="key=sk-secret", sent_bytes=9, first_token_s=None)
    young = under_way(id="b", started_s=time.monotonic(), target=None, model=None, first_byte_s=None)

    running = shown(Metrics(), old, young)["running"]

    assert running["count"] == 2 and [each["id"] for each in running["exchanges"]] == ["a", "b"]
    first = running["exchanges"][0]
    assert first.pop("age_ms") >= 1000
    assert first == {
        "id": "a",
        "request_id": "r",
        "client": "127.0.0.1",
        "session": "s-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": "gpt-4o",
        "provider": "openai",
        "stream": True,
        "status": 200,
        "sent_bytes": 9,
        "first_token_ms": None,
    }


def test_the_first_token_of_what_runs_is_reported_once_it_was_seen() -> None:
    exchange = under_way()
    exchange.first_token_s = exchange.started_s + 0.25

    (row,) = shown(Metrics(), exchange)["running"]["exchanges"]

    assert row["first_token_ms"] == pytest.approx(250)


def test_only_so_many_of_those_that_run_are_listed() -> None:
    page = shown(Metrics(), *(under_way(id=str(number)) for number in range(stats.MAX_RUNNING + 1)))

    assert page["running"]["count"] == stats.MAX_RUNNING + 1
    assert len(page["running"]["exchanges"]) == stats.MAX_RUNNING
    assert page["providers"]["openai"]["models"]["gpt-4o"]["in_flight"] == stats.MAX_RUNNING + 1


def test_in_flight_counts_for_the_model_that_the_provider_was_asked_for() -> None:
    target = Target(provider=OPENAI.provider, model="gpt-6")
    page = shown(Metrics(), under_way(model="smart", target=target), under_way(target=None))

    assert page["requests"]["in_flight"] == 2
    assert page["totals"]["in_flight"] == page["providers"]["openai"]["in_flight"] == 1
    assert page["providers"]["openai"]["models"]["gpt-6"]["in_flight"] == 1


def test_bytes_that_are_no_text_can_be_shown() -> None:
    odd = under_way(full_path="/\udcff", model="\ud800" * 300)

    (row,) = shown(Metrics(), odd)["running"]["exchanges"]

    assert row["path"] == "/\ufffd" and len(row["model"]) <= 200


def test_clients_and_sessions_are_shown_when_asked_for_with_the_latest_first() -> None:
    def of(address: str, session: str) -> Exchange:
        return ended(
            client=Client(address=address),
            headers=CIMultiDict({"x-session-id": session}),
            summary=Summary(usage=Usage(input=1, output=2)),
        )

    metrics = recorded(of("a", "1"), of("b", "2"), of("a", "3"))

    page = shown(metrics, by=("client", "session"))

    assert [(row["client"], row["requests"]) for row in page["clients"]] == [("a", 2), ("b", 1)]
    assert [row["session"] for row in page["sessions"]] == ["3", "2", "1"]
    first = page["clients"][0]
    assert (first["success_rate"], first["errors"], first["cancelled"], first["in_flight"]) == (1.0, 0, 0, 0)
    assert first["tokens"]["output"] == 4 and first["avg_duration_ms"] == pytest.approx(250)
    assert first["first_seen"] < first["last_seen"] and first["last_seen"].endswith("Z")
    assert not {"clients", "sessions"} & shown(metrics).keys()


def test_a_client_that_waits_for_its_first_answer_is_shown_too() -> None:
    page = shown(Metrics(), under_way(), under_way(), by=("client", "session"))

    (row,) = page["clients"]
    assert (row["client"], row["in_flight"], row["requests"]) == ("127.0.0.1", 2, 0)
    assert row["success_rate"] is None and row["avg_duration_ms"] is None
    assert page["sessions"] == []

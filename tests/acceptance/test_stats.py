"""How a running server does: `/stats`, `llmproxy stats`, and the file by which commands find the server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import CLAUDE_KEY, KEY
from tests.support import vendors
from tests.support.program import Program, run
from tests.support.provider import Gate, Reply, Upstream, drop
from tests.support.terminal import Terminal
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
FIGURES = {
    *("requests", "in_flight", "success_rate", "cancelled", "failed_over", "errors", "latency_ms", "first_token_ms"),
    *("tokens_per_second", "tokens", "usage_unknown", "cost_usd", "cost_unknown"),
}


def stats(program: Program, query: str = "") -> Any:
    answer = program.get(f"/stats{query}")
    assert answer.status == 200, answer
    return answer.json


def settled(program: Program, provider: str, model: str, requests: int) -> Any:
    """Return the figures of a model, once so many calls were counted."""

    def row() -> Any:
        found = stats(program)["providers"][provider]["models"].get(model)
        return found if found and found["requests"] >= requests and not found["in_flight"] else None

    return until(row, f"{requests} calls to {model}")


def two_providers(directory: Path, upstream: Upstream) -> Program:
    url = f"{upstream.url}/v1"
    config = f"""
providers:
  - {{name: first, type: openai, base_url: "{url}", api_key: {KEY}, models: ["first-*"]}}
  - {{name: second, type: openai, base_url: "{url}", api_key: {KEY}, models: ["second-*"]}}
models:
  - name: smart
    targets: [{{provider: first, model: first-1}}, {{provider: second, model: second-1}}]
"""
    return Program(directory, "serve", config=config)


@pytest.mark.ledger("H7")
def test_the_page_tells_requests_success_latency_and_tokens_by_provider_and_model(
    both: Program, upstream: Upstream
) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests"))
    options = {"include_usage": True}
    for stream in (False, False, True):
        both.post(CHAT, {"model": "gpt-stats", "stream": stream, "stream_options": options if stream else None})

    row = settled(both, "main", "gpt-stats", 3)

    assert set(row) == FIGURES
    assert (row["success_rate"], row["errors"]) == (0.666667, {"http_429": 1})
    assert row["tokens"]["input"] == 2 * vendors.IN and row["tokens"]["output"] == 2 * vendors.OUT
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"] < 15_000
    assert 0 < row["first_token_ms"]["p50"] <= row["first_token_ms"]["p95"]
    assert row["tokens_per_second"] > 0


@pytest.mark.ledger("H7")
def test_the_page_agrees_with_the_metrics(both: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(500, "Oops"), drop)
    for _ in range(4):
        both.post(CHAT, {"model": "gpt-agree"})

    row = settled(both, "main", "gpt-agree", 4)
    whole, figures = stats(both)["providers"]["main"], both.metrics_json()["main"]

    assert row["requests"] == both.metric("llmproxy_provider_requests_total", model="gpt-agree")
    assert row["tokens"]["input"] == both.metric("llmproxy_tokens_total", model="gpt-agree", type="input")
    assert whole["requests"] == figures["total_requests"] and whole["success_rate"] == figures["success_rate"]
    assert whole["errors"] == figures["error_counts"] and whole["tokens"] == figures["tokens"]


@pytest.mark.ledger("H7")
def test_what_was_never_asked_is_unknown_not_zero(tmp_path: Path, upstream: Upstream) -> None:
    with two_providers(tmp_path, upstream) as program:
        page = stats(program)
        row = page["providers"]["second"]
        assert row["requests"] == 0 and row["success_rate"] is None and row["tokens_per_second"] is None
        assert set(row["tokens"].values()) | set(row["latency_ms"].values()) == {None}
        assert page["requests"]["total"] == 0, "the page does not count itself"


@pytest.mark.ledger("H7")
def test_an_attempt_that_another_provider_made_good_is_told(tmp_path: Path, upstream: Upstream) -> None:
    upstream.next(vendors.failure(503, "Busy"))
    with two_providers(tmp_path, upstream) as program:
        assert program.post(CHAT, {"model": "smart"}).status == 200
        first, second = settled(program, "first", "first-1", 1), settled(program, "second", "second-1", 1)
    assert (first["failed_over"], first["errors"], first["success_rate"]) == (1, {"http_503": 1}, 0.0)
    assert (second["failed_over"], second["success_rate"]) == (0, 1.0)


@pytest.mark.ledger("H7")
def test_a_stream_in_flight_is_shown_while_it_runs(both: Program, upstream: Upstream) -> None:
    gate = Gate()
    frames = vendors.chat_frames("gpt-flight", False, True)
    upstream.next(Reply(headers=vendors.SSE, pieces=[*frames[:3], gate, *frames[3:]], framing="chunked"))
    with both.client() as client:
        client.post(f"{CHAT}?key=sk-query", {"model": "gpt-flight", "stream": True}, "x-session-id: s-flight")

        def mine() -> Any:
            listed = stats(both)["running"]["exchanges"]
            return next((each for each in listed if each["model"] == "gpt-flight" and each["first_token_ms"]), None)

        row = until(mine, "the stream to be shown")
        assert (row["session"], row["client"], row["path"]) == ("s-flight", "127.0.0.1", CHAT)
        assert (row["provider"], row["stream"], row["method"], row["status"]) == ("main", True, "POST", 200)
        assert row["sent_bytes"] > 0 and row["age_ms"] >= row["first_token_ms"]
        assert stats(both)["providers"]["main"]["models"]["gpt-flight"]["in_flight"] == 1
        gate.open()
        answer = client.read_answer()
        assert answer.value("x-request-id") == row["request_id"]
    assert settled(both, "main", "gpt-flight", 1)["tokens"]["output"] == vendors.OUT
    assert row["id"] not in [each["id"] for each in stats(both)["running"]["exchanges"]]


@pytest.mark.ledger("H7")
def test_sessions_and_clients_are_told_on_demand(both: Program, upstream: Upstream) -> None:
    for session in ("s-a", "s-b", "s-a"):
        both.post(CHAT, {"model": "gpt-x"}, f"x-session-id: {session}")
    until(lambda: [row for row in stats(both, "?by=session")["sessions"] if row["requests"] == 2], "the session")

    page = stats(both, "?by=session,client")

    sessions = {row["session"]: row for row in page["sessions"]}
    assert (sessions["s-a"]["requests"], sessions["s-b"]["requests"]) == (2, 1)
    assert sessions["s-a"]["tokens"]["input"] == 2 * vendors.IN
    assert page["clients"][0]["client"] == "127.0.0.1" and page["clients"][0]["requests"] >= 3
    assert not {"clients", "sessions"} & stats(both).keys()
    assert both.get("/stats?by=moon").status == 400
    assert both.post("/stats", {}).status == 405


@pytest.mark.ledger("H7")
def test_no_secret_is_on_the_page(both: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(401, "Unauthorized"))
    for _ in range(2):
        both.post(f"{CHAT}?key=sk-query", {"model": "gpt-x"}, "Authorization: Bearer sk-theirs", "x-api-key: sk-theirs")
    body = both.get("/stats?by=session,client").body
    for secret in (KEY, CLAUDE_KEY, "sk-query", "sk-theirs"):
        assert secret.encode() not in body


@pytest.mark.ledger("O2")
def test_the_metrics_as_json_tell_of_sessions_beside_providers(both: Program, upstream: Upstream) -> None:
    before = both.metrics_json()["sessions"]
    both.post(CHAT, {"model": "gpt-x"}, "x-session-id: s-metrics")

    until(lambda: both.metrics_json()["sessions"]["created"] == before["created"] + 1, "the session to be counted")

    figures = both.metrics_json()
    assert figures["sessions"]["active"] == before["active"] + 1
    assert {"total_requests", "success_rate", "avg_response_time", "error_counts"} <= figures["main"].keys()


@pytest.mark.ledger("C6")
def test_the_command_shows_a_running_server_without_being_told_where_it_is(both: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests"))
    both.post(CHAT, {"model": "gpt-shown"})
    both.post(CHAT, {"model": "gpt-shown"}, "x-session-id: s-shown")
    settled(both, "main", "gpt-shown", 2)

    shown = run("stats", "--by", "session", cwd=both.directory)
    as_json = run("stats", "--once", "--json", cwd=both.directory)

    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("  gpt-shown ")]
    assert line.split()[1:3] == ["2", "50.0%"] and line.split()[-1] == "1"
    assert "main gpt-shown: http_429 1" in shown.stdout and "\ns-shown " in shown.stdout
    assert json.loads(as_json.stdout)["providers"]["main"]["models"]["gpt-shown"]["requests"] == 2
    assert (shown.returncode, shown.stderr, as_json.returncode) == (0, "", 0)


@pytest.mark.ledger("C6")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_table_follows_the_traffic_in_eighty_columns(both: Program, upstream: Upstream) -> None:
    with Terminal(both.directory, "stats", columns=80, lines=200) as terminal:
        terminal.wait_for("provider / model")
        upstream.next(vendors.failure(500, "Oops"))
        both.post(CHAT, {"model": "gpt-live-with-a-name-that-is-far-too-long-for-it"})
        terminal.wait_for("  gpt-live-with")
        assert max(map(len, terminal.text.replace("\r", "\n").splitlines())) <= 80
        terminal.press("\x03")
        assert terminal.wait() == 0


@pytest.mark.ledger("C6")
def test_the_state_file_says_where_the_traces_are(tmp_path: Path) -> None:
    with Program(tmp_path, "serve", "--trace", "logs") as program:
        (path,) = tmp_path.rglob("servers/*.json")
        said = json.loads(path.read_text())
        assert (said["pid"], said["url"], said["traces"]) == (program.pid, program.url, [str(tmp_path / "logs")])
        assert program.metric("llmproxy_records_lost_total", middleware="trace") == 0
    assert not list(tmp_path.rglob("servers/*.json"))

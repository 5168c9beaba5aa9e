"""The audit log of a running program: a line for each exchange, and none lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import msgspec
import openai
import pytest

from llmproxy.records.audit_file import AuditLine
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import Cut
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK: dict[str, object] = {"model": "gpt-x", "messages": []}
KEY, CLIENT_KEY = "sk-provider-3e9a", "sk-client-77b1"

pytestmark = pytest.mark.ledger("M4")


class Audited:
    """The program with an audit log, and what stands in that."""

    def __init__(self, program: Program, path: Path) -> None:
        self.program = program
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def line(self, request_id: str) -> dict[str, Any]:
        """Return the one line about that request, once it is there."""

        def find() -> list[dict[str, Any]]:
            return [line for line in self.lines() if line["request_id"] == request_id]

        [found] = until(find, f"the line about {request_id}")
        jsonschema.validate(found, msgspec.json.schema(AuditLine))
        return found


def config(upstream: Upstream, path: Path, settings: str = "") -> str:
    return f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*"]}}
  - {{name: spare, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*"]}}
models:
  - {{name: fast, retries: 0, targets: [{{provider: main, model: gpt-a}}, {{provider: spare, model: gpt-b}}]}}
middlewares:
  - type: audit
    config: {{path: "{path}"{settings}}}
"""


@pytest.fixture(scope="module")
def lasting_audited(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    home = tmp_path_factory.mktemp("audit")
    path = home / "log" / "audit.jsonl"
    with Program(home, config=config(lasting_upstream, path)) as program:
        yield Audited(program, path)


@pytest.fixture
def audited(lasting_audited: Audited, upstream: Upstream) -> Audited:
    return lasting_audited


def test_a_call_of_the_sdk_is_one_line(audited: Audited) -> None:
    headers = {"x-request-id": "plain", "x-session-id": "talk-1"}
    with openai.OpenAI(base_url=f"{audited.program.url}/v1", api_key=CLIENT_KEY) as client:
        client.chat.completions.create(model="fast", messages=[], extra_headers=headers)
    line = audited.line("plain")
    expected = {
        "client": "127.0.0.1",
        "session": "talk-1",
        "method": "POST",
        "path": CHAT,
        "dialect": "chat",
        "model": "fast",
        "served_model": "gpt-a",
        "provider": "main",
        "route": "fast",
        "outcome": "complete",
        "status": 200,
        "error": None,
        "input_tokens": vendors.IN,
        "output_tokens": vendors.OUT,
        "cache_read_tokens": vendors.CACHED,
        "cache_write_tokens": None,
        "reasoning_tokens": vendors.REASONING,
        "attempts": 1,
    }
    assert line | expected == line and line["agent"].startswith("OpenAI/Python") and line["response_bytes"] > 100


def test_streams_failures_and_those_who_left_are_lines_too(audited: Audited, upstream: Upstream) -> None:
    program = audited.program
    stream = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    program.post(CHAT, stream, "x-request-id: streamed")
    line = audited.line("streamed")
    assert line["stream"] and line["first_token_ms"] <= line["duration_ms"] and line["output_tokens"] == vendors.OUT

    upstream.next(vendors.failure(500, "Oh"))
    program.post(CHAT, ASK | {"model": "fast"}, "x-request-id: failed-over")
    line = audited.line("failed-over")
    assert (line["status"], line["provider"], line["served_model"], line["attempts"]) == (200, "spare", "gpt-b", 2)
    assert program.post("/nowhere", ASK, "x-request-id: nowhere").status == 404
    line = audited.line("nowhere")
    assert (line["status"], line["outcome"], line["provider"], line["attempts"]) == (404, "error", None, 0)

    upstream.next(vendors.failure(500, "Oh"), vendors.failure(503, "Oh"))
    program.post(CHAT, ASK | {"model": "fast"}, "x-request-id: twice")
    line = audited.line("twice")
    assert (line["status"], line["error"], line["attempts"]) == (503, "provider_error", 2)
    assert line["provider"] == "spare" and line["input_tokens"] is None

    upstream.next(Reply(headers=vendors.SSE, pieces=[b"data: {}\n\n", b"da"], framing="chunked", end="cut"))
    with program.client() as client, pytest.raises(Cut):
        client.post(CHAT, stream, "x-request-id: broken")
        client.read_answer()
    line = audited.line("broken")
    assert (line["outcome"], line["error"]) == ("broken", "upstream_stream_broken")

    upstream.hold()
    with program.client() as client:
        client.post(CHAT, stream, "x-request-id: leaver")
        call = upstream.take()
        client.reset()
    call.wait_left()
    assert (audited.line("leaver")["outcome"], audited.line("leaver")["status"]) == ("cancelled", None)


def test_no_secret_and_no_content_is_in_it(audited: Audited, upstream: Upstream) -> None:
    refused = b'{"error": {"message": "wrong key ' + KEY.encode() + b'"}}'
    upstream.next(Reply(status=401, reason="No", headers=vendors.JSON, pieces=[refused]))
    body = {"model": f"gpt-{CLIENT_KEY}", "messages": [{"role": "user", "content": "private matter"}]}
    headers = (f"Authorization: Bearer {CLIENT_KEY}", f"x-session-id: {CLIENT_KEY}", f"User-Agent: {CLIENT_KEY}")
    audited.program.post(f"{CHAT}?key={CLIENT_KEY}", body, *headers, "x-request-id: secretive")
    assert audited.line("secretive")["status"] == 401
    text = audited.path.read_text()
    assert CLIENT_KEY not in text and KEY not in text and "private matter" not in text


def test_every_exchange_is_found_in_one_of_the_files_after_rotation(upstream: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Program(tmp_path, config=config(upstream, path, ", max_size: 4KB, fsync: always")) as program:
        with program.client() as client:
            for number in range(60):
                client.post(CHAT, ASK, f"x-request-id: call-{number}")
                assert client.read_answer().status == 200
        until(lambda: len(list(tmp_path.glob("audit-*.jsonl"))) >= 3, "files to be put aside")
    lines = [line for each in tmp_path.glob("audit*.jsonl") for line in each.read_text().splitlines()]
    assert sorted(json.loads(line)["request_id"] for line in lines) == sorted(f"call-{number}" for number in range(60))


def test_a_directory_that_goes_away_costs_no_line_and_no_answer(upstream: Upstream, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with Program(tmp_path, config=config(upstream, place / "audit.jsonl")) as program:
        place.rename(tmp_path / "away")
        place.write_text("something else")
        assert program.post(CHAT, ASK, "x-request-id: kept").status == 200

        def state() -> Any:
            [shown] = program.get("/health").json["middlewares"]
            return shown

        until(lambda: state()["waiting"] == 1, "the line to be kept")
        assert state()["type"] == "audit" and state()["fault"] and state()["lost"] == 0
        place.unlink()
        until(lambda: state()["waiting"] == 0, "the line to be written")
        assert program.err.count("lines are kept and tried again") == 1
    [line] = (place / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["request_id"] == "kept"


def test_a_killed_program_leaves_whole_lines(upstream: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    program = Program(tmp_path, config=config(upstream, path))
    with pytest.raises(AssertionError, match="exit code -9"), program:
        program.post(CHAT, ASK, "x-request-id: before")
        until(lambda: path.exists() and path.read_text().endswith("\n"), "the line")
        program.signal(signal.SIGKILL)
    with Program(tmp_path, config=config(upstream, path)) as again:
        again.post(CHAT, ASK, "x-request-id: after")
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == ["before", "after"]

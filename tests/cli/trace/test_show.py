from __future__ import annotations

import base64
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from llmproxy.cli.trace import show as traceshow
from tests.support.event_messages import message_of
from tests.support.records import head, record, request, response


def shown(
    directory: Path, capsys: pytest.CaptureFixture[str], /, *, headers: bool = False, width: int = 80, **changes: Any
) -> str:
    traceshow.print_record(Console(file=StringIO(), width=width), record(directory, **changes), headers=headers)
    return capsys.readouterr().out


def test_a_record_is_reported_from_head_to_timeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempts = [
        {
            "provider": "one",
            "model": "m",
            "url": "https://one/x",
            "status": None,
            "error": "connect_error",
            "started_ms": 1,
            "ended_ms": 9,
        },
        {
            "provider": "two",
            "model": "m",
            "url": "https://two/x",
            "status": 200,
            "error": None,
            "started_ms": 10,
            "ended_ms": 90,
        },
    ]
    output = shown(
        tmp_path, capsys, attempts=attempts, query="a=b", served_model="gpt-4o-mini", dropped=["seed"], session="s1"
    )
    for part in (
        "POST /v1/chat/completions?a=b",
        "gpt-4o > gpt-4o-mini",
        "tokens   10 in, 5 out",
        "dropped  seed",
        "session  s1",
        "one m https://one/x: connect_error after 8.0ms",
        "two m https://two/x: status 200 after 80ms",
        "  user\n    Hi\n",
        "  assistant\n    Hello\n",
    ):
        assert part in output, f"{part!r} in\n{output}"


def test_nothing_that_a_terminal_obeys_comes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[2J\x9b31m\u202e\x07"
    body = {"model": bad, "messages": [{"role": "user", "content": bad, "name": bad}]}
    changes: dict[str, Any] = {
        name: bad for name in ("model", "session", "path", "query", "provider", "route", "finish_reason")
    }
    output = shown(
        tmp_path,
        capsys,
        headers=True,
        width=80,
        **changes,
        request=request(body, headers={bad: bad}),
        response=response(bad, format="text"),
        error={"code": bad, "message": bad},
        client={"address": bad, "agent": bad, "name": bad},
    )
    assert not set("\x1b\x9b\u202e\x07") & set(output)


def test_null_fields_are_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = [name for name, value in head().items() if name not in ("version", "client", "dropped", "attempts")]
    kept = ("id", "request_id", "started", "duration_ms", "method", "path", "outcome", "complete", "stream")
    changes: dict[str, Any] = {name: None for name in nothing if name not in kept}
    empty = {"headers": None, "size": 0, "format": None, "body": None}
    output = shown(tmp_path, capsys, **changes, request=request(**empty), response=response(**empty))
    assert "None" not in output and not any(line.endswith(" -") for line in output.splitlines())


def test_headers_are_shown_when_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "authorization" not in shown(tmp_path, capsys)
    assert "request headers\n  host: 127.0.0.1:3000\n  authorization: **********" in shown(
        tmp_path, capsys, headers=True
    )


def test_a_websocket_shows_its_frames_and_who_closed_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"client_frames": 2, "client_bytes": 41, "provider_frames": 3, "provider_bytes": 333}
    output = shown(tmp_path, capsys, websocket={**counts, "close_code": 1000, "closed_by": "client"})
    assert "  frames   2 from the client, 3 from the provider; closed by the client with 1000\n" in output


def test_an_error_is_the_first_that_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "upstream_timeout", "message": "no answer for 30 s"}
    output = shown(tmp_path, capsys, error=error, status=504, outcome="error")
    assert output.splitlines()[1] == "  error    upstream_timeout: no answer for 30 s"
    assert "unknown" not in output


def test_text_is_wrapped_between_words_within_its_indent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "words of several lengths, " * 9 + "x" * 99 + "日本" * 30}],
    }
    output = shown(tmp_path, capsys, width=40, request=request(body))
    lines = output.partition("conversation")[2].partition("  assistant")[0].splitlines()[2:]
    assert all(line.startswith("    ") and cell_len(line) <= 40 and not line.endswith(" ") for line in lines)
    assert "    words of several lengths, words of\n    several" in output


def test_in_a_pipe_lines_stay_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    body = {"model": "m", "messages": [{"role": "user", "content": "word " * 90}]}
    assert "word " * 89 in shown(tmp_path, capsys, request=request(body))


def test_what_is_no_conversation_is_laid_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = response({"error": {"message": "slow down"}}, truncated=True, size=5000)
    output = shown(tmp_path, capsys, status=429, request=request("/wA=", format="base64"), response=error)
    assert "[2B of binary data]" in output
    assert '"message": "slow down"' in output
    assert "has only a part of the answer of 4.9KB" in output


def test_long_streams_are_reported_in_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunks = [{"at_ms": float(number), "text": f"data: {number}\n\n"} for number in range(500)]
    output = shown(tmp_path, capsys, dialect=None, response=response(None, format=None, chunks=chunks))
    assert "... 492 more chunks" in output
    assert output.split("timeline")[1].count("data:") == 8


def test_binary_messages_are_shown_as_their_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = message_of("messageStop", {"stopReason": "end_turn"})
    chunks = [
        {"at_ms": 1.0, "base64": base64.b64encode(each).decode()} for each in (whole, whole[:9], b"no message" * 9)
    ]
    output = shown(tmp_path, capsys, dialect="converse", response=response(None, format=None, chunks=chunks))
    assert "1.0ms  finish end_turn" in output and "base64" not in output


def test_raw_is_byte_for_byte(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    chunks = [{"at_ms": 1.0, "text": "data: ä\n\n"}, {"at_ms": 2.0, "base64": "/wA="}]
    output = record(tmp_path, request=request({"a": 1}), response=response(None, format=None, chunks=chunks))
    traceshow.print_raw(output)
    assert capsysbinary.readouterr().out == '{"a": 1}\ndata: ä\n\n'.encode() + b"\xff\x00\n"


def test_json_is_the_whole_record(capsys: pytest.CaptureFixture[str]) -> None:
    traceshow.print_record_json('{"a": ["ü\x9b", {"b": null}]}'.encode())
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": ["ü\x9b", {"b": None}]} and "\x9b" not in out

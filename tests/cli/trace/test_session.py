from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from llmproxy.cli.trace import session as tracesession
from llmproxy.records.record import Record
from tests.support.records import ANSWERED, record, request, response

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
USER: dict[str, Any] = {"role": "user", "content": "Rain in Ulm?"}


def shown(capsys: pytest.CaptureFixture[str], *records: Record) -> str:
    tracesession.print_session(Console(file=StringIO(), width=100), records)
    return capsys.readouterr().out


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return request({"model": "m", "messages": list(messages)})


def calling() -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return response({**ANSWERED, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})


def streamed() -> dict[str, Any]:
    delta = {"content": "It rains"}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunk = {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
    texts = [f"data: {json.dumps(chunk)}\n\n", "data: [DONE]\n\n"]
    chunks = [{"at_ms": float(number), "text": text} for number, text in enumerate(texts)]
    return response(None, format=None, chunks=chunks)


def test_dialects_tools_and_streams_are_one_conversation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    messages = [
        USER,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Ulm"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}]},
        {"role": "assistant", "content": "It rains"},
        {"role": "user", "content": "Thanks"},
    ]
    reply = {
        **{"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"},
        **{"content": [{"type": "text", "text": "Bye"}], "usage": {"input_tokens": 1, "output_tokens": 1}},
    }
    asked = request({"model": "m", "max_tokens": 9, "messages": messages})
    output = shown(
        capsys,
        record(tmp_path / "1", request=chat(USER), response=calling()),
        record(tmp_path / "2", request=chat(USER, called, result), response=streamed(), stream=True),
        record(tmp_path / "3", dialect="messages", request=asked, response=response(reply)),
    )
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    assert lines == [
        *("  user", "    Rain in Ulm?", "  tool call", "    weather [c1]", "    {", '      "city": "Ulm"', "    }"),
        *("  tool result", "    [c1]", "    rain", "  assistant", "    It rains"),
        *("  user", "    Thanks", "  assistant", "    Bye"),
    ]


def test_each_exchange_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = shown(capsys, record(tmp_path / "1"), record(tmp_path / "2", status=429, served_model="x"))
    head, first, *_ = output.splitlines()
    assert head.split()[:5] == ["time", "id", "status", "took", "model"]
    assert {"000000", "200", "gpt-4o", "10", "5", "100ms"} <= set(first.split())
    assert "\n\n01-02 " in output and "gpt-4o > x" in output


def test_a_failed_exchange_is_reported_with_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = response({"error": {"message": "slow down"}})
    output = shown(capsys, record(tmp_path / "1", status=429, response=error), record(tmp_path / "2"))
    assert '"message": "slow down"' in output and output.count("Hi") == 1 and "no new messages" in output


def test_what_the_client_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = chat({"role": "user", "content": "1"}, {"role": "user", "content": "3"})
    before = chat({"role": "user", "content": "1"}, {"role": "user", "content": "2"})
    output = shown(capsys, record(tmp_path / "1", request=before), record(tmp_path / "2", request=edited))
    assert "leaves out 2 parts of the conversation so far" in output


def test_a_chain_of_responses_is_reported_word_by_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def turn(**members: str) -> dict[str, Any]:
        return request({"model": "m", "instructions": "Be nice", "input": "yes", **members})

    nothing = response(None, format=None, size=0)
    output = shown(
        capsys,
        record(tmp_path / "1", dialect="responses", request=turn(), response=nothing),
        record(tmp_path / "2", dialect="responses", request=turn(previous_response_id="r1"), response=nothing),
    )
    assert output.count("    yes") == 2 and output.count("Be nice") == 1


def test_what_is_no_conversation_is_reported_in_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = request({"rows": [{"n": number} for number in range(100)]})
    output = shown(capsys, record(tmp_path, dialect=None, request=body, response=response({"input_tokens": 3})))
    assert "  request\n    {\n" in output and "... " in output and '"input_tokens": 3' in output
    assert len(output.splitlines()) < 40


def test_bodies_that_are_not_there_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"format": None, "body": None, "size": 9}
    none = record(tmp_path / "1", request=request(**nothing), response=response(**nothing))
    cut = record(tmp_path / "2", request=request('{"mess', format="text", size=5000, truncated=True))
    output = shown(capsys, none, cut)
    assert "the trace has no bodies" in output and "has only a part of the request of 4.9KB" in output
    assert '{"mess' not in output


def test_json_is_one_line_of_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    tracesession.print_record_line('{"a": "ü\x9b",\n"b": [1,\n2]}\n'.encode())
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and json.loads(out) == {"a": "ü\x9b", "b": [1, 2]} and "\x9b" not in out


def test_nothing_that_a_terminal_obeys_comes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[2J\x9b31m\u202e\x07"
    asked = request({"model": bad, "messages": [{"role": "user", "content": bad, "name": bad}]})
    output = shown(
        capsys, record(tmp_path, session=bad, model=bad, request=asked, response=response(bad, format="text"))
    )
    assert not set("\x1b\x9b\u202e\x07") & set(output)

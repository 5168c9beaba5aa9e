from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmproxy.transcripts.transcript import (
    TranscriptPart,
    answer_transcript,
    pretty_json,
    refers_to_stored_state,
    request_bytes,
    request_transcript,
    response_bytes,
)
from tests.support.records import record, request, response

PICTURE = "data:image/png;base64," + "AAAA" * 256


def chat_chunks(*deltas: dict[str, Any], end: bool = True) -> list[dict[str, Any]]:
    frames = [
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, **each}]}
        for each in deltas
    ]
    texts = [f"data: {json.dumps(frame)}\n\n" for frame in frames] + (["data: [DONE]\n\n"] if end else [])
    return [{"at_ms": float(number), "text": text} for number, text in enumerate(texts)]


def stream(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    return response(None, format=None, chunks=chunks)


def test_a_chat_is_reported_turn_by_turn(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be nice"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ],
    }
    output = record(tmp_path, request=request(body))
    assert request_transcript(output) == [
        TranscriptPart("system", "Be nice"),
        TranscriptPart("user", "See"),
        TranscriptPart("user", "[image image/png, 768B]"),
        TranscriptPart("tool call", 'weather [c1]\n{\n  "city": "Ulm"\n}'),
        TranscriptPart("tool result", "[c1]\nrain"),
    ]
    assert answer_transcript(output) == [TranscriptPart("assistant", "Hello")]


def test_ids_that_calls_do_not_have_are_not_shown(tmp_path: Path) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Look"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "sun"}}}]},
    ]
    reply = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "go", "id": "own"}}]}, "index": 0}]}
    output = record(tmp_path, dialect="gemini", request=request({"contents": contents}), response=response(reply))
    shown = [*request_transcript(output), *answer_transcript(output)]
    assert [part.text for part in shown] == ["Look", "look\n{}", "sun", "go [own]\n{}"]


def test_a_stream_is_put_together(tmp_path: Path) -> None:
    chunks = chat_chunks({"delta": {"content": "Hel"}}, {"delta": {"content": "lo"}, "finish_reason": "stop"})
    assert answer_transcript(record(tmp_path, response=stream(chunks))) == [TranscriptPart("assistant", "Hello")]


def test_of_a_broken_stream_what_came_is_reported(tmp_path: Path) -> None:
    chunks = chat_chunks({"delta": {"content": "Hel"}}, end=False)
    assert answer_transcript(record(tmp_path, response=stream(chunks), outcome="broken")) == [
        TranscriptPart("assistant", "Hel")
    ]


def test_messages_are_reported_with_their_thinking(tmp_path: Path) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    reply = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hmm", "signature": "s"},
            {"type": "text", "text": "Yes"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    output = record(tmp_path, dialect="messages", request=request(body), response=response(reply))
    assert request_transcript(output) == [TranscriptPart("user", "Hi")]
    assert answer_transcript(output) == [
        TranscriptPart("thinking", "Hmm"),
        TranscriptPart("assistant", "Yes"),
        TranscriptPart("tool call", "f [t]\n{}"),
    ]


def test_a_completion_is_reported_as_text(tmp_path: Path) -> None:
    reply = {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "there was", "logprobs": None}]}
    body = {"model": "m", "prompt": "Once"}
    output = record(tmp_path, dialect="completions", request=request(body), response=response(reply))
    assert [message.text for message in request_transcript(output)] == ["Once"]
    assert answer_transcript(output) == [TranscriptPart("assistant", "there was")]


@pytest.mark.parametrize(
    "changes",
    [
        {"request": request(None, format=None, size=0), "response": response(None, format=None)},
        {"request": request("text", format="text"), "response": response("/////w==", format="base64")},
        {"request": request({"model": 5}), "response": response({"choices": "none"})},
        {"request": request([1]), "response": response([1])},
        {"dialect": None},
        {"dialect": "foreign"},
    ],
)
def test_what_is_no_conversation_gives_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    output = record(tmp_path, **changes)
    assert request_transcript(output) == []
    assert answer_transcript(output) == []


def test_an_error_is_no_answer(tmp_path: Path) -> None:
    assert answer_transcript(record(tmp_path, status=429, response=response({"error": {"message": "slow down"}}))) == []


def test_bodies_are_given_back_byte_for_byte(tmp_path: Path) -> None:
    output = record(tmp_path, request=request("é\r\n", format="text"), response=response("/wA=", format="base64"))
    assert request_bytes(output.request) == "é\r\n".encode()
    assert response_bytes(output.response) == b"\xff\x00"
    streamed = record(tmp_path, response=stream([{"at_ms": 1, "text": "ä"}, {"at_ms": 2, "base64": "/w=="}]))
    assert response_bytes(streamed.response) == "ä".encode() + b"\xff"


def test_vectors_and_what_is_encoded_are_reported_in_a_word() -> None:
    shown = json.loads(pretty_json({"data": [{"embedding": [0.5] * 1536, "b64": "A" * 4000, "few": [1, 2]}]}))
    assert shown == {"data": [{"embedding": "[1536 numbers]", "b64": "[2.9KB in base64]", "few": [1, 2]}]}


@pytest.mark.parametrize(
    ("members", "refers_back"),
    [
        ({"previous_response_id": "r1"}, True),
        ({"conversation": {"id": "c"}}, True),
        ({"previous_response_id": None, "conversation": None}, False),
        ({}, False),
    ],
)
def test_it_is_reported_whether_a_request_repeats_what_was_reported(
    tmp_path: Path, members: dict[str, Any], refers_back: bool
) -> None:
    assert (
        refers_to_stored_state(record(tmp_path, dialect="responses", request=request({"input": "Hi", **members})))
        is refers_back
    )

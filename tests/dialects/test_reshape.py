"""Answers given again in the other form: held against the golden conversations, as the vendors' SDKs read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmproxy.dialects.chat import COMPLETIONS
from llmproxy.dialects.chat import DIALECT as CHAT
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.embeddings import DIALECT as EMBEDDINGS
from llmproxy.dialects.messages import DIALECT as MESSAGES
from llmproxy.dialects.responses import DIALECT as RESPONSES
from tests.support.sdk_streams import accumulate
from tests.support.translation_cases import CASES as CONVERSATIONS

GOLDEN = Path(__file__).parent.parent / "golden" / "translation"
DIALECTS: dict[str, Dialect] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
CASES = [
    (case.name, name)
    for case in sorted(GOLDEN.iterdir())
    for name in DIALECTS
    if (case / f"{name}.reply.json").is_file() and (case / f"{name}.stream.txt").is_file()
]


def golden(case: str, dialect: str) -> tuple[bytes, bytes]:
    """Return the whole reply and the stream of one golden conversation."""
    reply = GOLDEN / case / f"{dialect}.reply.json"
    [stream] = [each.streams[dialect] for each in CONVERSATIONS if each.name == case]
    return reply.read_bytes(), stream


def plain(value: Any) -> Any:
    """`value` without what says the same in two ways: nulls and empty lists, arguments as text."""
    if isinstance(value, dict):
        members = {name: plain(each) for name, each in value.items() if name not in ("obfuscation", "completed_at")}
        return {name: each for name, each in members.items() if each not in (None, [], {})}
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("case", "dialect"), CASES)
def test_a_stream_tells_the_same_reply(case: str, dialect: str) -> None:
    _, stream = golden(case, dialect)
    made = DIALECTS[dialect].reshape.reply_of(stream)
    if made is None:
        assert b'"usage":{' not in stream.replace(b" ", b"")
        return
    assert plain(json.loads(made)) == plain(accumulate(dialect, stream, named=False))


@pytest.mark.parametrize(("case", "dialect"), CASES)
def test_a_reply_as_a_stream_is_that_reply_to_the_sdk(case: str, dialect: str) -> None:
    reply, _ = golden(case, dialect)
    stream = DIALECTS[dialect].reshape.stream_of(reply, usage=True)
    assert stream is not None
    assert plain(accumulate(dialect, stream)) == plain(json.loads(reply))


@pytest.mark.parametrize(("case", "dialect"), CASES)
def test_there_and_back_no_member_is_lost(case: str, dialect: str) -> None:
    reply, _ = golden(case, dialect)
    replay = DIALECTS[dialect].reshape
    stream = replay.stream_of(reply, usage=True)
    assert stream is not None
    back = replay.reply_of(stream)
    assert back is not None
    assert plain(json.loads(back)) == plain(json.loads(reply))


def test_several_choices_stay_apart_both_ways() -> None:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": f"no {index}"}, "finish_reason": "stop"}
        for index in (0, 1, 2)
    ]
    reply = {"id": "c1", "object": "chat.completion", "choices": choices, "usage": {"total_tokens": 3}}
    stream = CHAT.reshape.stream_of(json.dumps(reply).encode(), usage=True)
    assert stream is not None
    assert plain(json.loads(CHAT.reshape.reply_of(stream) or b"")) == plain(reply)


def test_text_completions_go_both_ways() -> None:
    choices = [{"index": 0, "text": "once upon", "logprobs": None, "finish_reason": "length"}]
    reply = {"id": "c1", "object": "text_completion", "choices": choices, "usage": {"total_tokens": 3}}
    stream = COMPLETIONS.reshape.stream_of(json.dumps(reply).encode(), usage=True)
    assert stream is not None
    assert stream.endswith(b"data: [DONE]\n\n")
    assert json.loads(COMPLETIONS.reshape.reply_of(stream) or b"") == reply


def test_a_stream_that_does_not_tell_its_usage_is_no_reply() -> None:
    reply, _ = golden("parallel-tools", "chat")
    stream = CHAT.reshape.stream_of(reply, usage=False)
    assert stream is not None
    assert b'"usage"' not in stream
    assert CHAT.reshape.reply_of(stream) is None


@pytest.mark.parametrize(
    ("dialect", "stream"),
    [
        (CHAT, b'data: {"error": {"message": "no"}}\n\n'),
        (CHAT, b"data: nonsense\n\n"),
        (CHAT, b""),
        (MESSAGES, b'data: {"type": "message_start", "message": {}}\n\n'),
        (MESSAGES, b'data: {"type": "content_block_delta", "index": 7, "delta": {}}\n\n'),
        (MESSAGES, b'data: {"type": "novelty"}\n\n'),
        (RESPONSES, b'data: {"type": "response.failed", "response": {}}\n\n'),
        (RESPONSES, b"data: 3\n\n"),
        (EMBEDDINGS, b"data: {}\n\n"),
    ],
)
def test_what_cannot_be_put_together_is_none(dialect: Dialect, stream: bytes) -> None:
    assert dialect.reshape.reply_of(stream) is None


@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS, MESSAGES, RESPONSES, EMBEDDINGS])
@pytest.mark.parametrize(
    "reply", [b"", b"[]", b"{}", b'{"choices": [], "content": [], "output": [], "data": []}', b"no"]
)
def test_a_reply_without_an_answer_says_nothing(dialect: Dialect, reply: bytes) -> None:
    assert not dialect.reshape.says_something(reply)


@pytest.mark.parametrize(("case", "dialect"), CASES)
def test_a_golden_reply_says_something_unless_it_is_empty(case: str, dialect: str) -> None:
    said = DIALECTS[dialect].reshape.says_something(golden(case, dialect)[0])
    assert said is (case != "empty-content")


@pytest.mark.parametrize(
    ("request_", "counted"),
    [({}, False), ({"stream_options": {"include_usage": True}}, True), ({"stream_options": None}, False)],
)
def test_chat_streams_tell_their_usage_when_asked(request_: dict[str, Any], counted: bool) -> None:
    assert CHAT.reshape.counts_usage(request_) is counted
    assert MESSAGES.reshape.counts_usage(request_)

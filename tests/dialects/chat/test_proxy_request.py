"""Requests of the small chat endpoint, checked."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat.proxy_request import decode_proxy_request
from llmproxy.errors import BadRequest

USER = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "messages is missing"),
        ([], "messages must not be empty"),
        ("hello", "messages must be an array, not a string"),
        (["hello"], "messages[0] must be an object, not a string"),
        ([{"content": "hello"}], "messages[0].role is missing"),
        (
            [USER, {"role": "tool", "content": "x"}],
            "messages[1].role must be one of system, user, assistant, not 'tool'",
        ),
        ([{"role": "user"}], "messages[0].content is missing"),
        ([{"role": "user", "content": ""}], "messages[0].content must not be empty"),
        ([{"role": "user", "content": []}], "messages[0].content must not be empty"),
        (
            [{"role": "user", "content": [{"type": "text", "text": ""}]}],
            "messages[0].content must not be empty",
        ),
        (
            [USER, {"role": "assistant", "content": "hi"}],
            "messages[1].role must not be 'assistant' in the last message",
        ),
    ],
)
def test_what_is_wrong_is_named(messages: object, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decode_proxy_request({"model": "m", "messages": messages})
    assert raised.value.message == message and raised.value.status == 400


def test_a_conversation_is_a_chat_request_with_all_its_members() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
        {"role": "system", "content": "Answer in French."},
    ]
    request = decode_proxy_request({"model": "m", "messages": turns, "temperature": 0.5})
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "system"]
    assert request.sampling.temperature == 0.5 and request.model == "m"

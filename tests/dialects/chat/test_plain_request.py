"""A plain request is read in one step as it is read in many."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llmproxy.dialects.chat.plain_request import decode_plain_request
from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.members import parse
from llmproxy.errors import BadRequest

ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def slowly(raw: bytes) -> object:
    try:
        return decode_request(parse(raw))
    except BadRequest as error:
        return error.message


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"temperature": 1, "top_p": 0.5, "user": "u", "stream": False},
        {"max_tokens": 5},
        {"max_completion_tokens": 5, "stream": True, "stream_options": {"include_usage": True}},
        {"messages": []},
        {"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": ""}, *ASK["messages"]]},
        {"messages": [*ASK["messages"], {"role": "assistant", "content": "a"}], "temperature": None, "user": None},
    ],
)
def test_most_requests_are_plain(members: dict[str, Any]) -> None:
    raw = json.dumps(ASK | members).encode()
    assert decode_plain_request(raw) is not None


def test_whatever_is_read_in_one_step_is_the_same() -> None:
    chance, plain = random.Random(7), 0
    values: tuple[object, ...] = (
        "",
        "a",
        "\ud800",
        0,
        1,
        1.0,
        1.5,
        True,
        None,
        [],
        {},
        {"include_usage": True},
        {"include_usage": None},
    )
    names = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "user", "stream", "stream_options", "n")
    for _ in range(1500):
        body: dict[str, Any] = {"model": chance.choice(["m", "m", "m", 1])} | {
            name: chance.choice(values) for name in names if chance.random() < 0.1
        }
        roles = chance.choices(["user", "assistant", "system", "developer", "tool"], (9, 4, 3, 1, 1), k=2)
        body["messages"] = [
            {"role": role, "content": chance.choice(["a", "b", "", "é", None, [], 5][: chance.choice([2, 2, 7])])}
            for role in roles
        ]
        if chance.random() < 0.1:
            body["messages"][0]["name"] = "x"
        raw = json.dumps(body).encode()
        request = decode_plain_request(raw)
        if request is not None:
            plain += 1
            assert request == slowly(raw)
    assert plain > 100


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"model":"m","messages":[{"role":"user"}]}', b"[" * 5000])
def test_others_are_left_to_the_usual_way(raw: bytes) -> None:
    assert decode_plain_request(raw) is None

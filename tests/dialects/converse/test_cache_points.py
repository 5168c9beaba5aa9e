"""Prompt-cache marks as blocks."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.converse.cache_points import put_points
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.messages import CODEC as MESSAGES
from llmproxy.dialects.model import Opaque, Text, Tool

POINT = {"cachePoint": {"type": "default"}}
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}
USER = {"role": "user", "content": [{"text": "Hi"}]}


def read(**body: Any) -> Any:
    return CODEC.decode_request({"messages": [USER], **body})


def test_a_point_marks_what_stands_in_front_of_it() -> None:
    tools = [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}, POINT]
    request = read(
        system=[{"text": "a"}, HOUR],
        messages=[{"role": "user", "content": [{"text": "b"}, POINT, {"text": "c"}]}],
        toolConfig={"tools": tools},
    )
    assert request.system[0].content[0].cache == {"type": "ephemeral", "ttl": "1h"}
    first, second = request.messages[0].content
    assert first.cache == {"type": "ephemeral"} and second.cache is None
    [tool] = request.tools
    assert isinstance(tool, Tool) and tool.cache.path == "toolConfig.tools[1].cachePoint"


def test_a_point_that_nothing_can_hold_is_kept_for_its_own_dialect() -> None:
    request = read(messages=[{"role": "user", "content": [POINT, {"text": "a"}]}])
    point, text = request.messages[0].content
    assert isinstance(point, Opaque) and point.declares and isinstance(text, Text) and text.cache is None


@pytest.mark.parametrize(
    ("mark", "point"),
    [
        ({"type": "ephemeral"}, POINT),
        ({"type": "ephemeral", "ttl": "1h"}, HOUR),
        ({"type": "ephemeral", "ttl": "2h"}, POINT),
        ("odd", POINT),
    ],
)
def test_a_mark_of_another_dialect_is_a_point_behind_its_block(mark: Any, point: dict[str, Any]) -> None:
    messages = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [_marked("a", mark)]}]}
    assert written(messages)["messages"][0]["content"] == [{"text": "a"}, point]


def _marked(text: str, mark: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": mark}


def written(body: dict[str, Any], losses: Losses | None = None, model: str = "anthropic.claude-opus-4-6") -> Any:
    request = MESSAGES.decode_request(body)
    request.model = model
    return CODEC.encode_request(request, CODEC.context("messages", losses or Losses()))


def test_models_without_a_cache_get_no_points() -> None:
    body = {
        "model": "m",
        "cache_control": {"type": "ephemeral"},
        "system": [_marked("s", {"type": "ephemeral"})],
        "messages": [{"role": "user", "content": [_marked("a", {"type": "ephemeral"})]}],
        "tools": [{"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral"}}],
    }
    losses = Losses()
    assert "cachePoint" not in str(written(body, losses, "meta.llama3-3-70b-instruct-v1:0"))
    assert sorted(losses.dropped) == [
        *("cache_control", "messages[0].content[0].cache_control", "system[0].cache_control", "tools[0].cache_control")
    ]


def test_a_mark_of_the_request_stands_behind_its_last_block() -> None:
    body = {
        "model": "m",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "messages": [{"role": "user", "content": "a"}],
    }
    assert written(body)["messages"][-1]["content"] == [{"text": "a"}, HOUR]


def test_of_more_than_four_points_the_last_ones_stay() -> None:
    blocks = [block for _ in range(6) for block in ({"text": "a"}, {**POINT})]
    body: dict[str, Any] = {"messages": [{"role": "user", "content": blocks}]}
    losses = Losses()
    put_points(body, EncodeContext(losses=losses))
    assert list(losses.adapted) == ["cachePoint"]
    content = body["messages"][0]["content"]
    assert len(content) == 10 and content[:4] == [{"text": "a"}, {"text": "a"}, {"text": "a"}, POINT]


@pytest.mark.parametrize(
    ("option", "goes_on", "points"), [("off", True, 0), ("auto", True, 4), ("auto", False, 0), ("always", False, 2)]
)
def test_points_are_added_as_the_target_says(
    option: Literal["auto", "always", "off"], goes_on: bool, points: int
) -> None:
    def text(role: str) -> dict[str, Any]:
        return {"role": role, "content": [{"text": role}]}

    body: dict[str, Any] = {"system": [{"text": "s"}], "messages": [text("user")]}
    if goes_on:
        body["messages"] += [text("assistant"), text("user")]
        body["toolConfig"] = {"tools": [{"toolSpec": {}}]}
    losses = Losses()
    put_points(body, EncodeContext(losses=losses, options=Options(prompt_cache=option)))
    assert str(body).count("cachePoint") == losses.cache_marks == points


def test_a_client_that_names_lifetimes_decides_itself() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "a"}, HOUR]}], "system": [{"text": "s"}]}
    put_points(body, EncodeContext(losses=Losses(), options=Options(prompt_cache="always")))
    assert body["system"] == [{"text": "s"}]


def test_a_longer_lifetime_stands_in_front_of_shorter_ones() -> None:
    point = {"cachePoint": {"type": "default"}}
    body: dict[str, Any] = {
        "system": [{"text": "s"}, point],
        "messages": [{"role": "user", "content": [{"text": "a"}, HOUR, {"text": "b"}, {**POINT}]}],
    }
    put_points(body, EncodeContext(losses=Losses()))
    assert body["system"][1] == HOUR and body["messages"][0]["content"][1::2] == [HOUR, POINT]

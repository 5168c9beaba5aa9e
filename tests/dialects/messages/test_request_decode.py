"""Messages requests, read into the neutral vocabulary."""

from __future__ import annotations

import copy
import typing
from typing import Any

import pytest
from anthropic.types import (
    DocumentBlockParam,
    ImageBlockParam,
    TextBlockParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
)
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.messages.request_decode import decode_request
from llmproxy.dialects.model import (
    Format,
    Instruction,
    Message,
    Opaque,
    Reasoning,
    Request,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from llmproxy.errors import BadRequest
from tests.support.full_messages_request import EVERYTHING

MARK = {"type": "ephemeral"}
ASK = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def read(**members: Any) -> Request:
    return decode_request({**ASK, **members})


def complaint(body: dict[str, Any]) -> str | None:
    with pytest.raises(BadRequest) as raised:
        decode_request(body)
    return raised.value.param


def test_a_plain_request_is_read() -> None:
    assert read(stream=True, system="Be brief.") == Request(
        dialect="messages",
        model="m",
        system=[Instruction(path="system", content=[Text(path="system", text="Be brief.")])],
        messages=[Message(path="messages[0]", role="user", content=[Text(path="messages[0].content", text="Hi")])],
        sampling=Sampling(max_tokens=9),
        stream=True,
        paths={"stop": "stop_sequences"},
    )


def test_each_system_block_is_an_instruction_with_its_cache_mark() -> None:
    system = [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": MARK}]
    assert read(system=system).system == [
        Instruction(path="system[0]", content=[Text(path="system[0]", text="A")]),
        Instruction(path="system[1]", content=[Text(path="system[1]", text="B", cache=MARK)]),
    ]


def test_messages_of_one_role_stay_apart_and_system_messages_keep_their_place() -> None:
    roles = ["user", "user", "system", "assistant", "assistant"]
    request = read(messages=[{"role": role, "content": role, "new": 1} for role in roles])
    assert [message.role for message in request.messages] == roles and not request.system
    assert request.messages[4].extra == {"new": 1}


def test_a_system_message_may_change_settings_alone() -> None:
    message = read(messages=[{"role": "system", "output_config": {"effort": "low"}}]).messages[0]
    assert message.content == [] and message.extra == {"output_config": {"effort": "low"}}


def test_tools_of_the_clients_and_built_in_ones() -> None:
    schema = {"type": "object"}
    own = {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": MARK}
    search = {"type": "web_search_20260318", "name": "web_search", "max_uses": 2}
    request = read(tools=[{**own, "type": "custom", "defer_loading": True}, search])
    assert request.tools == [
        Tool(
            path="tools[0]",
            name="f",
            description="d",
            schema=schema,
            strict=True,
            cache=MARK,
            extra={"defer_loading": True},
        ),
        Opaque(path="tools[1]", dialect="messages", kind="web_search_20260318", value=search, declares=True),
    ]


def test_servers_and_threads_are_content_from_elsewhere() -> None:
    server, thread = {"type": "url", "url": "https://a", "name": "s"}, {"id": "t"}
    request = read(mcp_servers=[server], thread=thread)
    assert request.tools == [
        Opaque(path="mcp_servers[0]", dialect="messages", kind="mcp_servers", value=server, declares=True),
        Opaque(path="thread", dialect="messages", kind="thread", value=thread),
    ]


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(path="tool_choice", mode="auto"), None),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            ToolChoice(path="tool_choice", mode="required"),
            False,
        ),
        (
            {"type": "tool", "name": "f", "disable_parallel_tool_use": False},
            ToolChoice(path="tool_choice", mode="tool", name="f"),
            True,
        ),
        ({"type": "none", "new": 1}, ToolChoice(path="tool_choice", mode="none", extra={"new": 1}), None),
    ],
)
def test_the_choice_of_tools(choice: dict[str, Any], expected: ToolChoice, parallel: bool | None) -> None:
    request = read(tool_choice=choice)
    assert request.tool_choice == expected and request.parallel_tools is parallel
    if parallel is not None:
        assert request.where("parallel_tools") == "tool_choice.disable_parallel_tool_use"


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (
            {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
            {"mode": "on", "budget_tokens": 2048, "summary": "auto"},
        ),
        ({"type": "adaptive", "display": "omitted"}, {"mode": "adaptive", "summary": "omitted"}),
        ({"type": "adaptive", "display": "updates"}, {"mode": "adaptive", "extra": {"display": "updates"}}),
        ({"type": "between_tools"}, {"mode": "adaptive", "extra": {"type": "between_tools"}}),
        ({"type": "disabled"}, {"mode": "off"}),
    ],
)
def test_thinking_in_all_its_forms(thinking: dict[str, Any], expected: dict[str, Any]) -> None:
    request = read(thinking=thinking, output_config={"effort": "max"})
    assert request.reasoning == Reasoning(path="thinking", effort="max", **expected)
    assert (request.where("effort"), request.where("mode")) == ("output_config.effort", "thinking.type")


def test_the_form_of_the_answer_is_read_where_it_stands_now_and_where_it_stood() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert read(output_config={"format": form}).format == Format(
        path="output_config.format", kind="schema", schema={"type": "object"}
    )
    assert read(output_format=form).format == Format(path="output_format", kind="schema", schema={"type": "object"})
    both = read(output_config={"format": form}, output_format={"type": "json_schema", "schema": {}})
    assert both.format is not None and both.format.path == "output_config.format"
    assert both.extra == {"output_format": {"type": "json_schema", "schema": {}}}


def test_knobs_and_what_only_messages_knows() -> None:
    request = read(
        temperature=0.5,
        top_p=1,
        top_k=5.0,
        stop_sequences=["a"],
        metadata={"user_id": "u", "team": "t"},
        service_tier="standard_only",
        cache_control=MARK,
        container="c",
        speed="fast",
        inference_geo="eu",
        context_management={"edits": []},
        diagnostics=None,
    )
    assert request.sampling == Sampling(max_tokens=9, temperature=0.5, top_p=1, top_k=5, stop=["a"])
    assert request.knobs == {"user": "u", "service_tier": "standard_only"}
    assert request.where("user") == "metadata.user_id" and request.cache == MARK
    assert request.extra == {
        "container": "c",
        "speed": "fast",
        "inference_geo": "eu",
        "context_management": {"edits": []},
        "metadata": {"team": "t"},
    }


def test_the_example_has_every_member_that_the_sdk_knows() -> None:
    in_headers = {"workspace_id"}
    known = set(typing.get_type_hints(MessageCreateParamsStreaming)) - in_headers
    assert known <= set(EVERYTHING)
    blocks = [block for message in EVERYTHING["messages"] for block in message["content"] if isinstance(block, dict)]
    for param in (TextBlockParam, ImageBlockParam, DocumentBlockParam, ToolUseBlockParam, ToolResultBlockParam):
        kind = typing.get_args(typing.get_args(typing.get_type_hints(param, include_extras=True)["type"])[0])[0]
        seen = {name for block in blocks if block["type"] == kind for name in block}
        assert set(typing.get_type_hints(param)) <= seen, kind
    assert set(typing.get_type_hints(ToolParam)) - {"type"} <= set(EVERYTHING["tools"][0])


RESULT = {"type": "tool_result", "tool_use_id": "a"}
CALL = {"type": "tool_use", "id": "a", "name": "b", "input": {}}


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "messages[0].content[0]"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].source"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "all"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1.5}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"stop_sequences": ["a", 5]}, "stop_sequences[1]"),
    ],
    ids=repr,
)
def test_what_is_wrong_is_named_by_its_path(members: dict[str, Any], path: str) -> None:
    assert complaint({**ASK, **members}) == path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each member and item below `value`: what holds it, and its key there."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


@given(st.data())
def test_anything_at_any_place_is_read_or_refused(data: st.DataObject) -> None:
    body = copy.deepcopy(EVERYTHING)
    holder, key = data.draw(st.sampled_from(places(body)))
    holder[key] = data.draw(JSON)
    try:
        assert isinstance(decode_request(body), Request)
    except BadRequest as error:
        assert error.param


@given(st.dictionaries(st.sampled_from([*EVERYTHING, "x"]), JSON))
def test_any_object_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        decode_request(body)
    except BadRequest as error:
        assert error.param

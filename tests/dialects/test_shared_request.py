"""What of a request other dialects can carry: words, declarations, arguments."""

from __future__ import annotations

from typing import Literal

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Instruction, Message, Opaque, Request, Text, Tool, ToolCall, ToolChoice, ToolResult
from llmproxy.dialects.shared_request import share
from llmproxy.errors import Untranslatable

SEARCH = Opaque(path="tools[0]", dialect="x", kind="web_search", value={"name": "web_search"}, declares=True)


def context(**members: bool) -> EncodeContext:
    return EncodeContext(losses=Losses(strict=members.get("strict", False)), own=members.get("own", False))


def test_a_built_in_tool_that_nothing_forces_is_left_out_and_listed() -> None:
    request = Request(dialect="x", model="m", tools=[SEARCH, Tool(name="f")], tool_choice=ToolChoice(mode="required"))
    into = context()
    shared = share(request, into)
    assert (shared.tools, shared.tool_choice) == ([Tool(name="f")], ToolChoice(mode="required"))
    assert into.losses.dropped == ["tools[0]"] and len(request.tools) == 2
    assert share(request, context(own=True)) is request


def test_a_choice_among_no_tools_is_left_out() -> None:
    request = Request(dialect="x", model="m", tools=[SEARCH], tool_choice=ToolChoice(mode="auto"), parallel_tools=True)
    shared = share(request, context())
    assert (shared.tools, shared.tool_choice, shared.parallel_tools) == ([], None, None)


@pytest.mark.parametrize(("mode", "dropped"), [("auto", []), ("none", []), ("required", ["tool_choice"])])
def test_how_to_use_tools_is_left_out_where_there_are_none(mode: Literal["auto"], dropped: list[str]) -> None:
    request = Request(dialect="x", model="m", tool_choice=ToolChoice(mode=mode), parallel_tools=True)
    into = context()
    shared = share(request, into)
    assert (shared.tool_choice, shared.parallel_tools) == (None, None)
    assert into.losses.dropped == [*dropped, "parallel_tools"] and request.parallel_tools


@pytest.mark.parametrize("choice", [ToolChoice(mode="required"), ToolChoice(mode="tool", name="web_search")])
def test_a_built_in_tool_that_is_forced_is_refused(choice: ToolChoice) -> None:
    with pytest.raises(Untranslatable, match="web_search"):
        share(Request(dialect="x", model="m", tools=[SEARCH], tool_choice=choice), context())


def test_strict_refuses_what_would_be_left_out() -> None:
    with pytest.raises(Untranslatable):
        share(Request(dialect="x", model="m", tools=[SEARCH]), context(strict=True))


def test_a_block_with_words_goes_as_those_words() -> None:
    reference = Opaque(path="p", dialect="x", kind="tool_reference", value={}, words="The tool f")
    declared = Opaque(dialect="x", kind="additional_tools", value={}, declares=True)
    messages = [
        Message(role="assistant", content=[declared]),
        Message(role="user", content=[ToolResult(id="c", content=[reference])]),
    ]
    [message] = share(Request(dialect="x", model="m", messages=messages), context()).messages
    assert message.content == [ToolResult(id="c", content=[Text(path="p", text="The tool f")])]


@pytest.mark.parametrize("arguments", ["", " ", "null", " null\n"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    messages = [Message(role="assistant", content=[ToolCall(id="c", name="f", arguments=arguments)])]
    [message] = share(Request(dialect="x", model="m", messages=messages), context()).messages
    assert message.content == [ToolCall(id="c", name="f", arguments="{}")]


def test_instructions_behind_declared_tools_stay_instructions() -> None:
    declared = Opaque(path="input[0]", dialect="x", kind="additional_tools", value={}, declares=True)
    rules, ask = Text(path="input[1].content", text="Be brief."), Text(path="input[2].content", text="Hi")
    later = Message(path="input[3]", role="developer", content=[Text(text="Now in French.")])
    messages = [
        Message(path="input[0]", role="assistant", content=[declared]),
        Message(path="input[1]", role="developer", content=[rules]),
        Message(path="input[2]", role="user", content=[ask]),
        later,
    ]
    shared = share(Request(dialect="x", model="m", messages=messages), context())
    assert shared.system == [Instruction(path="input[1]", role="developer", content=[rules])]
    assert [message.path for message in shared.messages] == ["input[2]", "input[3]"] and shared.messages[1] is later


def test_a_declared_tool_may_have_any_name() -> None:
    odd = Opaque(path="tools[0]", dialect="x", kind="mcp", value={"name": []}, declares=True)
    choice = ToolChoice(mode="tool", name="f")
    shared = share(Request(dialect="x", model="m", tools=[odd, Tool(name="f")], tool_choice=choice), context())
    assert shared.tools == [Tool(name="f")]

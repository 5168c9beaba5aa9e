"""Results of tools that stand elsewhere than behind their calls."""

from __future__ import annotations

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Message, Text, ToolCall, ToolResult
from llmproxy.dialects.tool_results import move_results

_TOLD = Text | ToolCall | ToolResult


def calls(*names: str) -> Message:
    return Message(role="assistant", content=[ToolCall(id=name, name="f", arguments="{}") for name in names])


def user(*content: str) -> Message:
    """Results by the ids of their calls, and words."""
    blocks: list[Block] = [ToolResult(id=each, content=[]) if len(each) == 1 else Text(text=each) for each in content]
    return Message(role="user", content=blocks)


def encode(messages: list[Message]) -> list[list[str]]:
    """Return what each message holds."""
    return [
        [each.text if isinstance(each, Text) else each.id for each in message.content if isinstance(each, _TOLD)]
        for message in move_results(messages, Losses())
    ]


def test_results_in_their_place_stay() -> None:
    messages = [user("go"), calls("a", "b"), user("b", "a", "and now"), calls("c"), user("c"), user("well")]
    assert move_results(messages, Losses()) is messages


def test_a_result_that_comes_after_other_words_goes_to_the_others() -> None:
    assert encode([calls("a", "b"), user("b"), user("wait"), user("a"), user("well")]) == [
        ["a", "b"],
        ["a", "b"],
        ["wait"],
        ["well"],
    ]


def test_a_result_that_nothing_precedes_gets_a_message_of_its_own() -> None:
    assert encode([calls("a"), user("wait"), user("a", "well")]) == [["a"], ["a"], ["wait"], ["well"]]


def test_a_result_that_comes_a_turn_too_late_goes_back_to_its_turn() -> None:
    assert encode([calls("a"), calls("b"), user("a", "b")]) == [["a"], ["a"], ["b"], ["b"]]


def test_results_of_no_call_stay() -> None:
    messages = [calls("a"), user("a"), user("x"), user("b")]
    assert move_results(messages, Losses()) is messages


def test_a_result_that_was_sent_twice_stands_once_with_the_later_words() -> None:
    def result(text: str) -> ToolResult:
        return ToolResult(id="c", content=[Text(text=text)])

    call = Message(role="assistant", content=[ToolCall(id="c", name="f", arguments="{}")])
    messages = [
        call,
        Message(role="user", content=[result("one"), result("two")]),
        Message(role="user", content=[result("three")]),
        call,
        Message(role="user", content=[result("other")]),
    ]
    moved = move_results(messages, Losses())
    assert [message.content for message in moved[1::2]] == [[result("three")], [result("other")]]


def test_several_results_of_a_custom_call_are_parts_of_one() -> None:
    def result(text: str, *, custom: bool = True) -> ToolResult:
        return ToolResult(id="c", content=[Text(path=f"input[{len(text)}]", text=text)], custom=custom)

    call = Message(role="assistant", content=[ToolCall(id="c", name="exec", arguments="x", custom=True)])
    later = Message(role="user", content=[Text(text="well"), result("three"), result("three")])
    moved = move_results([call, Message(role="user", content=[result("a"), result("bc")]), later], Losses())
    [joined] = moved[1].content
    assert isinstance(joined, ToolResult)
    assert [each.text for each in joined.content if isinstance(each, Text)] == ["a", "bc", "three"]
    assert moved[2].content == [Text(text="well")]
    [last] = move_results(
        [call, Message(role="user", content=[result("a", custom=False), result("bc", custom=False)])],
        Losses(),
    )[1].content
    assert last == result("bc", custom=False)


def test_a_result_that_another_replaces_is_listed() -> None:
    def told(path: str, text: str) -> Message:
        return Message(role="user", content=[ToolResult(path=path, id="a", content=[Text(path=path, text=text)])])

    for texts, listed in ((("one", "one"), []), (("one", "two", "three"), ["0", "1"])):
        losses = Losses()
        messages = [calls("a"), *[told(str(place), text) for place, text in enumerate(texts)]]
        [_, result] = move_results(messages, losses)
        assert isinstance(result.content[0], ToolResult) and result.content[0].content[0] is not None
        assert losses.dropped == listed

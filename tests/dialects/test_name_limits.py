"""Names that are too long for a target."""

from __future__ import annotations

from llmproxy.dialects.model import Message, Opaque, Request, Text, Tool, ToolCall, ToolChoice
from llmproxy.dialects.name_limits import ToolNames, nine_letters, shortened
from llmproxy.dialects.stream_events import Open


def test_what_fits_stays() -> None:
    assert shortened("a" * 40, 40, "call_") == "a" * 40


def test_what_does_not_fit_has_always_the_same_digest() -> None:
    short = shortened("a" * 41, 40, "call_")
    assert len(short) == 40 and short.startswith("call_")
    assert short == shortened("a" * 41, 40, "call_") != shortened("a" * 42, 40, "call_")
    assert len(shortened("\ud800" * 100, 64)) == 64 and shortened("", 40, "call_").startswith("call_")


def test_a_request_keeps_its_own_names_and_the_provider_gets_others() -> None:
    long = "f" * 20
    call = ToolCall(id="c", name=long, arguments="{}")
    given = [Message(role="assistant", content=[Text(text="a"), call])]
    request = Request(dialect="x", model="m", messages=given, tools=[Tool(name=long), Tool(name="g")])
    request.tool_choice = ToolChoice(mode="auto", allowed=[long, "g"])
    names = ToolNames(16)
    names.replace(request)
    short = request.tools[0].name if isinstance(request.tools[0], Tool) else ""
    assert len(short) == 16 and request.tool_choice.allowed == [short, "g"]
    assert request.messages[0].content[1] == ToolCall(id="c", name=short, arguments="{}")
    assert call.name == long and given[0].content[1] is call

    assert names.needed() and names.restore([ToolCall(id="c", name=short, arguments="")])[0] == ToolCall(
        id="c", name=long, arguments=""
    )
    opened = Open(index=0, block=ToolCall(id="c", name="g", arguments=""))
    assert names.restore_event(opened) == opened


def test_nothing_is_done_where_all_names_fit() -> None:
    request = Request(dialect="x", model="m", tools=[Tool(name="g")], messages=[Message(role="user", content=[])])
    tools, names = request.tools, ToolNames(16)
    names.replace(request)
    assert request.tools is tools and not names.needed()


def test_ids_of_nine_letters_stay_and_others_always_become_the_same() -> None:
    assert nine_letters("aB3456789") == "aB3456789"
    assert nine_letters("toolu_1") == nine_letters("toolu_1") != nine_letters("toolu_2")
    assert len(nine_letters("toolu_1")) == 9 and nine_letters("toolu_1").isalnum()


def test_names_outside_the_alphabet_are_mapped_and_mapped_back() -> None:
    tools: list[Tool | Opaque] = [Tool(name="files.read"), Tool(name="files_read")]
    request, names = Request(dialect="x", model="m", tools=tools), ToolNames(64)
    names.replace(request)
    first, second = [tool.name for tool in request.tools if isinstance(tool, Tool)]
    assert first != second == "files_read" and first.replace("_", "").isalnum()
    [call] = names.restore([ToolCall(id="c", name=first, arguments="")])
    assert isinstance(call, ToolCall) and call.name == "files.read"

"""Prompt-cache marks cross between a Messages API and OpenAI, where both have them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects.cache_marks import as_breakpoint, as_control, marked_at_end, name_of_mark
from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.model import Text, ToolCall
from llmproxy.providers.openai import OpenAI
from llmproxy.translation.translation import Translation

OPENAI = OpenAI(OpenAI.Config(name="o", type="openai")).options
MARK = {"type": "ephemeral"}
EXPLICIT = {"mode": "explicit"}
SYSTEM = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}]
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "20", "cache_control": MARK}
ASKED: dict[str, Any] = {
    "max_tokens": 50,
    "system": SYSTEM,
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": MARK | {"ttl": "1h"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [RESULT]},
    ],
}


def sent(client: str, provider: str, options: Options, **body: Any) -> tuple[dict[str, Any], list[str]]:
    codec = codecs()[client]
    request = codec.decode_request(body)
    translation = Translation(request, codec, codecs()[provider], options=options, strict=False)
    return msgspec.json.decode(translation.request(body["model"])), translation.losses.dropped


def test_marks_of_messages_are_carried_to_responses_of_the_models_that_know_them() -> None:
    body, dropped = sent("messages", "responses", OPENAI, model="gpt-5.6", **ASKED)
    marked = {"type": "input_text", "prompt_cache_breakpoint": EXPLICIT}
    assert body["instructions"] == "a"
    assert body["input"][:2] == [
        {"role": "system", "content": [{**marked, "text": "b"}]},
        {"role": "user", "content": [{**marked, "text": "c"}]},
    ]
    assert body["input"][3]["output"] == [{**marked, "text": "20"}]
    assert dropped == ["messages[0].content[0].cache_control.ttl", "tools[0].cache_control"]


def test_marks_of_messages_are_carried_to_chat_of_the_models_that_know_them() -> None:
    body, dropped = sent("messages", "chat", OPENAI, model="gpt-6-astra", **ASKED)
    marked = {"type": "text", "prompt_cache_breakpoint": EXPLICIT}
    contents = [message["content"] for message in body["messages"]]
    assert contents[0] == [{"type": "text", "text": "a"}, {**marked, "text": "b"}]
    assert (contents[1], contents[3]) == ([{**marked, "text": "c"}], [{**marked, "text": "20"}])
    assert set(dropped) == {"tools[0].cache_control", "messages[0].content[0].cache_control.ttl"}


@pytest.mark.parametrize("provider", ["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "options"), [("gpt-5.5", OPENAI), ("gpt-5", OPENAI), ("gpt-5.6", Options()), ("llama", OPENAI)]
)
def test_other_models_and_services_get_no_mark(provider: str, model: str, options: Options) -> None:
    body, dropped = sent("messages", provider, options, model=model, **ASKED)
    assert b"prompt_cache_breakpoint" not in msgspec.json.encode(body)
    assert {"system[1].cache_control", "tools[0].cache_control", "messages[2].content[0].cache_control"} <= set(dropped)


def test_marks_of_openai_are_carried_to_messages() -> None:
    part = {"type": "input_text", "text": "a", "prompt_cache_breakpoint": EXPLICIT}
    parts = [part, {**part, "text": "b", "prompt_cache_breakpoint": EXPLICIT | {"ttl": "12h"}}]
    input_ = [{"role": "user", "content": [*parts, {**part, "text": "c"}]}]
    body, dropped = sent("responses", "messages", Options(), model="claude-opus-5", input=input_)
    assert body["messages"][0]["content"] == [
        {
            "type": "text",
            "text": "a",
            "cache_control": MARK | {"ttl": "1h"},
        },  # no longer one may stand behind a shorter
        {"type": "text", "text": "b", "cache_control": MARK | {"ttl": "1h"}},
        {"type": "text", "text": "c", "cache_control": MARK},
    ]
    assert dropped == ["input[0].content[1].prompt_cache_breakpoint.ttl"]


def test_of_more_marks_than_the_vendor_takes_the_last_ones_are_carried() -> None:
    parts = [{"type": "text", "text": str(at), "prompt_cache_breakpoint": EXPLICIT} for at in range(6)]
    messages = [{"role": "user", "content": parts}]
    body, dropped = sent("chat", "messages", Options(), model="claude-opus-5", messages=messages)
    marked = [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block]
    assert (marked, dropped) == (["2", "3", "4", "5"], ["cache_control"])


def test_marks_cross_between_the_two_apis_of_openai_and_come_back_as_they_stood() -> None:
    mark = EXPLICIT | {"ttl": "12h"}
    chat = {"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": mark}]}
    body, dropped = sent("chat", "responses", OPENAI, model="gpt-5.6", messages=[chat])
    assert body["input"][0]["content"] == [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": mark}]
    assert dropped == []
    assert sent("chat", "chat", Options(), model="m", messages=[chat])[0]["messages"] == [chat]
    extension = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": MARK}]}
    assert sent("chat", "chat", Options(), model="m", messages=[extension])[0]["messages"] == [extension]


def test_each_form_is_told_by_its_members() -> None:
    assert (name_of_mark(MARK), name_of_mark(EXPLICIT)) == ("cache_control", "prompt_cache_breakpoint")
    assert as_breakpoint(EXPLICIT) == (EXPLICIT, None) and as_control(MARK) == (MARK, None)
    assert as_breakpoint(MARK | {"ttl": "5m"}) == (EXPLICIT, None)
    assert as_control(EXPLICIT | {"ttl": "30m"}) == (MARK, "30m")


def test_a_mark_of_a_result_stands_on_its_last_part_unless_that_has_none() -> None:
    texts = [Text(text="a"), Text(text="b")]
    assert [block.cache for block in marked_at_end(texts, MARK) or () if isinstance(block, Text)] == [None, MARK]
    assert [block.cache for block in texts] == [None, None]
    assert marked_at_end([], MARK) is marked_at_end(texts, None) is None
    assert marked_at_end([ToolCall(id="x", name="f", arguments="{}")], MARK) is None

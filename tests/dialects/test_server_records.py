"""What a provider's own tools did goes as words to others, so that a conversation goes on at another vendor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses, Options
from llmproxy.dialects.server_records import record_words
from llmproxy.errors import Untranslatable


def sent(source: str, target: str, body: dict[str, Any], *, strict: bool = False) -> tuple[str, list[str]]:
    """Return the request in another dialect, as text, and the losses."""
    losses = Losses(strict=strict)
    request = codecs()[source].decode_request({"model": "m", **body})
    return json.dumps(codecs()[target].encode_request(request, codecs()[target].context(source, losses, Options()))), (
        losses.dropped
    )


def test_words_are_what_can_be_read() -> None:
    found = {"type": "web_search_result", "title": "T", "url": "u", "encrypted_content": "secret", "page_age": None}
    value = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [found]}
    assert record_words("web_search_tool_result", value) == (
        '[web_search_tool_result: {"content":[{"title":"T","url":"u"}]}]'
    )
    assert record_words("computer_call", {"type": "computer_call"}) is None


@pytest.mark.parametrize("target", ["chat", "messages"])
@pytest.mark.parametrize(
    ("item", "word"),
    [
        ({"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "weather"}}, "weather"),
        ({"type": "file_search_call", "id": "fs", "queries": ["q"], "results": [{"text": "found"}]}, "found"),
        ({"type": "code_interpreter_call", "id": "ci", "code": "1+1", "outputs": [{"logs": "two"}]}, "two"),
        ({"type": "mcp_call", "id": "mc", "name": "f", "arguments": "{}", "output": "done"}, "done"),
        ({"type": "program_output", "id": "po", "call_id": "c", "result": "sum"}, "sum"),
    ],
)
def test_items_of_responses_go_as_words_in_their_place(item: dict[str, Any], word: str, target: str) -> None:
    items = [{"role": "user", "content": "u"}, item, {"role": "assistant", "content": "the end"}]
    body, dropped = sent("responses", target, {"input": [*items, {"role": "user", "content": "v"}]})
    assert body.index('"u"') < body.index(word) < body.index("the end") and dropped[0] == "input[1]"
    with pytest.raises(Untranslatable):
        sent("responses", target, {"input": items}, strict=True)


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_blocks_of_messages_go_as_words_also_in_results_of_tools(target: str) -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "weather"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"title": "Sun", "url": "u"}]}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    note = {"type": "search_result", "source": "s", "title": "Note", "content": [{"type": "text", "text": "words"}]}
    turns = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [use, found, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [note]}]},
    ]
    body, dropped = sent("messages", target, {"max_tokens": 9, "messages": turns})
    assert all(word in body for word in ("weather", "Sun", "Note", "words"))
    assert dropped[:3] == ["messages[1].content[0]", "messages[1].content[1]", "messages[2].content[0].content[0]"]

"""Built-in tools of messages that the client runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.messages.client_tools import client_functions
from llmproxy.dialects.model import Opaque
from llmproxy.translation.translation import Translation, read_request


def translated(target: str, **members: Any) -> tuple[Any, Translation]:
    """Return the body for a provider of `target`, and the translation."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "go"}], **members}
    client = codecs()["messages"]
    request = read_request(client, json.dumps(body).encode())
    translation = Translation(request, client, codecs()[target], options=Options(), strict=False)
    return json.loads(translation.request("m")), translation


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
@pytest.mark.parametrize("target", ["chat", "responses"])
def test_what_the_client_runs_goes_as_a_function(kind: str, target: str) -> None:
    body, translation = translated(target, tools=[{"type": kind, "name": "t"}])
    [tool] = body["tools"]
    assert tool.get("function", tool)["name"] == "t" and "command" in json.dumps(tool)
    assert translation.losses.dropped == []


def test_other_built_in_tools_have_no_function() -> None:
    assert client_functions(Opaque(dialect="messages", kind="web_search_20250305", value={"name": "web_search"})) == []


def test_a_reference_to_a_tool_names_it() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {}}
    content = [{"type": "tool_reference", "tool_name": "Fetch"}]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    tools = [{"name": "Fetch", "defer_loading": True, "input_schema": {"type": "object"}}]
    body, translation = translated(
        "chat",
        tools=tools,
        messages=[{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}],
    )
    assert "Fetch" in body["messages"][1]["content"] and "defer_loading" not in json.dumps(body)
    assert translation.losses.dropped == ["tools[0].defer_loading"]

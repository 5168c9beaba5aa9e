"""Tools that a client of responses runs, and their calls through services of other dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.model import Opaque, Text, ToolCall
from llmproxy.dialects.responses.client_tools import (
    KINDS,
    client_call_object,
    decode_call,
    decode_result,
    function_of,
    runs_at_client,
)
from llmproxy.translation.translation import Translation, read_request

CLOSE = {"type": "function", "name": "close", "parameters": {"type": "object", "properties": {}}}
EXEC = {"type": "custom", "name": "exec", "description": "run"}
SPACE = {"type": "namespace", "name": "agents", "description": "", "tools": [CLOSE, EXEC]}
SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object", "properties": {"q": {}}}}
USER = {"role": "user", "content": "go"}


def translation(target: str, **members: Any) -> Translation:
    client = codecs()["responses"]
    request = read_request(client, json.dumps({"model": "m", "input": [USER], **members}).encode())
    return Translation(request, client, codecs()[target], options=Options(), strict=False)


def names(body: dict[str, Any]) -> list[str]:
    return [tool.get("function", tool)["name"] for tool in body["tools"]]


def chat_reply(name: str, arguments: str) -> bytes:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json.dumps({"id": "r", "choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()


def answered(made: Translation, name: str, arguments: str, *, stream: bool) -> dict[str, Any]:
    """Return the item of the one call in the answer that the client gets."""
    body = chat_reply(name, arguments)
    if not stream:
        return dict(json.loads(made.reply(body))["output"][0])
    frames = made.reply_as_stream(body).decode().split("\n\n")
    events = [json.loads(frame.partition("data: ")[2]) for frame in frames if "data: " in frame]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item["type"] for item in added] == [item["type"] for item in done]
    return dict(done[0])


@pytest.mark.parametrize("target", ["chat", "messages"])
@pytest.mark.parametrize("adds", [False, True])
def test_functions_of_a_namespace_are_flattened(target: str, adds: bool) -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
    made = translation(target, input=[item, USER], tools=[CLOSE]) if adds else translation(target, tools=[CLOSE, SPACE])
    body = json.loads(made.request("m"))
    assert names(body) == ["close", "agents__close", "agents__exec"] and len(body["messages"]) == 1
    assert made.losses.dropped == []


def test_no_two_tools_have_the_same_name() -> None:
    body = json.loads(translation("chat", tools=[SPACE, CLOSE | {"name": "agents__close"}]).request("m"))
    assert len(set(names(body))) == 3 and "agents__close" in names(body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_gets_its_namespace_and_kind_back(stream: bool) -> None:
    made = translation("chat", tools=[SPACE, SEARCH], stream=stream)
    made.request("m")
    item = answered(made, "agents__close", "{}", stream=stream)
    assert (item["type"], item["name"], item["namespace"]) == ("function_call", "close", "agents")
    item = answered(made, "agents__exec", '{"input":"ls"}', stream=stream)
    expected = ("custom_tool_call", "exec", "agents", "ls")
    assert (item["type"], item["name"], item["namespace"], item["input"]) == expected
    item = answered(made, "tool_search", '{"q":"x"}', stream=stream)
    assert item["type"] == "tool_search_call" and item["execution"] == "client"
    assert (item["call_id"], item["arguments"], item["status"]) == ("c1", {"q": "x"}, "completed")


@pytest.mark.parametrize("target", ["chat", "messages"])
def test_calls_and_results_of_the_history_are_carried(target: str) -> None:
    call = {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"q": "x"}}
    result = {"type": "tool_search_output", "call_id": "c1", "execution": "client", "tools": [SPACE]}
    used = {"type": "function_call", "call_id": "c2", "name": "close", "namespace": "agents", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c2", "output": "ok"}
    made = translation(target, input=[USER, call, result, used, output], tools=[SEARCH])
    body = json.loads(made.request("m"))
    assert names(body) == ["tool_search", "agents__close", "agents__exec"]
    text = json.dumps(body["messages"])
    assert text.count("agents__close") == 2 and text.count('"tool_search"') == 1 and len(body["messages"]) == 5
    assert made.losses.dropped == []


def test_items_go_back_to_responses_as_they_stood() -> None:
    call = {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"q": "x"}}
    result = {"type": "tool_search_output", "call_id": "c1", "execution": "client", "tools": [SPACE]}
    used = {"type": "function_call", "call_id": "c2", "name": "close", "namespace": "agents", "arguments": "{}"}
    extra = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
    codec = codecs()["responses"]
    body = {"model": "m", "input": [USER, extra, call, result, used], "tools": [SPACE, SEARCH]}
    request = codec.decode_request(body)
    assert codec.encode_request(request, EncodeContext(losses=Losses(), own=True)) == body


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_function_elsewhere(kind: str) -> None:
    tool: dict[str, Any] = {"type": kind, "execution": "client"} if kind == "tool_search" else {"type": kind}
    assert runs_at_client(tool)
    assert function_of(Opaque(dialect="responses", kind=kind, value=tool)).kind == kind
    item = client_call_object(ToolCall(id="c", name=kind, arguments='{"a":1}', kind=kind), kind)
    call = decode_call(item, "p")
    assert call is not None and (call.id, call.kind, call.arguments) == ("c", kind, '{"a":1}')
    result = decode_result({"type": KINDS[kind].result, "call_id": "c", "output": "done", "status": "failed"}, "p")
    assert result is not None and (result.id, result.content) == ("c", [Text(path="p.output", text="done")])


def test_what_runs_at_the_provider_is_no_function() -> None:
    assert not runs_at_client({"type": "tool_search"}) and not runs_at_client({"type": "web_search"})
    assert not runs_at_client({"type": "shell", "environment": {"type": "container_auto"}})
    assert decode_call({"type": "tool_search_call", "execution": "server", "call_id": None}, "p") is None
    assert decode_result({"type": "tool_search_output", "execution": "server"}, "p") is None

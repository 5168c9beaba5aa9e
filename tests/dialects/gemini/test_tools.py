"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini import CODEC
from llmproxy.dialects.model import Opaque, Tool
from llmproxy.errors import BadRequest, Untranslatable

CONTENTS = [{"parts": [{"text": "Hi"}]}]
FUNCTION = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}


def read(**members: Any) -> Any:
    return CODEC.decode_request({"contents": CONTENTS, **members})


def written(losses: Losses | None = None, **members: Any) -> dict[str, Any]:
    request = CHAT.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})
    return CODEC.encode_request(request, CODEC.context("chat", losses or Losses()))


@pytest.mark.parametrize("name", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_a_function_has_one_of_two_schemas(name: str) -> None:
    schema = {"type": "OBJECT", "properties": {}} if name == "parameters" else {"type": "object", "properties": {}}
    request = read(tools=[{"function_declarations": [{"name": "t", "description": "Does", name: schema}]}])
    [tool] = request.tools
    assert isinstance(tool, Tool) and tool.path == "tools[0].functionDeclarations[0]"
    assert (tool.name, tool.description, tool.schema) == ("t", "Does", {"type": "object", "properties": {}})
    [again] = CODEC.encode_request(request, CODEC.context("gemini", Losses()))["tools"]
    assert again["functionDeclarations"][0][name if name == "parameters" else "parametersJsonSchema"] == schema


def test_tools_of_the_provider_are_declared_alone() -> None:
    tools = read(tools=[{"googleSearch": {}}, {"codeExecution": {}, "urlContext": {}}]).tools
    assert [(tool.kind, tool.path, tool.declares) for tool in tools] == [
        ("googleSearch", "tools[0].googleSearch", True),
        ("codeExecution", "tools[1].codeExecution", True),
        ("urlContext", "tools[1].urlContext", True),
    ]


@pytest.mark.parametrize("name", ["cachedContent", "continuationToken"])
def test_what_the_provider_keeps_goes_nowhere_else(name: str) -> None:
    request = read(**{name: "kept"})
    assert isinstance(request.tools[0], Opaque)
    assert CODEC.encode_request(request, CODEC.context("gemini", Losses()))[name] == "kept"
    with pytest.raises(Untranslatable) as refused:
        CHAT.encode_request(request, CHAT.context("gemini", Losses()))
    assert refused.value.param == name


@pytest.mark.parametrize(
    ("config", "mode", "name", "allowed"),
    [
        ({"mode": "AUTO"}, "auto", None, None),
        ({}, "auto", None, None),
        ({"mode": "NONE"}, "none", None, None),
        ({"mode": "ANY"}, "required", None, None),
        ({"mode": "any", "allowedFunctionNames": ["a"]}, "tool", "a", None),
        ({"mode": "ANY", "allowedFunctionNames": ["a", "b"]}, "required", None, ["a", "b"]),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}, "auto", None, ["a"]),
        ({"mode": "VALIDATED"}, "auto", None, None),
    ],
)
def test_a_choice_is_read_and_goes_back(config: dict[str, Any], mode: str, name: Any, allowed: Any) -> None:
    request = read(toolConfig={"functionCallingConfig": config})
    choice = request.tool_choice
    assert (choice.mode, choice.name, choice.allowed) == (mode, name, allowed)
    again = CODEC.encode_request(request, CODEC.context("gemini", Losses()))["toolConfig"]["functionCallingConfig"]
    assert {"mode": "AUTO", **config} == again


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "t"}}, {"mode": "ANY", "allowedFunctionNames": ["t"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["t"]},
        ),
    ],
)
def test_a_choice_of_another_dialect_is_written(choice: Any, config: dict[str, Any]) -> None:
    body = written(tools=[FUNCTION], tool_choice=choice)
    assert body["toolConfig"]["functionCallingConfig"] == config
    assert body["tools"] == [{"functionDeclarations": [{"name": "t", "parametersJsonSchema": {"type": "object"}}]}]


def test_what_has_no_place_is_listed() -> None:
    losses = Losses()
    strict = {"type": "function", "function": {"name": "t", "strict": True}}
    written(losses, tools=[strict], parallel_tool_calls=False)
    assert losses.dropped == ["tools[0].function.strict", "parallel_tool_calls"]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "NEVER"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"tools": 5}, "tools"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**members)
    assert refused.value.param == path

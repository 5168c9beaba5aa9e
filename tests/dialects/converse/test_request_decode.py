"""A request of Converse in neutral form."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.request_decode import decode_request
from llmproxy.errors import BadRequest

USER = {"role": "user", "content": [{"text": "Hi"}]}
CALL = {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t", "content": []}}


def read(**body: Any) -> Any:
    return decode_request({"messages": [USER], **body})


def test_model_and_stream_are_left_to_the_path() -> None:
    request = read()
    assert (request.dialect, request.model, request.stream) == ("converse", "", False)


def test_knobs_are_read_with_their_paths() -> None:
    request = read(
        inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a"]},
        additionalModelRequestFields={"top_k": 5, "other": 1},
        serviceTier={"type": "priority"},
    )
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (9, 0.5, 0.9, 5)
    assert sampling.stop == ["a"] and request.knobs == {"service_tier": "priority"}
    assert request.where("top_k") == "additionalModelRequestFields.top_k"
    assert request.extra == {"additionalModelRequestFields": {"other": 1}}


@pytest.mark.parametrize("name", ["thinking", "reasoning_config"])
def test_thinking_of_a_claude_is_read_from_either_name(name: str) -> None:
    fields = {name: {"type": "enabled", "budget_tokens": 2048}}
    request = read(additionalModelRequestFields=fields, outputConfig={"effort": "high"})
    assert (request.reasoning.mode, request.reasoning.budget_tokens, request.reasoning.effort) == ("on", 2048, "high")
    assert request.where("budget_tokens") == f"additionalModelRequestFields.{name}.budget_tokens"


@pytest.mark.parametrize("thinking", ["yes", {"type": "deep"}, {}])
def test_the_fields_of_other_models_may_hold_anything(thinking: Any) -> None:
    request = read(additionalModelRequestFields={"thinking": thinking, "top_k": "many", "tool_choice": 5})
    assert request.reasoning.mode is None and request.sampling.top_k is None
    assert request.extra["additionalModelRequestFields"]["thinking"] == thinking


def test_an_effort_that_nobody_knows_stays() -> None:
    request = read(outputConfig={"effort": "extreme"})
    assert request.reasoning.effort is None and request.extra == {"outputConfig": {"effort": "extreme"}}


def test_one_call_at_a_time_is_a_field_of_claude() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    request = read(additionalModelRequestFields={"tool_choice": choice})
    assert request.parallel_tools is False
    assert request.where("parallel_tools") == "additionalModelRequestFields.tool_choice.disable_parallel_tool_use"


def test_a_schema_is_text() -> None:
    definition = {"schema": '{"type":"object"}', "name": "n", "description": "d"}
    form = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    found = read(outputConfig={"textFormat": form}).format
    assert (found.kind, found.schema, found.name, found.description) == ("schema", {"type": "object"}, "n", "d")


def test_the_system_prompt_is_a_block_each() -> None:
    guarded = {"guardContent": {"text": {"text": "b", "qualifiers": ["query"]}}}
    request = read(system=[{"text": "a"}, guarded, {"cachePoint": {"type": "default"}}])
    assert [each.content[0].text for each in request.system] == ["a", "b"]
    assert request.system[1].content[0].cache is not None


def test_asking_for_the_stop_sequence_is_no_loss_elsewhere() -> None:
    assert not [name for name in read(additionalModelResponseFieldPaths=["/stop_sequence"]).extra if name[0] != "~"]
    assert "additionalModelResponseFieldPaths" in read(additionalModelResponseFieldPaths=["/a"]).extra


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": None}, "messages"),
        ({"messages": [{"content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}]}, "messages[0].content[0].toolResult"),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "messages[0].content[0].toolUse"),
        ({"system": [{"image": {"format": "png", "source": {"bytes": "AAAA"}}}]}, "system[0].image"),
        ({"inferenceConfig": {"maxTokens": "9"}}, "inferenceConfig.maxTokens"),
        ({"inferenceConfig": {"stopSequences": [5]}}, "inferenceConfig.stopSequences[0]"),
        ({"outputConfig": {"textFormat": {"type": "json_schema"}}}, "outputConfig.textFormat.structure"),
        (
            {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        ({"serviceTier": "flex"}, "serviceTier"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**body)
    assert refused.value.param == path

"""Requests of generateContent."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini import CODEC
from llmproxy.dialects.model import Request, Text, ToolCall, ToolResult
from llmproxy.errors import BadRequest, Untranslatable

HI = [{"role": "user", "parts": [{"text": "Hi"}]}]


def read(**members: Any) -> Request:
    return CODEC.decode_request({"contents": HI, **members})


def as_chat(**members: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    return CHAT.encode_request(read(**members), CHAT.context("gemini", losses)), losses.dropped


def test_names_may_be_written_as_python_does() -> None:
    request = read(
        system_instruction={"parts": {"text": "Be kind"}},
        contents={"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]},
        generation_config={"max_output_tokens": 5, "stop_sequences": ["x"], "thinking_config": {"thinking_budget": 0}},
    )
    assert request.system[0].content[0].text == "Be kind"
    assert request.sampling.max_tokens == 5 and request.sampling.stop == ["x"] and request.reasoning.mode == "off"
    assert not any(request.extra.get(name) for name in ("systemInstruction", "generationConfig"))


def test_calls_and_responses_without_ids_are_paired() -> None:
    call, response = {"functionCall": {"name": "look"}}, {"functionResponse": {"name": "look", "response": {}}}
    contents = [*HI, {"role": "model", "parts": [call, call]}, {"role": "function", "parts": [response, response]}]
    _, model, user = read(contents=contents).messages
    calls = [block.id for block in model.content if isinstance(block, ToolCall)]
    assert calls == [block.id for block in user.content if isinstance(block, ToolResult)] and len(set(calls)) == 2
    assert user.role == "user"
    again = CODEC.encode_request(read(contents=contents), CODEC.context("gemini", Losses()))
    assert again["contents"][2]["role"] == "function" and "id" not in str(again["contents"][1])


def test_the_form_of_the_answer_stands_in_three_places() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    kind = {"responseMimeType": "application/json"}
    for config in (
        {**kind, "responseJsonSchema": schema},
        {**kind, "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
        {"responseFormat": [{"text": {"mimeType": "APPLICATION_JSON", "schema": schema}}]},
    ):
        form = read(generationConfig=config).format
        assert form is not None and (form.kind, form.schema) == ("schema", schema)
        again = CODEC.encode_request(read(generationConfig=config), CODEC.context("gemini", Losses()))
        assert again["generationConfig"] == config
    plain = read(generationConfig=kind).format
    assert plain is not None and plain.kind == "json"
    assert read(generationConfig={"responseMimeType": "text/plain"}).format is None


def test_forms_that_nobody_else_has_are_listed() -> None:
    enum = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}
    assert as_chat(generationConfig=enum)[1] == ["generationConfig.responseMimeType", "generationConfig.responseSchema"]
    forms: Any = {"responseFormat": [{"audio": {}}]}
    assert as_chat(generationConfig=forms)[1] == ["generationConfig.responseFormat"]


def test_what_is_only_declared_is_listed() -> None:
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    _, dropped = as_chat(safetySettings=settings, tools=[{"googleSearch": {}}], labels={"a": "b"})
    assert sorted(dropped) == ["safetySettings", "tools[0].googleSearch"]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"candidateCount": 2}, "generationConfig.candidateCount"),
        ({"responseModalities": ["AUDIO"]}, "generationConfig.responseModalities"),
    ],
)
def test_several_or_spoken_answers_come_from_google_alone(config: dict[str, Any], path: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        as_chat(generationConfig=config)
    assert refused.value.param == path
    assert as_chat(generationConfig={"candidateCount": 1})[1] in ([], ["generationConfig.candidateCount"])


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"contents": None}, "contents"),
        ({"contents": [{"role": "assistant", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": "model", "parts": [{"functionResponse": {"name": "a"}}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"functionCall": {"name": "a"}}]}]}, "contents[0].parts[0]"),
        ({"systemInstruction": {"parts": [{"inlineData": {"data": "AA"}}]}}, "systemInstruction.parts[0]"),
        ({"generationConfig": {"topP": "high"}}, "generationConfig.topP"),
        ({"generationConfig": {"stopSequences": [5]}}, "generationConfig.stopSequences[0]"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**members)
    assert refused.value.param == path


def test_text_alone_is_a_request_too() -> None:
    request = CODEC.decode_request({"contents": "Hi", "systemInstruction": "Be kind"})
    assert isinstance(request.messages[0].content[0], Text) and request.system[0].content[0].text == "Be kind"

"""Requests of other dialects, as Google takes them."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini import CODEC
from tests.support.strict_gemini import judge_gemini


def written(losses: Losses | None = None, model: str = "gemini-3-flash", **members: Any) -> dict[str, Any]:
    request = CHAT.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})
    request.model = model
    body = CODEC.encode_request(request, CODEC.context("chat", losses or Losses()))
    assert judge_gemini(body, model) == []
    return body


def test_every_knob_of_chat_that_gemini_has_is_carried() -> None:
    losses = Losses()
    body = written(
        losses,
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stop=["x", ""],
        seed=4,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        service_tier="priority",
    )
    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "seed": 4,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "stopSequences": ["x"],
    }
    assert body["serviceTier"] == "priority" and losses.dropped == []


def test_what_it_lacks_is_listed() -> None:
    losses = Losses()
    written(losses, logit_bias={"1": 2}, user="u", store=True, verbosity="low", service_tier="scale")
    assert sorted(losses.dropped) == ["logit_bias", "service_tier", "store", "user", "verbosity"]


def test_a_schema_goes_as_json_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    form = {
        "type": "json_schema",
        "json_schema": {"name": "x", "description": "An a", "schema": schema, "strict": True},
    }
    config = written(response_format=form)["generationConfig"]
    assert config == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"description": "An a", **schema},
    }
    assert written(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }


def test_instructions_among_the_messages_are_the_users() -> None:
    losses = Losses()
    messages = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Be brief"},
    ]
    body = written(losses, messages=messages)
    assert body["systemInstruction"] == {"parts": [{"text": "Be kind"}]}
    assert [content["role"] for content in body["contents"]] == ["user", "user"]
    assert losses.dropped == ["messages[2].role"]

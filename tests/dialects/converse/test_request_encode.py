"""Requests for Bedrock, from other dialects, as botocore's parameter validation takes them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.messages import CODEC as MESSAGES
from tests.support.sdk_types import misfits

OLD, NEW = "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-opus-5-v1:0"
NOVA, OSS, LLAMA = "amazon.nova-2-lite-v1:0", "openai.gpt-oss-120b-1:0", "meta.llama3-3-70b-instruct-v1:0"
FIELDS = "additionalModelRequestFields"


def written(model: str, losses: Losses | None = None, options: Options | None = None, **members: Any) -> dict[str, Any]:
    request = CHAT.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})
    request.model = model
    context = EncodeContext(losses=losses or Losses(), options=options or Options())
    body = CODEC.encode_request(request, context)
    assert misfits("converse", body) == []
    return body


def test_a_claude_thinks_by_a_budget_that_fits_into_the_limit() -> None:
    body = written(OLD, reasoning_effort="medium")
    assert body[FIELDS] == {"thinking": {"type": "enabled", "budget_tokens": 8192}}
    assert body["inferenceConfig"]["maxTokens"] > 8192


def test_a_newer_claude_thinks_by_an_effort() -> None:
    body = written(NEW, reasoning_effort="xhigh")
    assert body[FIELDS] == {"thinking": {"type": "adaptive"}} and body["outputConfig"] == {"effort": "xhigh"}
    assert "inferenceConfig" not in body


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (NOVA, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (OSS, {"reasoning_effort": "high"}),
        (LLAMA, None),
    ],
)
def test_others_think_as_their_makers_have_it(model: str, fields: Any) -> None:
    losses = Losses()
    assert written(model, losses, reasoning_effort="xhigh").get(FIELDS) == fields
    assert losses.dropped == (["reasoning_effort"] if fields is None else [])


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (OLD, {"top_k": 5}),
        (NOVA, {"inferenceConfig": {"topK": 5}}),
        ("mistral.large", {"top_k": 5}),
        (LLAMA, None),
    ],
)
def test_top_k_stands_where_the_maker_has_it(model: str, fields: Any) -> None:
    request = MESSAGES.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "top_k": 5})
    request.model, losses = model, Losses()
    assert CODEC.encode_request(request, EncodeContext(losses=losses)).get(FIELDS) == fields
    assert losses.dropped == (["top_k"] if fields is None else [])


def test_knobs_that_converse_lacks_are_listed() -> None:
    losses = Losses()
    body = written(
        LLAMA,
        losses,
        temperature=1.5,
        top_p=0.5,
        seed=1,
        user="u",
        stop=[" ", "END"],
        service_tier="scale",
        store=False,
    )
    assert body["inferenceConfig"] == {"topP": 0.5, "stopSequences": ["END"]} and "serviceTier" not in body
    assert sorted(losses.dropped) == ["seed", "service_tier", "stop", "temperature", "user"]


def test_a_limit_is_the_clients_or_the_targets() -> None:
    assert written(LLAMA, max_completion_tokens=7)["inferenceConfig"] == {"maxTokens": 7}
    assert written(LLAMA, options=Options(default_max_tokens=9))["inferenceConfig"] == {"maxTokens": 9}
    assert "inferenceConfig" not in written(LLAMA)


def test_a_schema_is_closed_and_written_as_text() -> None:
    schema = {"name": "n", "schema": {"type": "object", "properties": {}}}
    form = {"type": "json_schema", "json_schema": schema}
    found = written(OLD, response_format=form)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert found == {"schema": '{"type":"object","properties":{},"additionalProperties":false}', "name": "n"}
    losses = Losses()
    assert "outputConfig" not in written(LLAMA, losses, response_format=form)
    assert losses.dropped == ["response_format"]


def test_a_claude_is_asked_which_sequence_stopped_it() -> None:
    assert written(OLD, stop="END")["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in written(LLAMA, stop="END")


def test_a_tier_is_said_in_the_vendors_words() -> None:
    assert written(LLAMA, service_tier="flex")["serviceTier"] == {"type": "flex"}
    assert written(LLAMA, service_tier="auto")["serviceTier"] == {"type": "default"}

"""The bodies and models of CountTokens."""

from __future__ import annotations

import base64
import json

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.dialects.messages import DIALECT, INVOKE
from llmproxy.errors import UpstreamError
from llmproxy.providers.bedrock_tokens import ask_for_count, counted_model
from llmproxy.target import Origin, UpstreamRequest


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        ("us.anthropic.claude-a-v1:0", "anthropic.claude-a-v1:0"),
        ("us-gov.anthropic.claude-a", "anthropic.claude-a"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-a", "anthropic.claude-a"),
        ("anthropic.claude-a", "anthropic.claude-a"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", None),
    ],
)
def test_a_profile_is_counted_as_its_model(model: str, counted: str | None) -> None:
    assert counted_model(model) == (counted or model)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": []}, 64000),
        ({"messages": [], "max_tokens": 5}, 5),
        ({"messages": [], "thinking": {"type": "enabled", "budget_tokens": 70000}}, 70001),
    ],
)
def test_a_limit_is_added_that_the_call_requires(body: dict[str, object], tokens: int) -> None:
    origin = Origin(scheme="https", host="h", port=443)
    request = UpstreamRequest(origin=origin, method="POST", target="/x", headers=Headers(), body=None)
    ask_for_count(request, "us.anthropic.claude-sonnet-4-5", Body(json.dumps(body).encode()), INVOKE, DIALECT, "id")
    assert request.target == "/model/anthropic.claude-sonnet-4-5/count-tokens" and isinstance(request.body, Body)
    asked = json.loads(base64.b64decode(json.loads(request.body.raw)["input"]["invokeModel"]["body"]))
    assert asked == {**body, "max_tokens": tokens}


@pytest.mark.parametrize("body", [b"{}", b'{"inputTokens":true}', b"<html>", b'{"inputTokens":"7"}'])
async def test_an_answer_without_a_number_is_an_error(body: bytes) -> None:
    request = UpstreamRequest(
        origin=Origin(scheme="https", host="h", port=443), method="POST", target="/x", headers=Headers(), body=None
    )
    ask_for_count(request, "anthropic.claude-a", Body(b'{"messages":[]}'), INVOKE, DIALECT, "id")
    assert request.adapt is not None
    with pytest.raises(UpstreamError, match="contains no number of tokens"):
        await request.adapt(Answer(status=200, headers=Headers(), body=body))

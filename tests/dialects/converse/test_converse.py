"""The dialect as a whole: its paths, its framing, and the count of tokens."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.converse import CODEC, DIALECT, request_in
from llmproxy.errors import BadRequest
from llmproxy.wire.eventstream import EVENT_STREAM

MODELS = ["anthropic.claude-v1:0", "arn:aws:bedrock:us-east-1:123:inference-profile/us.anthropic.claude-v1:0", "a%2Fb"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_the_model_stands_in_the_path(model: str, prefix: str) -> None:
    for verb, stream in (("converse", False), ("converse-stream", True)):
        endpoint = catalog.find("POST", f"{prefix}/model/{model}/{verb}")
        assert endpoint is not None and endpoint.dialect is DIALECT
        assert endpoint.model_of(f"/model/{model}/{verb}") == unquote(model) and endpoint.streams is stream
        assert endpoint.translatable
        assert endpoint.model_of(endpoint.path_for(model)) == model


def test_it_streams_in_binary_messages() -> None:
    assert DIALECT.framing is EVENT_STREAM
    assert DIALECT.framing.content_type == "application/vnd.amazon.eventstream"


def test_it_says_what_its_providers_need() -> None:
    assert CODEC.needs_thinking("us.anthropic.claude-opus-5") and not CODEC.needs_thinking("amazon.nova-2-lite-v1:0")
    assert CODEC.takes_url == frozenset() and CODEC.seal == "messages"


def test_the_tokens_of_a_nested_request_are_counted() -> None:
    endpoint = catalog.find("POST", "/model/m/count-tokens")
    assert endpoint is not None and endpoint.untranslated
    assert request_in({"input": {"converse": {"messages": []}}}) == {"messages": []}
    assert DIALECT.token_count is not None and DIALECT.token_count.write(5) == b'{"inputTokens":5}'
    invoked = {"input": {"invokeModel": {"body": "eyJhIjogMX0="}}}
    assert request_in(invoked) == {"a": 1} and DIALECT.token_count.dialect_in(invoked) == "invoke"
    for asked in ({}, 5, {"invokeModel": {"body": "e3"}}, {"invokeModel": {"body": "5"}}, {"invokeModel": 1}):
        with pytest.raises(BadRequest, match="must hold a request"):
            request_in({"input": asked})

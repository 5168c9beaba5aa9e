"""WebSockets of dialects: models in queries, facts in events, sums of usage."""

from __future__ import annotations

import pytest

from llmproxy.dialects.socket_calls import add_usage, model_in_query, names_deployment, with_model, without_deployment
from llmproxy.dialects.socket_catalog import find_socket
from llmproxy.dialects.usage import Usage, UsageDetails


@pytest.mark.parametrize(
    ("query", "model"),
    [
        (None, None),
        ("model=", None),
        ("a=1&model=gpt%2Fx+y", "gpt/x y"),
        ("deployment=d&model=m", "m"),
        ("models=m", None),
    ],
)
def test_the_query_names_the_model(query: str | None, model: str | None) -> None:
    assert model_in_query(query) == model


def test_another_model_leaves_the_rest_byte_for_byte() -> None:
    assert with_model("a=%20&model=x&b", "y z/1") == "a=%20&model=y%20z/1&b"
    assert with_model("deployment=x", "y", "model") == "model=y"
    assert without_deployment("api-version=1&deployment=x&a") == "model=x&a"
    assert names_deployment("a=1&deployment=x") and not names_deployment("model=x")


def test_usage_adds_up() -> None:
    first = Usage(input=1, output=2, cache_read=3, details=UsageDetails(input_audio=1))
    second = Usage(input=10, output=None, reasoning=5, details=UsageDetails(input_audio=2, output_audio=4))
    details = UsageDetails(input_audio=3, output_audio=4)
    assert add_usage(None, first) is first
    assert add_usage(first, second) == Usage(input=11, output=2, cache_read=3, reasoning=5, details=details)


@pytest.mark.parametrize(
    "data", [b"", b'{"type": "response.done"', b'["response.done"]', b'{"type": "session.update"}']
)
def test_other_messages_say_nothing(data: bytes) -> None:
    endpoint = find_socket("/v1/realtime", None)
    assert endpoint is not None and endpoint.socket is not None and endpoint.socket.read_event(data) is None

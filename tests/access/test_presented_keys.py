"""The places in which clients send keys, and that no verified key stays in any of them."""

from __future__ import annotations

import pytest

from llmproxy.access.presented_keys import presented_keys, remove_keys
from llmproxy.answer import Headers
from tests.support.exchanges import new_exchange

SIGNED = "AWS4-HMAC-SHA256 Credential=k1/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=ab"
PROTOCOLS = "realtime, openai-insecure-api-key.k1, openai-beta.realtime-v1"
PLACES = [
    ("Authorization", "Bearer k1"),
    ("authorization", "bearer  k1 "),
    ("Authorization", "k1"),
    ("Authorization", SIGNED),
    ("x-api-key", "k1"),
    ("api-key", " k1"),
    ("x-goog-api-key", "k1"),
    ("x-llmproxy-key", "k1"),
    ("Sec-WebSocket-Protocol", PROTOCOLS),
]


@pytest.mark.parametrize(("name", "value"), PLACES)
def test_a_key_is_found_wherever_sdks_send_it(name: str, value: str) -> None:
    assert presented_keys(Headers([("Accept", "*/*"), (name, value)]), None) == ["k1"]


@pytest.mark.parametrize("query", ["key=k1", "alt=sse&key=k1", "key=%6b1&alt=sse"])
def test_a_key_is_found_in_the_query(query: str) -> None:
    assert presented_keys(Headers(), query) == ["k1"]


@pytest.mark.parametrize("query", ["", "keys=k1", "api_key=k1", "monkey=k1", "key", "key="])
def test_other_fields_of_the_query_are_none(query: str) -> None:
    assert presented_keys(Headers(), query) == []


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic azE6", "AWS4-HMAC-SHA256 nothing", "Digest a=k1"])
def test_other_schemes_present_nothing_that_could_be_a_key(value: str) -> None:
    assert set(presented_keys(Headers([("Authorization", value)]), None)) <= {"", "Bearer"}


def test_each_key_is_presented_once_in_order() -> None:
    headers = Headers([("Authorization", "Bearer k1"), ("x-api-key", "k2"), ("api-key", "k1"), ("x-api-key", "k3")])
    assert presented_keys(headers, "key=k4") == ["k1", "k2", "k3", "k4"]


@pytest.mark.parametrize(("name", "value"), PLACES[:-1])
def test_a_verified_key_is_removed_wherever_it_stands(name: str, value: str) -> None:
    exchange = new_exchange("/v1/files", (name, value), ("Cookie", "session=k1"), ("x-mine", "k2"), query="a=1&b=%6b1")
    remove_keys(exchange, ["k1"])
    assert list(exchange.headers.items()) == [("x-mine", "k2")]
    assert exchange.query == "a=1"


def test_other_values_of_a_header_and_other_protocols_stay() -> None:
    exchange = new_exchange(
        "/v1/files", ("x-api-key", "k1"), ("x-api-key", "own"), ("Sec-WebSocket-Protocol", PROTOCOLS), query="key=k1"
    )
    remove_keys(exchange, ["k1"])
    assert exchange.headers.getall("x-api-key") == ["own"]
    assert exchange.headers["Sec-WebSocket-Protocol"] == "realtime, openai-beta.realtime-v1"
    assert exchange.query is None

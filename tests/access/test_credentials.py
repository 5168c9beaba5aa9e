from __future__ import annotations

import pytest

from llmproxy.access.credentials import (
    VENDOR_CREDENTIALS,
    header_credentials,
    is_signature,
    missing_authorization,
    query_credentials,
)
from llmproxy.answer import Headers


@pytest.mark.parametrize(
    "name",
    [
        *VENDOR_CREDENTIALS,
        *("Cookie", "x-portkey-api-key", "cf-aig-authorization", "X-Auth-Token", "Proxy-Authorization", "X-API-KEY"),
        *("ocp-apim-subscription-key", "helicone-auth", "x-amz-security-token", "cf-access-jwt-assertion"),
    ],
)
def test_headers_with_keys_are_credentials_however_they_are_spelled(name: str) -> None:
    for spelled in (name, name.upper(), name.lower()):
        assert header_credentials(Headers({"Accept": "*/*", spelled: "value"})) == ((name.lower(), "value"),)


@pytest.mark.parametrize(
    "name",
    [
        *("User-Agent", "X-Tenant", "session_id", "x-request-id", "idempotency-key", "x-llmproxy-session"),
        *(
            "x-llmproxy-key",
            "openai-organization",
            "anthropic-beta",
            "X-Max-Tokens",
            "sec-websocket-key",
            "traceparent",
        ),
    ],
)
def test_other_headers_are_not(name: str) -> None:
    assert header_credentials(Headers({name: "value"})) == ()


@pytest.mark.parametrize(("value", "counts"), [("Bearer abc", True), ("Basic dTpw", True), ("Bearer of news", False)])
def test_a_header_of_any_name_counts_when_its_value_says_so(value: str, counts: bool) -> None:
    assert bool(header_credentials(Headers({"X-Upstream": value}))) is counts


def test_a_signature_counts_as_its_signer_who_is_the_same_in_every_request() -> None:
    signed = "AWS4-HMAC-SHA256 Credential=AKID{}/20261129/us-east-1/bedrock/aws4_request, Signature={}"
    first, second, other = (
        header_credentials(Headers({"Authorization": signed.format(*each)})) for each in (("A", 1), ("A", 2), ("B", 1))
    )
    assert first == second == (("authorization", "AWS4-HMAC-SHA256 Credential=AKIDA"),) != other
    assert is_signature(first[0][1]) and not is_signature("Bearer AWS4")


def test_repeated_headers_count_each_and_their_order_does_not() -> None:
    pairs = [("x-api-key", "b"), ("Authorization", "Bearer a"), ("X-Api-Key", "a")]
    expected = (("authorization", "Bearer a"), ("x-api-key", "a"), ("x-api-key", "b"))
    assert header_credentials(Headers(pairs)) == header_credentials(Headers(pairs[::-1])) == expected


def test_more_names_than_are_remembered_are_still_judged() -> None:
    for number in range(3000):
        sent = Headers({f"x-{number}": "1", f"x-{number}-api-key": "1", "x" * 70 + "-token": "2"})
        assert len(header_credentials(sent)) == 2


def test_fields_of_a_query_count_by_their_names() -> None:
    assert query_credentials("beta=true&key=a&api%5Fkey=b&token=&max_tokens=5&k") == (
        ("?key", "a"),
        ("?api%5Fkey", "b"),
    )


def test_a_missing_authorization_is_a_401_that_says_what_to_send() -> None:
    error = missing_authorization()
    assert (error.status, error.code) == (
        401,
        "missing_authorization",
    ) and "Send `Authorization: Bearer" in error.message
    assert error.headers == (("WWW-Authenticate", "Bearer"),)

from __future__ import annotations

import pytest

from llmproxy.answer import Headers
from llmproxy.providers.forwarding import forward, forward_query, forwarded_credentials, offers_credential


def test_unknown_and_repeated_headers_go_on_in_order_and_byte_for_byte() -> None:
    sent = [
        ("anthropic-beta", "a"),
        ("X-Odd", "caf\xe9 \udcff"),
        ("anthropic-beta", "b"),
        ("x-ODD", ""),
        ("Cookie", "c=1"),
    ]
    got = forward(Headers(sent), credentials=True)
    assert [pair for pair in got.items() if pair[0] != "Accept-Encoding"] == sent


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "PROXY-AUTHORIZATION",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Host",
        "content-length",
        "Expect",
        "x-llmproxy-provider",
        "X-LLMProxy-Anything",
    ],
)
def test_what_concerns_the_connection_or_the_proxy_stays(name: str) -> None:
    got = forward(Headers([(name, "x"), ("Accept", "y"), (name, "z")]), credentials=True)
    assert set(got) == {"Accept", "Accept-Encoding"}


def test_what_connection_names_stays_too() -> None:
    headers = Headers(
        [
            ("Connection", "keep-alive"),
            ("Connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
            ("connection", "x-two ,,"),
            ("x-hop", "4"),
            ("Connection", "keep-alive"),
            ("Connection", "x-four"),
            ("x-four", "4"),
        ]
    )
    assert dict(forward(headers, credentials=True)) == {"X-Three": "3", "Accept-Encoding": "identity"}


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ([], "identity"),
        (["gzip, br, zstd"], "gzip, zstd"),
        (["br"], "identity"),
        (["gzip", "deflate;q=0.5"], "gzip, deflate;q=0.5"),
    ],
)
def test_compression_is_asked_for_as_far_as_we_can_read_it(accepted: list[str], sent: str) -> None:
    got = forward(Headers([("Accept-Encoding", each) for each in accepted]), credentials=True)
    assert got.getall("accept-encoding") == [sent]


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-Api-Key", "api-key", "x-goog-api-key"])
def test_credentials_go_on_only_where_they_are_wanted(name: str) -> None:
    headers = Headers([(name, "dummy"), ("openai-organization", "org")])
    assert forward(headers, credentials=True)[name] == "dummy"
    assert "dummy" not in forward(headers, credentials=False).values()
    assert forward(headers, credentials=False)["OpenAI-Organization"] == "org"


def test_the_clients_headers_are_left_as_they_are() -> None:
    headers = Headers([("Host", "h"), ("Connection", "x-a"), ("x-a", "1"), ("Authorization", "k")])
    before = headers.copy()
    forward(headers, credentials=False)
    assert headers == before


def test_more_names_than_are_remembered_are_still_judged() -> None:
    for number in range(3000):
        got = forward(Headers([(f"x-{number}", "1"), (f"X-LLMPROXY-{number}", "1")]), credentials=True)
        assert set(got) == {f"x-{number}", "Accept-Encoding"}


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        ([("Authorization", "Bearer sk")], True),
        ([("x-api-key", "sk")], True),
        ([("api-key", "sk")], True),
        ([("Authorization", "Basic dTpw")], True),
        ([("Authorization", "Bearer ")], False),
        ([("Authorization", ""), ("x-api-key", " ")], False),
        ([("Cookie", "a=b")], False),
    ],
)
def test_an_empty_credential_is_none(headers: list[tuple[str, str]], offered: bool) -> None:
    assert offers_credential(Headers(headers)) is offered


def test_credentials_that_go_on_are_those_that_a_provider_gets() -> None:
    sent = Headers(
        {"Authorization": "Bearer a", "Cookie": "b=c", "Proxy-Authorization": "Basic d", "x-portkey-api-key": "e"}
    )
    for credentials in (True, False):
        got = forward(sent, credentials=credentials)
        expected = {name.lower(): value for name, value in got.items() if name != "Accept-Encoding"}
        assert dict(forwarded_credentials(sent, credentials=credentials)) == expected


def test_a_signature_of_aws_in_the_query_is_never_forwarded() -> None:
    names = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Security-Token", "Content-Sha256")
    signed = "&".join(f"X-Amz-{name}=a%2Fb" for name in names)
    assert forward_query(f"{signed}&a=%zz&X-Amz-Target=t&%58-Amz-Signature=0", frozenset()) == "a=%zz&X-Amz-Target=t"
    assert forward_query(f"{signed}&key=k", frozenset({"key"})) is None


def test_a_signature_of_aws_is_never_forwarded() -> None:
    signature = (
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0"
    )
    signed = Headers(
        [
            ("Authorization", signature),
            ("X-Amz-Date", "20260101T000000Z"),
            ("X-Amz-Security-Token", "session"),
            ("X-Amz-Content-SHA256", "0"),
            ("X-Amzn-Bedrock-Accept", "*/*"),
        ]
    )
    for credentials in (False, True):
        assert dict(forward(signed, credentials=credentials)) == {"X-Amzn-Bedrock-Accept": "*/*"} | {
            "Accept-Encoding": "identity"
        }
        assert forwarded_credentials(signed, credentials=credentials) == ()
    assert not offers_credential(signed) and offers_credential(Headers([("Authorization", "Bearer k")]))

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.exchange import Exchange
from llmproxy.redaction import secrets
from llmproxy.redaction.json_escapes import Unescaped, unescape
from llmproxy.redaction.names import MASK
from llmproxy.redaction.secrets import (
    MOST_SENT,
    forms_of,
    mask_bytes,
    mask_text,
    secret_header,
    secrets_of,
    with_credentials,
)
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.proxy import Scripted


def exchange(*headers: tuple[str, str], query: str | None = None) -> Exchange:
    return Exchange(
        id="1",
        method="POST",
        full_path="/",
        path="/",
        query=query,
        headers=Headers(headers),
        client=Client(address="127.0.0.1"),
        started_s=time.monotonic(),
        began_s=time.time(),
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "X-Api-Key",
        "api-key",
        "Cookie",
        "set-cookie",
        "x-goog-api-key",
        "x-amz-security-token",
        "Ocp-Apim-Subscription-Key",
        "x-auth-token",
        "x-llmproxy-signature",
        "Helicone-Auth",
        "x-goog-iap-jwt-assertion",
        "x-amzn-oidc-accesstoken",
        "Sec-WebSocket-Protocol",
    ],
)
def test_headers_for_credentials_are_secret(name: str) -> None:
    assert secret_header(name)


@pytest.mark.parametrize(
    "name",
    [
        "accept",
        "Idempotency-Key",
        "sec-websocket-key",
        "sec-websocket-version",
        "x-author",
        "x-ratelimit-remaining-tokens",
        "x-request-id",
        "user-agent",
        "anthropic-ratelimit-tokens-limit",
        "x-session-id",
        "etag",
        "x-llmproxy-cache-key",
        "x-litellm-cache-key",
        "X-Idempotency-Key",
        "surrogate-key",
    ],
)
def test_other_headers_are_not(name: str) -> None:
    assert not secret_header(name)


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Authorization", "Bearer sk-abcdef", {"sk-abcdef"}),
        ("Authorization", "bearer  sk-abcdef", {"sk-abcdef"}),
        ("Authorization", "sk-abcdef", {"sk-abcdef"}),
        ("Authorization", f"Basic {encoded('mainuser:pa:ssword')}", {"pa:ssword", "mainuser"}),
        ("Authorization", "Basic not base64!", set()),
        ("x-api-key", "k-123456", {"k-123456"}),
        ("x-upstream", "Bearer sk-abcdef", {"sk-abcdef"}),
        ("x-upstream", f"basic {encoded('user:pa55word')}", {"pa55word"}),
        ("x-upstream", "basically nothing", set()),
        ("Cookie", 'a=crumb-1; b="crumb-2"', {"crumb-1", "crumb-2"}),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEX/20261121/eu/bedrock/aws4_request,SignedHeaders=host,Signature=0a1b2c3d",
            {"AKIDEX/20261121/eu/bedrock/aws4_request", "AKIDEX", "0a1b2c3d"},
        ),
        ("Referer", "https://me:pa55word@x.org/?sig=abc%2Fdef&n=abcdefgh", {"pa55word", "abc%2Fdef", "abc/def"}),
    ],
)
def test_the_secrets_of_a_header(header: str, value: str, expected: set[str]) -> None:
    found = secrets_of(exchange((header, value)))
    assert expected <= set(found)
    assert mask_text(f"you sent {value}.", found).count(MASK) >= bool(expected)
    assert "abcdefgh" not in found


def test_the_secrets_of_a_query_as_they_stand_there_and_decoded() -> None:
    assert set(secrets_of(exchange(query="key=a%2fb%2Bcde&max_tokens=1000000&x=longenough"))) == {
        "a%2fb%2Bcde",
        "a/b+cde",
    }


def test_the_keys_of_all_providers_of_the_route_count() -> None:
    first, second = Scripted("a", ValueError()), Scripted("b", ValueError())
    first.secrets, second.secrets = ("sk-first",), ("sk-second",)
    asked = exchange()
    asked.route = Route(name="x", targets=(Target(provider=first), Target(provider=second)))
    assert set(secrets_of(asked)) == {"sk-first", "sk-second"}


@pytest.mark.parametrize("value", ["Bearer abc", "Bearer ollama", "Bearer not-needed"])
def test_short_values_and_what_is_sent_where_no_key_is_needed_are_no_secrets(value: str) -> None:
    assert mask_text("abc of ollama is not-needed", secrets_of(exchange(("Authorization", value)))) == (
        "abc of ollama is not-needed"
    )


def test_they_are_found_once_when_it_is_over() -> None:
    asked = exchange(("x-api-key", "k-123456"))
    asked.ended_s = asked.started_s
    found = secrets_of(asked)
    asked.headers.clear()
    assert secrets_of(asked) is found


SECRET = 'pä55/"word"+&\\ x'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(SECRET)[1:-1].replace("/", "\\/").replace("&", "\\u0026").replace("+", "\\u002B"),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(written: str) -> None:
    secrets = (SECRET,) if written != quote(SECRET, safe="").lower() else (SECRET.lower(),)
    assert mask_text(f"<{written}>", secrets) == f"<{MASK}>"
    assert mask_bytes(f"<{written}>".encode(), secrets) == f"<{MASK}>".encode()


def test_bytes_that_are_no_text_pass() -> None:
    assert mask_bytes(b"\xff sk-abcdef \x00", ("sk-abcdef",)) == b"\xff " + MASK.encode() + b" \x00"
    assert mask_text("\udcff sk-abcdef", ("sk-abcdef",)) == f"\udcff {MASK}"


def test_credentials_found_elsewhere_are_added() -> None:
    assert set(with_credentials(("sk-abcdef",), ["Bearer mcp-12345", "tiny"])) == {
        "sk-abcdef",
        "Bearer mcp-12345",
        "mcp-12345",
    }


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"Bearer ", b"Authorization: "])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_in_base64_is_hidden_wherever_it_begins(encode: Callable[[bytes], bytes], before: bytes) -> None:
    written = encode(before + b"sk-???>>>-secret" + b" and more")
    masked = mask_bytes(b"<%b>" % written, ("sk-???>>>-secret",))
    assert MASK.encode() in masked
    assert b"secr" not in base64.b64decode(masked[1:-1].partition(MASK.encode())[0] + b"==", b"-_")


def test_a_secret_that_is_there_thousands_of_times_takes_no_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def unescape_counted(data: bytes) -> Unescaped:
        copied.append(len(data))
        return unescape(data)

    monkeypatch.setattr(secrets, "unescape", unescape_counted)
    written = b"\\u0073k-abcdef at \\u0073k-abcdef, "
    assert mask_bytes(written * 1000, ("sk-abcdef",)) == b"%b at %b, " % (MASK.encode(), MASK.encode()) * 1000
    assert len(copied) == 2, "one copy, and one more for the form that is there"


def test_of_thousands_of_credentials_of_a_client_the_longest_are_searched_for() -> None:
    cookies = "; ".join(f"a={number:06}" for number in range(4000)) + "; session=sk-abc-def/ghi"
    query = "&".join(f"key={number:07}" for number in range(4000))
    found = secrets_of(exchange(("Cookie", cookies), ("Authorization", "Bearer sk-client-secret"), query=query))
    assert {"sk-client-secret", "sk-abc-def/ghi"} <= set(found) and len(found) == MOST_SENT


def test_what_is_derived_from_much_does_not_stay_in_memory() -> None:
    forms_of(("sk-short",))
    caches = (secrets._cached_forms, secrets._cached_secrets, secrets._values)
    before = [each.cache_info().currsize for each in caches]
    long = "k-" * 5000
    assert long in secrets_of(exchange(("Authorization", f"Bearer {long}")))
    assert long.encode() in forms_of((long,))
    assert [each.cache_info().currsize for each in caches] == before


def test_many_forms_are_not_compared_with_each_other() -> None:
    many = tuple([f"k-{number:08}" for number in range(1000)])
    forms = forms_of((*many, "k-00000000-longer"))
    assert {b"k-00000000", b"k-00000000-longer", b"k-00000999"} <= set(forms)
    assert [len(each) for each in forms] == sorted(len(each) for each in forms), "the shortest first"
    assert forms_of(("abcdef", "abcdefgh")) == (b"abcdef",)


def test_a_signature_of_aws_is_masked_whoever_made_it() -> None:
    said = b"'AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=%b' does not match" % (b"0f" * 32)
    assert mask_bytes(said, ("sk-abcdef",)) == said.replace(b"0f" * 32, MASK.encode())
    assert mask_bytes(b"Signature=none", ("sk-abcdef",)) == b"Signature=none"

"""Which web pages may read answers."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.access.cors import METHODS, Cors
from llmproxy.answer import Answer, Headers

APP = "https://app.example.com"


def applied(origin: str = APP, *headers: tuple[str, str], **rules: Any) -> dict[str, str]:
    answer = Answer(status=200, headers=Headers(headers))
    Cors(**{"allow_origins": [APP], **rules}).apply(origin, answer)
    return {name.lower(): value for name, value in answer.headers.items()}


def preflight(origin: str = APP, *headers: tuple[str, str], method: str = "POST", **rules: Any) -> Answer | None:
    asked = Headers([("Origin", origin), ("Access-Control-Request-Method", method), *headers])
    return Cors(**{"allow_origins": [APP], **rules}).preflight(asked)


def test_the_origin_is_echoed_and_caches_are_warned() -> None:
    assert applied() == {
        "vary": "Origin",
        "access-control-allow-origin": APP,
        "access-control-expose-headers": "x-request-id",
    }


@pytest.mark.parametrize(
    "origin", ["https://evil.example", APP + ".evil.example", "http://app.example.com", "null", ""]
)
def test_another_origin_gets_nothing(origin: str) -> None:
    assert applied(origin) == {"vary": "Origin"}
    assert preflight(origin) is None


def test_without_rules_nobody_may_read_and_a_provider_cannot_allow_it() -> None:
    assert applied(APP, ("Access-Control-Allow-Origin", "*"), ("X-A", "1"), allow_origins=[]) == {"x-a": "1"}


def test_everybody_is_a_star_without_credentials() -> None:
    found = applied("https://any.example", allow_origins=["*"], allow_credentials=True)
    assert found == {"access-control-allow-origin": "*", "access-control-expose-headers": "x-request-id"}


def test_credentials_are_allowed_to_exact_origins() -> None:
    assert applied(allow_credentials=True)["access-control-allow-credentials"] == "true"


def test_the_headers_of_this_answer_that_may_be_read_are_named() -> None:
    headers = [("X-LLMProxy-Cost", "1"), ("Retry-After", "5"), ("x-ratelimit-limit-requests", "9"), ("Server", "x")]
    expected = "x-llmproxy-cost, retry-after, x-ratelimit-limit-requests, x-request-id"
    assert applied(APP, *headers)["access-control-expose-headers"] == expected
    assert "access-control-expose-headers" not in applied(APP, *headers, expose_headers=[])


def test_a_preflight_is_answered_with_what_is_allowed() -> None:
    answer = preflight(APP, ("Access-Control-Request-Headers", "authorization, x-y"), max_age_s=5)
    assert answer is not None and answer.status == 204
    assert dict(answer.headers) == {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": "5",
        "Access-Control-Allow-Headers": "authorization, x-y",
        "Vary": "Access-Control-Request-Headers",
    }
    Cors(allow_origins=[APP]).apply(APP, answer)
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert answer.headers["Access-Control-Allow-Methods"] == METHODS


def test_the_headers_that_pages_may_send_can_be_listed() -> None:
    answer = preflight(APP, ("Access-Control-Request-Headers", "x-y"), allow_headers=["Authorization", "Content-Type"])
    assert answer is not None
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"


def test_other_questions_are_no_preflights() -> None:
    assert preflight(method="") is None

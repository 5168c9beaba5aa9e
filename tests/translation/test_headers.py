from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.translation.headers import answer_headers, request_headers


@pytest.mark.parametrize(
    ("sent", "name", "scheme", "value"),
    [
        ({"Authorization": "Bearer k"}, "x-goog-api-key", "", "k"),
        ({"x-api-key": "k"}, "Authorization", "Bearer ", "Bearer k"),
        ({"Authorization": "Basic abc"}, "Authorization", "Bearer ", None),
    ],
)
def test_the_credential_stands_where_the_provider_expects_it(
    sent: dict[str, str], name: str, scheme: str, value: str | None
) -> None:
    headers = request_headers(Headers(sent | {"anthropic-beta": "x", "X-Own": "1"}), name, scheme)
    assert headers.get(name) == value and headers["X-Own"] == "1" and "anthropic-beta" not in headers


def test_headers_about_the_providers_body_are_left_out_and_losses_are_listed() -> None:
    theirs = Answer(status=200, headers=Headers({"Content-Length": "7", "ETag": "x", "x-theirs": "1"}))
    headers = answer_headers(theirs, ["a", "b[0]"], "application/json")
    assert dict(headers) == {
        "x-theirs": "1",
        "Content-Type": "application/json",
        "x-llmproxy-dropped": "a, b[0]",
    }
    assert len(answer_headers(theirs, ["x" * 90] * 100, "x")["x-llmproxy-dropped"]) <= 4200

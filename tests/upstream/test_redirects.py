"""Redirects of calls that name a model are followed within the provider's origin, or named in an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import vendors
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, provider

MESSAGES = "/v1/messages"
ASKED = {CHAT: ASK, MESSAGES: ASK | {"max_tokens": 9}, "/main/v1/chat/completions": ASK}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


def redirect(status: int, location: str | None, body: bytes = b"") -> Reply:
    headers = (("Content-Type", "text/html"),) if location is None else (("Location", location),)
    return Reply(status=status, headers=headers, pieces=[body])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("path", ASKED)
def test_within_the_origin_it_is_followed_with_method_body_and_credentials(
    upstream: Upstream, path: str, status: int, stream: bool
) -> None:
    upstream.next(
        redirect(status, "/elsewhere/chat/completions?x=%2F", b"moved" * 50_000),
        redirect(status, f"{upstream.url}/v2/chat/completions"),
    )
    with Listening(provider(upstream)) as server:
        answer = server.post(ASKED[path] | {"stream": stream}, "x-own: 1", path=path)
        assert answer.status == 200 and vendors.TEXT.split()[0].encode() in answer.body
    first, second, third = upstream.requests
    assert (second.target, third.target) == (b"/elsewhere/chat/completions?x=%2F", b"/v2/chat/completions")
    assert first.method == second.method == third.method == "POST"
    assert first.body == second.body == third.body != b""
    assert third.value("authorization") == "Bearer k" and third.value("x-own") == "1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ASKED)
def test_elsewhere_it_is_a_502_that_names_it(upstream: Upstream, path: str, status: int) -> None:
    upstream.next(redirect(status, "https://user:pw@new.example:8443/v1/chat?key=abcdef#f"))
    with Listening(provider(upstream)) as server:
        answer = server.post(ASKED[path], path=path)
    message = answer.json["error"]["message"]
    assert answer.status == 502 and answer.value("location") is None
    assert f"'main' redirects this call ({status}) to https://new.example:8443/v1/chat." in message
    assert "base_url" in message and "pw" not in message and "abcdef" not in message
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("status", "location"),
    [(301, "/v2/chat"), (302, "/v2/chat"), (303, "/v2/chat"), (307, None), (308, "http://[::1"), (307, "//other/x")],
)
def test_what_cannot_be_followed_is_a_502(upstream: Upstream, status: int, location: str | None) -> None:
    upstream.next(redirect(status, location))
    with Listening(provider(upstream)) as server:
        answer = server.post()
    assert answer.status == 502 and "base_url" in answer.json["error"]["message"]
    assert len(upstream.requests) == 1


def test_it_is_not_followed_for_ever(upstream: Upstream) -> None:
    upstream.next(*[redirect(307, CHAT)] * 6)
    with Listening(provider(upstream)) as server:
        answer = server.post()
    assert answer.status == 502 and "more than 5 times" in answer.json["error"]["message"]
    assert len(upstream.requests) == 6


def test_the_next_target_answers_in_its_place(upstream: Upstream) -> None:
    upstream.next(redirect(307, "https://new.example/v1"))
    with Listening(provider(upstream), provider(upstream, "other")) as server:
        assert server.post().status == 200


@pytest.mark.parametrize("status", [302, 307, 308])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/files/f/content"), ("POST", "/v1/files")])
def test_other_redirects_are_passed_on_as_they_are(upstream: Upstream, method: str, path: str, status: int) -> None:
    upstream.next(redirect(status, "https://files.example/f?sig=1", b"here"))
    with Listening(provider(upstream)) as server, server.client() as client:
        client.request(method, path, body=b"x" if method == "POST" else None)
        answer = client.read_answer(method)
    assert (answer.status, answer.value("location"), answer.body) == (status, "https://files.example/f?sig=1", b"here")

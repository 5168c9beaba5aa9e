"""Each fault of a proxy fails the group that looks for it. Here a fake upstream is the proxy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from llmproxy.cli.check_live.live_checks import CHECKS, CheckFailed, CheckSkipped, LiveProxy
from llmproxy.cli.check_live.live_client import LiveClient
from tests.support import vendors
from tests.support.provider import Reply, Upstream

ID = ("x-request-id", "r1")
CHAT = vendors.chat("m")
FRAMES = vendors.chat_frames("m")


def plain(value: object, *headers: tuple[str, str], status: int = 200) -> Reply:
    return Reply(status=status, headers=headers, pieces=[json.dumps(value).encode()])


def stream(frames: list[bytes], kind: str = "text/event-stream") -> Reply:
    return Reply(headers=(ID, ("Content-Type", kind)), pieces=frames, framing="chunked")


def error(status: int, *headers: tuple[str, str]) -> Reply:
    return plain({"error": {"message": "no"}}, *headers, status=status)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Upstream]:
    with Upstream(plain(CHAT, ID)) as upstream:
        yield upstream


@pytest.fixture
def check(lasting: Upstream) -> Callable[..., str]:
    lasting.forget()

    def run(name: str, *replies: Reply) -> str:
        lasting.next(*replies)
        return CHECKS[name](LiveProxy(client=LiveClient(lasting.url, None, 5), model="m"))

    return run


def tool_call(name: str, arguments: str) -> Reply:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return plain({"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}, ID)


def cached(state: str, value: object = CHAT) -> Reply:
    return plain(value, ID, ("x-cache", state))


def cached_stream(state: str) -> Reply:
    return stream(FRAMES).but(("x-cache", state))


WELL = cached("miss"), cached("hit"), cached_stream("miss"), cached_stream("hit")


@pytest.mark.parametrize(
    ("name", "replies", "reason"),
    [
        ("health", [plain({"status": "degraded", "faults": ["disk"]}, ID)], "degraded.*disk"),
        ("health", [plain({"status": "ok"}, ID), error(500, ID)], "/v1/models: status 500 no"),
        ("health", [plain({"status": "ok"}, ID), plain({}, ID), error(500)], "/stats: status 500"),
        ("chat", [error(502, ID)], "status 502 no"),
        ("chat", [plain(CHAT)], "no x-request-id"),
        ("chat", [plain({}, ID)], "no choices"),
        ("chat", [plain({"choices": [{"message": {"content": ""}}]}, ID)], "no text"),
        ("stream", [stream(FRAMES, "application/json")], "content type 'application/json'"),
        ("stream", [stream(FRAMES[:-1])], "does not end with"),
        ("stream", [stream([b"data: x\n\n", FRAMES[-1]])], "not JSON: x"),
        ("stream", [stream([b'data: {"error": {"message": "cut"}}\n\n', FRAMES[-1]])], "broke: cut"),
        ("stream", [stream(FRAMES[-1:])], "no text"),
        ("tools", [tool_call("other", "{}")], "another tool"),
        ("tools", [tool_call("get_weather", "{")], "not JSON"),
        ("tools", [tool_call("get_weather", "{}"), error(400, ID)], "result of a tool: status 400"),
        ("cache", [cached("hit"), cached("hit")], "plain: a new request is a 'hit'"),
        ("cache", [cached("miss"), cached("miss")], "plain: the repeated request is a 'miss'"),
        ("cache", [cached("miss"), cached("hit", {})], "plain: the replay differs"),
        ("cache", [*WELL[:3], cached_stream("miss")], "stream: the repeated"),
        ("cache", [*WELL, cached("hit")], "no-cache is a 'hit'"),
        ("errors", [plain(CHAT, ID)], "status 200 in place"),
        ("errors", [plain({}, ID, status=400)], "no message"),
        ("errors", [error(400)], "no x-request-id"),
        ("errors", [error(400, ID), error(500, ID)], "unknown model: status 500"),
        ("balance", [error(503, ID)], "status 503"),
        ("concurrency", [error(503, ID)], "1 of 10 failed: status 503 no"),
        ("concurrency", [], "not distinct"),
    ],
)
def test_a_fault_fails_its_check(check: Callable[..., str], name: str, replies: list[Reply], reason: str) -> None:
    with pytest.raises(CheckFailed, match=reason):
        check(name, *replies)


@pytest.mark.parametrize(
    ("name", "replies", "reason"),
    [
        ("tools", [], "text although a call is forced"),
        ("cache", [], "no cache is configured"),
        ("cache", [cached("bypass"), cached("bypass")], "leaves out such requests"),
        ("balance", [], "all answered by unknown"),
    ],
)
def test_what_the_proxy_does_not_have_is_skipped(
    check: Callable[..., str], name: str, replies: list[Reply], reason: str
) -> None:
    with pytest.raises(CheckSkipped, match=reason):
        check(name, *replies)


def test_what_was_seen_is_said(check: Callable[..., str]) -> None:
    assert "the first after" in check("stream", stream(FRAMES))
    assert check("cache", *WELL, cached("bypass")).count("replayed") == 2
    assert check("errors", error(400, ID), error(404, ID)) == "not JSON 400, unknown model 404"
    assert check("errors", error(400, ID), plain(CHAT, ID)) == "not JSON 400, any model is answered"
    assert check("health", plain({"status": "ok"}, ID), plain({"data": [{}]}, ID), error(401)) == (
        "ok, 1 model listed, /stats needs the admin key"
    )

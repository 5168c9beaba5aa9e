"""What is answered from the cache, what never is, and what clients, replies and stores can do to it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import ClientRequest
from llmproxy.errors import ProxyError
from llmproxy.middleware.base import PageRequest
from llmproxy.middleware.cache import Cache
from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.guard import GuardedBlobs
from tests.support import vendors
from tests.support.cached import ASK, BASE, STREAM, Cached, cached
from tests.support.provider import Reply, Upstream
from tests.support.proxy import CHAT, Scripted, provider
from tests.support.raw_http import Cut
from tests.support.stores import FixedStores
from tests.support.waiting import until

FRAMES = vendors.chat_frames("gpt-x", usage=True)
WHOLE = b"".join(FRAMES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (CHAT, ASK),
        (CHAT, ASK | {"temperature": 0.0}),
        (CHAT, ASK | {"temperature": 1, "seed": 0}),
        (CHAT, STREAM),
        (CHAT, ASK | {"stream": True}),
        (CHAT, ASK | {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (CHAT, STREAM | {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("/v1/completions", {"model": "gpt-x", "prompt": "hi", "temperature": 0}),
        ("/v1/completions", {"model": "gpt-x", "prompt": "hi", "temperature": 0, "stream": True}),
        ("/v1/responses", {"model": "gpt-x", "input": "hi", "temperature": 0}),
        ("/v1/responses", {"model": "gpt-x", "input": "hi", "temperature": 0, "stream": True}),
        ("/v1/messages", {"model": "gpt-x", "messages": [], "max_tokens": 9, "temperature": 0}),
        ("/v1/messages", {"model": "gpt-x", "messages": [], "max_tokens": 9, "temperature": 0, "stream": True}),
        ("/v1/embeddings", {"model": "gpt-x", "input": "hi"}),
        ("/embeddings", {"model": "gpt-x", "input": "hi", "temperature": 1}),
    ],
)
def test_every_call_that_is_deterministic_is_made_once(
    here: Cached, upstream: Upstream, path: str, value: object
) -> None:
    first, again = here.ask(value, path=path), here.ask(value, path=path)
    assert (first.status, first.value("x-cache"), again.value("x-cache")) == (200, "miss", "hit")
    assert again.body == first.body and again.value("age") == "0"
    for name in ("content-type", "x-llmproxy-cache-key"):
        assert again.value(name) == first.value(name) is not None
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (CHAT, ASK | {"temperature": 0.7}),
        (CHAT, ASK | {"temperature": False}),
        (CHAT, ASK | {"temperature": "0"}),
        (CHAT, ASK | {"temperature": None}),
        (CHAT, ASK | {"temperature": 1, "seed": None}),
        (CHAT, {"model": "gpt-x", "messages": []}),
        ("/v1/responses", {"model": "gpt-x", "input": "hi", "temperature": 0, "conversation": "conv_1"}),
        ("/v1/responses", {"model": "gpt-x", "input": "hi", "temperature": 0, "background": True}),
        ("/v1/images/generations", {"model": "gpt-x", "prompt": "hi", "temperature": 0}),
        ("/v1/audio/speech", {"model": "gpt-x", "input": "hi", "temperature": 0}),
    ],
)
def test_what_is_not_is_called_each_time(here: Cached, upstream: Upstream, path: str, value: object) -> None:
    answers = [here.ask(value, path=path) for _ in range(2)]
    assert {each.value("x-cache") for each in answers} <= {"bypass", None}
    assert len(upstream.requests) == 2 and here.figures()["stored"] == 0


def test_always_is_everything_that_can_be_repeated(upstream: Upstream) -> None:
    with cached(provider(upstream), when="always") as here:
        hot = ASK | {"temperature": 1.5}
        assert here.missed(hot) and not here.missed(hot)
        talk = {"model": "gpt-x", "input": "hi", "conversation": "c"}
        assert all(here.missed(talk, path="/v1/responses") for _ in range(2))


def sse(*frames: bytes) -> Reply:
    return vendors.streamed(list(frames))


def body(value: object, status: int = 200, **changes: Any) -> Reply:
    return Reply(status=status, pieces=[json.dumps(value).encode()], **changes)


EMPTY_REPLY = vendors.chat("gpt-x") | {"choices": []}
ERROR_EVENT = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
GZIPPED = (*vendors.JSON, ("Content-Encoding", "gzip"))
BAD_REPLIES = {
    "500": vendors.failure(500, "No"),
    "404": vendors.failure(404, "No"),
    "302": body(vendors.chat("gpt-x"), 302),
    "204": Reply(status=204, headers=(), framing="none"),
    "an error of 200": body({"error": {"message": "no"}}),
    "an answer with an error": body(vendors.chat("gpt-x") | {"error": {"message": "no"}}),
    "no choices": body(EMPTY_REPLY),
    "nothing": Reply(pieces=[]),
    "a page": Reply(headers=(("Content-Type", "text/html"),), pieces=[b"<html>Sign in</html>"]),
    "half of it": Reply(pieces=[json.dumps(vendors.chat("gpt-x")).encode()[:99]], framing="eof"),
    "rubbish said to be gzip": body(vendors.chat("gpt-x"), headers=GZIPPED),
}
OTHER_CHOICE = b'data: {"choices":[{"index":1,"delta":{"content":"and"},"finish_reason":null}]}\n\n'
BAD_STREAMS = {
    "an error event": sse(*FRAMES[:3], ERROR_EVENT),
    "an error event and an end": sse(*FRAMES[:3], ERROR_EVENT, FRAMES[-1]),
    "an error event only": sse(ERROR_EVENT, FRAMES[-1]),
    "no last event": sse(*FRAMES[:4]),
    "one choice of two": sse(*FRAMES[:3], OTHER_CHOICE, *FRAMES[3:-1]),
    "no content": sse(FRAMES[0], FRAMES[-1]),
    "an end only": sse(FRAMES[-1]),
    "nothing": sse(),
    "comments": sse(b": hello\n\n", b"\n\n"),
    "half an event": sse(*FRAMES[:3], FRAMES[3][:20]),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_no_bad_reply_is_stored(here: Cached, upstream: Upstream, name: str) -> None:
    upstream.next(BAD_REPLIES[name], BAD_REPLIES[name])
    first, again = here.ask(), here.ask()
    assert (first.status, first.body) == (again.status, again.body)
    assert len(upstream.requests) == 2 and here.figures()["stored"] == 0
    assert here.missed() and not here.missed()


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_no_bad_stream_is_stored(here: Cached, upstream: Upstream, name: str) -> None:
    upstream.next(BAD_STREAMS[name], BAD_STREAMS[name])
    assert here.ask(STREAM).body == here.ask(STREAM).body
    assert len(upstream.requests) == 2 and here.figures()["stored"] == 0
    assert here.missed(STREAM) and not here.missed(STREAM)


def test_a_service_that_does_not_say_done_is_cached_all_the_same(here: Cached, upstream: Upstream) -> None:
    upstream.next(sse(*FRAMES[:-1]))
    assert here.missed(STREAM) and not here.missed(STREAM)


@pytest.mark.parametrize("end", ["cut", "reset"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_what_breaks_off_is_not_stored(here: Cached, upstream: Upstream, framing: Any, end: Any) -> None:
    long = json.dumps(vendors.chat("gpt-x") | {"filler": "x" * 200_000}).encode()
    upstream.next(Reply(pieces=[long[:150_000]], length=len(long), framing=framing, end=end))
    with pytest.raises(Cut):
        here.server.post(ASK, "Connection: close")
    upstream.next(Reply(pieces=[long[:100]], length=len(long), framing=framing, end=end))
    assert here.server.post(ASK, "Connection: close").status == 502
    upstream.next(sse(*FRAMES[:4]).but(end=end))
    here.server.post(STREAM, "Connection: close")
    here.server.wait_ended(3)
    assert here.figures()["stored"] == 0
    assert here.missed(STREAM) and not here.missed(STREAM)


def test_a_client_that_leaves_a_stream_stores_nothing(here: Cached, upstream: Upstream) -> None:
    upstream.hold()
    with here.together(STREAM) as [client]:
        call = upstream.take()
        client.reset()
        call.wait_left()
    here.server.wait_ended(1)
    assert here.figures()["stored"] == 0 and here.missed(STREAM)


def test_too_long_an_answer_is_passed_on_and_called_again(upstream: Upstream) -> None:
    plain = vendors.plain(vendors.chat("gpt-x") | {"filler": "x" * 300_000})
    for value, reply in ((ASK, plain), (STREAM, sse(*FRAMES[:2], *[FRAMES[2]] * 2000, *FRAMES[3:]))):
        upstream.next(reply, reply)
        with cached(provider(upstream), max_entry_size="100KB") as here:
            wanted = b"".join(each for each in reply.pieces if isinstance(each, bytes))
            assert [here.ask(value).body for _ in range(2)] == [wanted] * 2
            assert here.figures()["stored"] == 0


def test_a_compressed_answer_is_stored_as_it_is_read(here: Cached, upstream: Upstream) -> None:
    plain = json.dumps(vendors.chat("gpt-x")).encode()
    packed = Reply(headers=GZIPPED, pieces=[gzip.compress(plain)])
    upstream.next(packed)
    first = here.ask(ASK, "Accept-Encoding: gzip")
    assert first.value("content-encoding") == "gzip" and gzip.decompress(first.body) == plain
    for headers in ((), ("Accept-Encoding: gzip",), ("Accept-Encoding: identity",)):
        again = here.ask(ASK, *headers)
        assert (again.value("x-cache"), again.body, again.value("content-encoding")) == ("hit", plain, None)


def test_a_compressed_stream_is_stored_as_it_is_read(here: Cached, upstream: Upstream) -> None:
    data = gzip.compress(WHOLE)
    headers = (*vendors.SSE, ("Content-Encoding", "gzip"))
    upstream.next(Reply(headers=headers, pieces=[data[:30], data[30:]], framing="chunked"))
    assert gzip.decompress(here.ask(STREAM, "Accept-Encoding: gzip").body) == WHOLE
    again = here.ask(STREAM)
    assert (again.value("x-cache"), again.body) == ("hit", WHOLE)
    assert json.loads(here.ask(ASK).body)["choices"][0]["message"]["content"] == vendors.TEXT
    assert len(upstream.requests) == 1


def test_a_long_answer_serves_the_other_form_too(here: Cached, upstream: Upstream) -> None:
    upstream.next(sse(*FRAMES[:2], *[FRAMES[2]] * 3000, *FRAMES[3:]))
    here.ask(STREAM)
    here.wait_stored(1)
    said = here.ask(ASK).json["choices"][0]["message"]["content"]
    assert said.count(vendors.PIECES[1]) == 3000 and here.ask(STREAM).value("x-cache") == "hit"
    assert len(upstream.requests) == 1


def test_a_stream_that_told_no_usage_serves_no_plain_request(here: Cached, upstream: Upstream) -> None:
    quiet = ASK | {"stream": True}
    assert here.missed(quiet) and not here.missed(quiet)
    assert here.missed(ASK) and not here.missed(ASK)
    assert not here.missed(quiet) and not here.missed(STREAM)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        BASE + b',"x":NaN}',
        BASE + b',"x":1e400}',
        BASE + b',"x":"\\ud800"}',
        b"\xef\xbb\xbf" + BASE + b"}",
        BASE + b',"x":"\xff"}',
        BASE + b"} trailing",
        b'["gpt-x"]',
        b'{"model":"gpt-x"}',
    ],
)
def test_what_two_readers_may_not_read_alike_is_never_cached(here: Cached, upstream: Upstream, data: bytes) -> None:
    count = len(upstream.requests)
    answers = [here.raw(data) for _ in range(2)]
    assert {each.status for each in answers} <= {200, 400, 404}
    assert {each.value("x-cache") for each in answers} <= {"bypass", None}
    assert len(upstream.requests) - count in (0, 2) and here.figures()["stored"] == 0


def test_no_depth_of_nesting_is_an_error_of_ours(here: Cached) -> None:
    upto = [*range(880, 1030, 3), 5000, 100_000]
    for opening, closing in ((b'{"a":', b"}"), (b"[", b"]")):
        for depth in upto:
            answer = here.raw(BASE + b',"x":' + opening * depth + b"1" + closing * depth + b"}")
            assert answer.status == 200, (depth, answer)


def test_huge_numbers_and_bodies_have_keys(here: Cached) -> None:
    keys = {here.raw(BASE + b',"x":%b}' % text).value("x-llmproxy-cache-key") for text in (b"9" * 4000, b"9" * 4001)}
    assert len(keys) == 2
    big = ASK | {"messages": [{"role": "user", "content": "x" * 700_000}]}
    assert here.missed(big) and not here.missed(big)


def test_a_body_with_a_member_twice_is_the_same_as_itself_only(here: Cached) -> None:
    keys = [here.raw(BASE + more).value("x-llmproxy-cache-key") for more in (b',"x":2}', b',"x":1,"x":2}', b',"x":1}')]
    assert len(set(keys)) == 3


def test_credentials_that_go_on_never_share(upstream: Upstream) -> None:
    with cached(provider(upstream, api_key=None)) as here:
        assert here.missed(ASK, "Authorization: Bearer a") and here.missed(ASK, "Authorization: Bearer b")
        assert here.missed(ASK) and here.missed(ASK, "x-api-key: a")
        assert not here.missed(ASK, "Authorization: Bearer a")


@pytest.mark.parametrize(("keys", "config"), [({"api_key": "ours"}, {}), ({"api_key": None}, {"shared": True})])
def test_our_own_key_and_shared_are_for_all(upstream: Upstream, keys: Any, config: Any) -> None:
    with cached(provider(upstream, **keys), **config) as here:
        assert here.missed(ASK, "Authorization: Bearer a") and not here.missed(ASK, "Authorization: Bearer b")


def test_headers_query_and_volatile_members(upstream: Upstream) -> None:
    with cached(provider(upstream), volatile=["user", "metadata.id"]) as here:
        assert here.missed()
        assert not here.missed(ASK | {"user": "a", "metadata": {"id": 3}})
        assert here.missed(ASK, "OpenAI-Beta: x") and here.missed(ASK, path=f"{CHAT}?a=1")
        assert not here.missed(ASK, "x-anything: 1")


def test_a_hit_is_recorded_once_and_nothing_is_counted_for_a_provider(here: Cached, upstream: Upstream) -> None:
    here.ask(STREAM)
    here.ask(STREAM)
    miss, hit = here.server.ended
    assert (miss.cache, hit.cache) == ("miss", "hit")
    assert miss.target is not None and len(miss.calls) == 1 and hit.target is None and hit.calls == []
    assert (hit.outcome, hit.status, here.server.sent(hit)) == ("complete", 200, WHOLE)
    assert hit.summary.usage is not None and hit.summary.usage.input == vendors.IN
    figures = here.figures()
    assert (figures["hits"], figures["misses"], figures["bypasses"]) == (1, 1, 0)
    saved = figures["saved"]
    assert (saved["input_tokens"], saved["output_tokens"]) == (vendors.IN, vendors.OUT)


@pytest.mark.parametrize("raised", [ProxyError("no", status=503), ValueError("a mistake")])
def test_what_raises_in_a_call_is_told_and_not_stored(raised: Exception) -> None:
    with cached(Scripted("main", raised)) as here:
        assert {here.ask().status for _ in range(2)} == {getattr(raised, "status", 500)}
        assert here.figures()["stored"] == 0


def test_paced_gives_every_part_by_itself_in_order(upstream: Upstream) -> None:
    with cached(provider(upstream), replay="paced") as here:
        assert here.ask(STREAM).body == here.ask(STREAM).body == WHOLE
        assert here.ask(ASK | {"stream": True}).body.endswith(b"[DONE]\n\n")
        assert here.ask(ASK).json["choices"]
        assert len(upstream.requests) == 1


class Bad(BlobStore):
    """A store of which each operation does what the test says."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    async def _do(self) -> Any:
        made = self.act()
        return await made if asyncio.iscoroutine(made) else made

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._do()
        return value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._do()

    async def delete(self, key: str) -> bool:
        return bool(await self._do())

    async def clear(self, prefix: str = "") -> int:
        return len(await self._do() or b"")

    async def size(self) -> StoreSize:
        await self._do()
        return StoreSize(entries=None, bytes=None)


def gone() -> None:
    raise StoreFault("gone")


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "act", [gone, hang, lambda: b"", lambda: b"lpc1rubbish", lambda: b"\x00" * 100_000, lambda: None]
)
def test_whatever_a_store_does_requests_are_answered(upstream: Upstream, act: Callable[[], Any]) -> None:
    with cached(provider(upstream), stores=FixedStores(blobs=GuardedBlobs(Bad(act), "a bad store"))) as here:
        for number in range(3):
            assert here.ask(ASK | {"seed": number}).status == 200
            assert here.ask(STREAM | {"seed": number}).body == WHOLE
        assert here.figures()["entries"] is None


def test_answers_that_a_store_did_not_take_are_counted(upstream: Upstream) -> None:
    with cached(provider(upstream), stores=FixedStores(blobs=Bad(gone))) as here:
        assert here.cache.describe()["lost"] == 0
        assert here.ask(ASK).status == 200
        until(lambda: here.cache.describe()["lost"] == 1, "the lost answer to be counted")


def test_a_page_of_a_store_that_is_gone_says_so() -> None:
    cache = Cache(Cache.Config())
    cache.use_stores(FixedStores(blobs=Bad(gone)))

    async def clear() -> None:
        await cache.start()
        try:
            await cache.page(PageRequest(name=None, query={}, changing=True))
        finally:
            await cache.close()

    with pytest.raises(ProxyError, match="memory store: gone") as caught:
        asyncio.run(clear())
    assert (caught.value.status, caught.value.code) == (503, "store_unavailable")


def test_an_answer_of_our_own_in_the_middle_of_the_list_is_cached_too() -> None:
    def says(request: ClientRequest) -> Answer:
        value = json.dumps(vendors.chat("gpt-x")).encode()
        return Answer(status=200, headers=Headers({"Content-Type": "application/json"}), body=value)

    scripted = Scripted("main", says)
    with cached(scripted) as here:
        assert here.missed() and not here.missed() and len(scripted.asked) == 1

"""The cache in the running program: what SDKs read, what is shown and cleared, what long answers cost."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.conftest import CLAUDE_KEY, KEY
from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Gate, Reply, Upstream
from tests.support.raw_http import RawClient
from tests.support.sdk_conversations import ASKERS, Messages, SdkConversation
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
GOLDEN = Path(__file__).parent.parent / "golden" / "translation"
_WORDS = (f"Nobody asked number {number} before" for number in itertools.count())


@pytest.fixture(scope="module")
def lasting_cache(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    url = lasting_upstream.url
    config = f"""
server: {{admin_key: secret-key}}
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", api_key: {KEY}, models: ["gpt-*", "text-*"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: {CLAUDE_KEY}}}
middlewares:
  - type: cache
    config: {{when: always, routes: {{gpt-off: off, gpt-read: read_only}}}}
"""
    with Program(tmp_path_factory.mktemp("cache"), config=config) as program:
        yield program


@pytest.fixture
def cache(lasting_cache: Program, upstream: Upstream) -> Program:
    """Return the program with a cache of everything, and two providers."""
    return lasting_cache


def question(**changes: Any) -> dict[str, Any]:
    """Return a chat request that nobody made before."""
    return {"model": "gpt-x", "temperature": 0, "messages": [{"role": "user", "content": next(_WORDS)}], **changes}


def stored(program: Program) -> int:
    return int(program.get("/cache").json["stored"])


def ask_stored(program: Program, value: object) -> Any:
    """Return the answer to a request that is stored when this returns."""
    before = stored(program)
    answer = program.post(CHAT, value)
    until(lambda: stored(program) == before + 1, "the answer to be stored")
    return answer


@pytest.mark.ledger("K1")
@pytest.mark.ledger("K3")
@pytest.mark.parametrize("model", ["gpt-x", "claude-x"])
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
@pytest.mark.parametrize("first", [False, True], ids=["plain first", "stream first"])
@pytest.mark.parametrize("asker", ASKERS, ids=lambda each: each.dialect)
def test_sdks_read_hits_in_both_forms_exactly_like_misses(
    cache: Program, upstream: Upstream, asker: type[SdkConversation], first: bool, tools: bool, model: str
) -> None:
    words, turns, histories = next(_WORDS), [], []
    for stream in (first, first, not first):
        before, one = stored(cache), asker(cache.url)
        one.say(words)
        turns.append(one.ask(model, stream=stream, tools=tools))
        histories.append(json.dumps(one.history, sort_keys=True))
        if len(turns) == 1:
            until(lambda before=before: stored(cache) == before + 1, "the answer to be stored")  # type: ignore[misc]
    assert turns[1] == turns[0] and turns[2] == turns[0]
    assert turns[0].tokens_in == vendors.IN and len(turns[0].calls) == (2 if tools else 0)
    assert histories[1] == histories[0]
    assert len(upstream.requests) == 1


@pytest.mark.ledger("K3")
def test_thinking_keeps_its_signature_in_both_forms(cache: Program, upstream: Upstream) -> None:
    case = next(
        path.parent for path in sorted(GOLDEN.glob("*/messages.stream.txt")) if b"signature_delta" in path.read_bytes()
    )
    stream = (case / "messages.stream.txt").read_bytes()
    upstream.next(vendors.streamed([stream]))
    asker = Messages(cache.url)
    asker.say(next(_WORDS))
    before = stored(cache)
    asker.ask("claude-x", stream=True)
    until(lambda: stored(cache) == before + 1, "the answer to be stored")
    miss = asker.history.pop()
    for form in (True, False):
        asker.ask("claude-x", stream=form)
        hit = asker.history.pop()
        assert hit == miss and any(block.get("signature") for block in hit["content"])
    assert len(upstream.requests) == 1


@pytest.mark.ledger("K1")
def test_the_async_sdks_share_a_call_and_its_replay_is_the_same(cache: Program, upstream: Upstream) -> None:
    words = next(_WORDS)
    gate = Gate()
    frames = vendors.chat_frames("gpt-x", usage=True)
    upstream.next(Reply(headers=vendors.SSE, pieces=[gate, *frames], framing="chunked"))

    async def read(client: openai.AsyncOpenAI) -> list[str]:
        stream = await client.chat.completions.create(
            model="gpt-x",
            messages=[{"role": "user", "content": words}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return [chunk.model_dump_json() async for chunk in stream]

    async def together() -> list[list[str]]:
        async with openai.AsyncOpenAI(base_url=f"{cache.url}/v1", api_key="dummy", max_retries=0) as client:
            loop = asyncio.get_running_loop()
            asking = [loop.create_task(read(client)) for _ in range(10)]
            await asyncio.to_thread(until, lambda: upstream.requests, "the call")
            gate.open()
            return [*await asyncio.gather(*asking), await read(client)]

    chunks = asyncio.run(together())
    assert all(each == chunks[0] for each in chunks) and len(upstream.requests) == 1


@pytest.mark.ledger("K2")
def test_a_hit_is_the_answer_byte_for_byte(cache: Program, upstream: Upstream) -> None:
    for value in (question(), question(stream=True), question(stream=True, stream_options={"include_usage": True})):
        miss = ask_stored(cache, value)
        hit = cache.post(CHAT, dict(reversed(value.items())))
        assert (miss.value("x-cache"), hit.value("x-cache")) == ("miss", "hit")
        assert hit.body == miss.body and hit.value("age") is not None
        assert hit.value("x-llmproxy-cache-key") == miss.value("x-llmproxy-cache-key")
        assert cache.post(CHAT, value | {"seed": 1}).value("x-cache") == "miss"
    assert len(upstream.requests) == 6


def test_a_hit_costs_no_tokens_and_is_counted_once(cache: Program, upstream: Upstream) -> None:
    value = question(stream=True, stream_options={"include_usage": True})
    ask_stored(cache, value)
    with (
        counted(cache, "llmproxy_tokens_total", 0),
        counted(cache, "llmproxy_cache_hits_total", 1),
        counted(cache, "llmproxy_cache_saved_input_tokens_total", vendors.IN),
        counted(cache, "http_requests_total", 1, path=CHAT),
    ):
        assert cache.post(CHAT, value).value("x-cache") == "hit"
    assert cache.get("/stats").json["cache"]["hits"] >= 1
    assert cache.metrics_json()["cache"]["saved"]["output_tokens"] >= vendors.OUT


def test_modes_of_routes_are_those_of_the_file(cache: Program, upstream: Upstream) -> None:
    off, read = question(model="gpt-off"), question(model="gpt-read")
    assert [cache.post(CHAT, off).value("x-cache") for _ in range(2)] == [None, None]
    assert [cache.post(CHAT, read).value("x-cache") for _ in range(2)] == ["miss", "miss"]


@pytest.mark.ledger("K4")
def test_directives_in_the_dialects_words(cache: Program, upstream: Upstream) -> None:
    with anthropic.Anthropic(base_url=cache.url, api_key="dummy", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
        with pytest.raises(anthropic.BadRequestError, match=r"cache\.ttl must be"):
            client.messages.create(**asked, extra_body={"cache": {"ttl": "long"}})
        with pytest.raises(anthropic.APIStatusError, match="only-if-cached") as missing:
            client.messages.create(**asked, extra_headers={"Cache-Control": "only-if-cached"})
        assert missing.value.status_code == 504 and upstream.requests == []
        client.messages.create(**asked, extra_body={"cache": {"no-store": True, "ttl": 5}})
        assert b"cache" not in upstream.only.body
    with openai.OpenAI(base_url=f"{cache.url}/v1", api_key="dummy", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="gpt-x", input="?", extra_body={"cache": {"no-cache": "yes"}})
        assert refused.value.param == "cache.no-cache"


@pytest.mark.ledger("K5")
def test_the_page_shows_and_forgets(cache: Program, upstream: Upstream) -> None:
    assert cache.get("/cache").json.keys() >= {"store", "entries", "bytes", "hits", "misses", "saved", "hit_rate"}
    one, other = question(model="gpt-one"), question(model="gpt-two")
    key = ask_stored(cache, one).value("x-llmproxy-cache-key")
    ask_stored(cache, other)
    assert _delete(cache, f"/cache/{key}") == (200, 1)
    assert cache.post(CHAT, one).value("x-cache") == "miss"
    assert _delete(cache, "/cache?model=gpt-two") == (200, 1)
    assert cache.post(CHAT, other).value("x-cache") == "miss"
    assert _delete(cache, "/cache?model=nobody") == (200, 0)
    status, count = _delete(cache, "/cache")
    assert status == 200 and count and count >= 1
    assert cache.get("/cache").json["entries"] == 0


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/cache?modell=gpt-one",
            "/cache?key=abc",
            "/cache/",
            "/cache?",
            "/cache?model=",
            "/cache?model",
            "/cache?=x",
            "/cache?&",
            "/cache?&&",
        ),
        *(
            "/cache?model=a&model=b",
            "/cache?Model=gpt-one",
            "/cache/?model=gpt-one",
            "/cache?model=gpt-one&x=1",
            "/cache/k?model=x",
        ),
    ],
)
def test_a_mistake_in_what_to_forget_forgets_nothing(cache: Program, upstream: Upstream, target: str) -> None:
    asked = question(model="gpt-kept")
    ask_stored(cache, asked)
    assert _delete(cache, target)[0] == 400
    assert cache.post(CHAT, asked).value("x-cache") == "hit"


@pytest.mark.parametrize("target", ["/cache?x=1", "/cache?model=gpt-x"])
def test_a_parameter_that_selects_nothing_is_refused(cache: Program, target: str) -> None:
    assert cache.get(target).status == 400


@pytest.mark.parametrize(
    "target",
    ["/cache/none", "/cache/a/b", "/cache/%00", "/cache/%ff", "/cache/\udcff", "/cache/%0d%0a", "/cache/" + "k" * 5000],
)
def test_a_key_that_there_is_not_is_not_found(cache: Program, target: str) -> None:
    assert _delete(cache, target)[0] == (400 if "\udcff" in target else 404)
    assert (cache.get("/cache/none").status, cache.get("/cache/none").value("allow")) == (405, "DELETE")


@pytest.mark.ledger("K5")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 200),
        (("Origin: http://test.local",), 403),
        (("Origin: https://evil.example",), 403),
        (("Origin: null",), 403),
        (("X-Forwarded-For: 127.0.0.1",), 403),
        (("Forwarded: for=127.0.0.1",), 403),
        (("X-Forwarded-For: 192.0.2.1", "Authorization: Bearer secret-key"), 200),
        (("Origin: https://evil.example", "Authorization: Bearer secret-key"), 200),
        (("X-Forwarded-For: 192.0.2.1", "Authorization: Bearer wrong"), 403),
        (("X-Forwarded-For: 192.0.2.1", "Authorization: Bearer "), 403),
    ],
)
def test_who_may_forget(cache: Program, headers: tuple[str, ...], status: int) -> None:
    assert _delete(cache, "/cache?model=nobody", *headers)[0] == status


def test_other_methods_are_none_of_the_page(cache: Program) -> None:
    answer = cache.post("/cache", {})
    assert answer.status == 405 and answer.value("allow") == "GET, HEAD, DELETE"


def _delete(program: Program, target: str, *headers: str) -> tuple[int, int | None]:
    """Return the status, and how many were deleted."""
    with program.client() as client:
        client.request("DELETE", target, "Connection: close", *headers)
        answer = client.read_answer("DELETE")
    return answer.status, answer.json.get("deleted")


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_answer_is_passed_on_whole_in_flat_memory_and_not_kept(
    cache: Program, upstream: Upstream, stream: bool
) -> None:
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 999_940)
    if not stream:
        piece = b"[" + b" " * (len(piece) - 2) + b"]"
    count = 150
    reply = Reply(headers=vendors.SSE if stream else vendors.JSON, pieces=[piece] * count, framing="chunked")
    upstream.next(reply, reply)
    value, before = question(stream=stream), cache.memory_bytes()
    for _ in range(2):
        with cache.client() as client:
            client.post(CHAT, value, "Connection: close")
            assert client.read_head().value("x-cache") == "miss"
            size, most = _read_slowly(client, cache)
        assert size == count * len(piece)
        assert most - before < 75_000_000
    assert len(upstream.requests) == 2


def _read_slowly(client: RawClient, program: Program) -> tuple[int, int]:
    """Return how many bytes came, and the most memory that the program had meanwhile."""
    size = most = chunks = 0
    while chunk := client.read_chunk():
        size += len(chunk)
        chunks += 1
        if chunks % 50 == 0:
            most = max(most, program.memory_bytes())
    return size, most


def test_a_paced_replay_takes_its_time_in_the_order_of_the_frames(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers: [{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}}}]
middlewares: [{{type: cache, config: {{replay: paced}}}}]
"""
    frames = vendors.chat_frames("gpt-x")
    with Program(tmp_path, config=config) as program, program.client() as client:
        upstream.hold()
        client.post(CHAT, question(stream=True))
        call = upstream.take()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        value = json.loads(call.request.body)
        for frame in frames:
            call.send(b"%x\r\n%b\r\n" % (len(frame), frame))
            if frame is frames[0]:
                client.read_head()
            assert client.read_body_until(frame) == frame
        call.send(b"0\r\n\r\n")
        call.done()
        assert client.read_chunk() == b""
        until(lambda: stored(program) == 1, "the stream to be stored")
        client.post(CHAT, value)
        assert client.read_head().value("x-cache") == "hit"
        assert client.read_chunks() == frames, "each frame is a part of its own"

"""Streams that translation gives: with several readers, and when their clients leave or come later."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import UpstreamError
from llmproxy.exchange import MemoryBudget
from llmproxy.providers.openai import OpenAI
from llmproxy.translation.answer_streams import DecodedStream, TranslatedStream
from llmproxy.wire.compression import PIECE_BYTES, compress
from tests.support import vendors
from tests.support.cached import Cached, cached
from tests.support.provider import Gate, Reply, Upstream
from tests.support.raw_http import RawAnswer
from tests.translation.test_answer_summary import translation

PATH = "/v1/responses"
ASK = {"model": "gpt-x", "input": "hi", "temperature": 0, "stream": True}
ANN, BOB = "Authorization: Bearer aaaa", "Authorization: Bearer bbbb"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


def on_chat(upstream: Upstream) -> OpenAI:
    keys = {"name": "main", "type": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "proxy": None}
    return OpenAI(OpenAI.Config.model_validate({**keys, "dialects": ["chat"], "models": ["gpt-*"]}))


def response_id(answer: RawAnswer) -> str:
    found = re.search(rb'"id": ?"(resp_[^"]+)"', answer.body)
    assert found
    return found[1].decode()


def continued(here: Cached, answer: RawAnswer, who: str) -> int:
    """Return the status of a request that continues `answer`."""
    more = {"model": "gpt-x", "input": "more", "previous_response_id": response_id(answer)}
    return here.ask(more, who, path=PATH).status


class _Bytes:
    """A stream of these parts."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    async def read(self) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None:
        self._parts.clear()


async def test_when_a_reader_leaves_while_the_answer_is_stored_the_next_one_gets_the_last_frames() -> None:
    storing, stored = asyncio.Event(), asyncio.Event()

    async def store() -> None:
        storing.set()
        await stored.wait()

    stream = TranslatedStream(
        _Bytes(b"".join(vendors.message_frames("m"))), translation("chat", "messages").stream(), store
    )
    async with asyncio.TaskGroup() as group:
        first = group.create_task(stream.read())
        await storing.wait()
        first.cancel()
    stored.set()
    assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert await stream.read() == b""


def test_everybody_who_shares_a_stream_can_continue_it(upstream: Upstream) -> None:
    gate, frames = Gate(), vendors.chat_frames("gpt-x")
    upstream.next(Reply(headers=vendors.SSE, pieces=[*frames[:3], gate, *frames[3:]], framing="chunked"))
    with cached(on_chat(upstream)) as here:
        with (
            here.together(ASK, headers=(ANN,), path=PATH) as (ann,),
            here.together(ASK, headers=(BOB,), path=PATH) as (bob,),
        ):
            gate.open()
            answers = ann.read_answer(), bob.read_answer()
        here.server.wait_ended(2)
        assert len(upstream.requests) == 1
        assert [continued(here, answer, who) for answer, who in zip(answers, (ANN, BOB), strict=True)] == [200, 200]


@pytest.mark.parametrize("replay", ["at_once", "paced"])
def test_a_stream_of_a_cache_can_be_continued_by_whoever_gets_it(upstream: Upstream, replay: str) -> None:
    with cached(on_chat(upstream), replay=replay) as here:
        answers = [here.ask(ASK, who, path=PATH) for who in (ANN, BOB)]
        assert [answer.value("x-cache") for answer in answers] == ["miss", "hit"]
        assert answers[0].body == answers[1].body
        assert [continued(here, answer, who) for answer, who in zip(answers, (ANN, BOB), strict=True)] == [200, 200]


def test_without_room_to_collect_a_stream_it_is_passed_on_all_the_same(upstream: Upstream) -> None:
    with cached(on_chat(upstream), replay="paced") as here:
        whole = here.ask(ASK, ANN, path=PATH)
        budget: MemoryBudget = here.server.budget
        budget.limit_bytes = len(whole.body) * 3 // 2
        hit = here.ask(ASK, BOB, path=PATH)
        budget.limit_bytes = 1 << 30
        assert (hit.value("x-cache"), hit.body) == ("hit", whole.body)
        assert continued(here, hit, BOB) == 404


@pytest.mark.parametrize("names", ["response", "item"])
@pytest.mark.parametrize("shared", [False, True])
def test_no_cached_answer_shows_what_is_stored_for_another_client(upstream: Upstream, names: str, shared: bool) -> None:
    plain = ASK | {"stream": False}
    with cached(on_chat(upstream), shared=shared) as here:
        first = here.ask(plain, ANN, path=PATH)
        reference = {"type": "item_reference", "id": first.json["output"][0]["id"]}
        earlier = {"previous_response_id": response_id(first)} if names == "response" else {"input": [reference]}
        answers = [here.ask(plain | earlier, who, path=PATH) for who in (ANN, ANN, BOB)]
        assert [(answer.status, answer.value("x-cache")) for answer in answers] == [
            (200, "miss"),
            (200, "hit"),
            (404, "miss"),
        ]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_an_answer_whose_coding_ends_too_early_is_an_error(encoding: str) -> None:
    packed = compress(b'{"id": 1}' * 1000, encoding)
    headers = Headers({"Content-Encoding": encoding})
    whole = DecodedStream(Answer(status=200, headers=headers, body=packed[:9], stream=_Bytes(packed[9:])))
    assert await _all(whole) == b'{"id": 1}' * 1000

    cut = DecodedStream(Answer(status=200, headers=headers, body=packed[:9], stream=_Bytes(packed[9:-1])))
    with pytest.raises(UpstreamError, match="ends too early"):
        await _all(cut)


async def test_a_bomb_of_a_provider_is_decoded_piece_by_piece() -> None:
    packed = compress(bytes(5_000_000), "gzip")
    stream = DecodedStream(Answer(status=200, headers=Headers({"Content-Encoding": "gzip"}), body=packed))

    assert len(await stream.read()) <= PIECE_BYTES


async def _all(stream: DecodedStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


def test_a_reply_whose_coding_ends_too_early_is_neither_given_nor_cached(upstream: Upstream) -> None:
    packed = compress(chat_reply(), "gzip")
    coded = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    upstream.next(Reply(headers=coded, pieces=[packed[:-1]]), Reply(headers=coded, pieces=[packed]))
    with cached(on_chat(upstream)) as here:
        ask = {**ASK, "stream": False}
        assert here.ask(ask, ANN, path=PATH).status == 502
        good = here.ask(ask, ANN, path=PATH)
        assert (good.status, good.value("x-cache")) == (200, "miss")


def chat_reply() -> bytes:
    message = {"role": "assistant", "content": "ok"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()

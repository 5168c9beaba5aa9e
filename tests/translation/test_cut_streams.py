"""Streams of every vendor, cut at every byte on their way through the translator: what arrives is the same however the
network cut them, and one that ends too early is never taken for a whole one."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.model import Request
from llmproxy.dialects.stream_events import Fail
from llmproxy.translation.translation import StreamTranslation, Translation
from tests.support import scripted_turns, strict_gemini
from tests.support.gemini_turns import gemini_chunks
from tests.support.provider import Reply
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_streams import StreamError, accumulate
from tests.support.translation_cases import NAMES

CALLS = (
    SpokenCall(id="call_1", name="weather", input={"city": "Łódź"}),
    SpokenCall(id="call_2", name="clock", input={}),
)
TURN = SpokenTurn(thinking="Hm 🙂", signature="c2lnbmVk", text="Grüße", calls=CALLS)
EVERY = 31  # without --long


def _bytes(reply: Reply) -> bytes:
    return b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))


def _frames() -> dict[str, bytes]:
    chunks = gemini_chunks("m", TURN, shown=True, ids=True)
    streams = {name: _bytes(scripted_turns.render(name, "m", TURN, stream=True)) for name in NAMES if name != "gemini"}
    return streams | {
        "gemini": _bytes(strict_gemini.streamed(chunks)),
        "gemini array": _bytes(strict_gemini.streamed(chunks, sse=False)),
    }


STREAMS = _frames()


def translated(provider: str, client: str) -> StreamTranslation:
    dialects = [catalog.by_name(name.partition(" ")[0]) for name in (client, provider)]
    codecs = [dialect.codec for dialect in dialects if dialect is not None and dialect.codec is not None]
    request = Request(dialect=client, model="m", stream=True, include_usage=True)
    translation = Translation(request, *codecs, options=Options(), strict=False, reply_id="reply_7")
    return translation.stream()


def written(provider: str, client: str, *pieces: bytes) -> bytes:
    frames = translated(provider, client)
    result = b"".join([frames.feed(piece) for piece in pieces]) + frames.close()
    assert frames.done and frames.failure is None
    return result


@pytest.fixture(autouse=True)
def _still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)


@pytest.fixture
def step(request: pytest.FixtureRequest) -> int:
    return 1 if request.config.getoption("--long") else EVERY


def pairs() -> list[Any]:
    """Return each stream with each client; without --long those in server-sent events with one client each."""
    found = []
    for place, provider in enumerate(STREAMS):
        for number, client in enumerate(NAMES):
            sampled = number == place % len(NAMES) or provider in ("converse", "gemini array")
            marks = () if sampled else pytest.mark.long
            found.append(pytest.param(provider, client, id=f"{provider} to {client}", marks=marks))
    return found


@pytest.mark.parametrize(("provider", "client"), pairs())
def test_a_stream_is_the_same_wherever_it_is_cut(provider: str, client: str, step: int) -> None:
    stream = STREAMS[provider]
    whole = written(provider, client, stream)
    for cut in range(1, len(stream), step):
        assert written(provider, client, stream[:cut], stream[cut:]) == whole, cut
    assert written(provider, client, *(stream[at : at + 1] for at in range(len(stream)))) == whole


@pytest.mark.parametrize(("provider", "client"), pairs())
def test_a_stream_that_ends_too_early_is_never_taken_for_a_whole_one(provider: str, client: str, step: int) -> None:
    stream = STREAMS[provider]
    whole, shown = written(provider, client, stream), -1
    content = said(client, whole)
    for cut in range(0, len(stream), step):
        for fails in (False, True):
            frames = translated(provider, client)
            begun = frames.feed(stream[:cut])
            assert whole.startswith(begun), cut
            early = frames.done
            ended = begun + (frames.fail(Fail(message="cut", code="c", status=502)) if fails else frames.close())
            assert frames.done is (frames.failure is None), cut
            if frames.done:
                assert said(client, ended) == content and (early or not fails), cut
            elif len(begun) > shown + len(whole) // 5:  # the SDKs are slow
                shown = len(begun)
                with pytest.raises(StreamError):
                    accumulate(client, ended, named=False)


def said(client: str, stream: bytes) -> Any:
    """Return what a stream says, without its counts."""
    reply = accumulate(client, stream, named=False)
    return {name: reply.get(name) for name in ("choices", "output", "content", "candidates", "stopReason", "status")}

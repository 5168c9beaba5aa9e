from __future__ import annotations

import pytest
from multidict import CIMultiDict

from llmproxy.errors import BadRequest, BrokenStream, Overloaded
from llmproxy.exchange import Answer, Body, Client, Exchange, Held, StreamedBody, iterate
from llmproxy.wire.compression import compress


class Pieces:
    """A ByteStream of what a test gives it."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self._pieces = list(pieces)
        self._breaks = breaks
        self.closed = 0

    async def read(self) -> bytes:
        if not self._pieces and self._breaks:
            raise BrokenStream("cut")
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self.closed += 1


def exchange(body: Body | StreamedBody | None = None) -> Exchange:
    return Exchange(
        id="1",
        method="POST",
        full_path="/openai/v1/chat/completions",
        path="/v1/chat/completions",
        query="",
        headers=CIMultiDict(),
        client=Client(address="127.0.0.1"),
        started_s=1.0,
        began_s=1.7e9,
        body=body,
    )


def test_replacing_a_member_keeps_every_other_byte() -> None:
    body = Body(b'{ "a" : 1.50 ,\n\t"model":  "old", "\\u0062": [1,  2] }')

    body.replace("model", b'"new"')

    assert body.raw == b'{ "a" : 1.50 ,\n\t"model":  "new", "\\u0062": [1,  2] }'
    assert body.text("model") == "new"


def test_a_member_that_is_missing_is_added() -> None:
    body = Body(b'{"model":"m"}')

    body.replace("stream", b"true")

    assert body.value("stream") is True
    assert body.raw.startswith(b'{"model":"m"')


def test_removing_a_member_keeps_the_others_as_they_were() -> None:
    body = Body(b'{"first": 1, "cache": {"no-cache": true}, "last": 2}')

    body.remove("cache")
    body.remove("absent")

    assert list(body.members) == ["first", "last"]
    assert b'"first": 1' in body.raw and b'"last": 2' in body.raw


@pytest.mark.parametrize("raw", [b"[1]", b"", b"not json", b'{"a":'])
def test_what_is_no_object_has_no_members_and_takes_none(raw: bytes) -> None:
    body = Body(raw)

    assert body.members == {}
    assert body.value("model") is None
    with pytest.raises(BadRequest):
        body.replace("model", b'"m"')
    assert body.raw == raw


def test_a_key_that_stands_twice_is_refused_when_a_member_is_replaced() -> None:
    body = Body(b'{"model":"a","model":"b"}')

    with pytest.raises(BadRequest):
        body.replace("model", b'"c"')
    assert body.raw == b'{"model":"a","model":"b"}'


@pytest.mark.parametrize("raw", [b'{"model":7}', b'{"model":null}', b'{"model":{"a":1}}', b"{}"])
def test_text_is_none_unless_the_member_is_a_string(raw: bytes) -> None:
    assert Body(raw).text("model") is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body_is_read_and_relayed_as_it_came(encoding: str) -> None:
    raw = compress(b'{"model":"m"}', encoding)
    body = Body(raw, encoding)

    assert body.text("model") == "m"
    assert (body.raw, body.encoding) == (raw, encoding)


def test_changing_a_compressed_body_sends_it_decoded() -> None:
    body = Body(compress(b'{"model":"m"}', "gzip"), "gzip")

    body.replace("model", b'"n"')

    assert (body.raw, body.decoded, body.encoding) == (b'{"model":"n"}', b'{"model":"n"}', "")


def test_a_body_that_decodes_to_more_than_its_limit_is_refused_with_413() -> None:
    body = Body(compress(b'{"a":"%b"}' % (b"x" * 5000), "gzip"), "gzip", limit_bytes=1000)

    with pytest.raises(BadRequest) as caught:
        _ = body.members
    assert caught.value.status == 413


def test_a_body_that_is_not_what_its_encoding_says_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        _ = Body(b"plain", "gzip").decoded
    assert caught.value.status == 400


def test_a_held_body_is_given_and_anything_else_refused() -> None:
    body = Body(b"{}")
    assert exchange(body).held is body

    for other in (None, StreamedBody(stream=Pieces(), length=None)):
        with pytest.raises(BadRequest) as caught:
            _ = exchange(other).held
        assert "POST /openai/v1/chat/completions" in caught.value.message


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [
        ("text/event-stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("Text/Event-Stream", True),
        ("application/json", False),
        ("text/event", False),
        (None, False),
    ],
)
def test_an_event_stream_is_known_by_its_content_type(content_type: str | None, streams: bool) -> None:
    headers = CIMultiDict({} if content_type is None else {"content-type": content_type})

    assert Answer(status=200, headers=headers).event_stream is streams


def test_closing_an_answer_closes_what_is_still_to_come() -> None:
    stream = Pieces(b"more")

    Answer(status=200, headers=CIMultiDict(), stream=stream).close()
    Answer(status=200, headers=CIMultiDict(), body=b"all").close()

    assert stream.closed == 1


def test_held_bytes_are_counted_over_all_exchanges_and_given_back_with_each() -> None:
    held, first, second = Held(100), exchange(), exchange()
    held.take(first, 60)
    held.take(second, 40)
    assert (held.used_bytes, first.held_bytes) == (100, 60)

    held.give(first)
    held.give(first)
    assert held.used_bytes == 40


def test_more_than_may_be_held_is_refused_with_a_time_to_come_back_and_counts_nothing() -> None:
    held, asking = Held(100), exchange()
    held.take(asking, 60)

    with pytest.raises(Overloaded) as caught:
        held.take(asking, 41)

    assert caught.value.status == 503
    assert ("Retry-After", "1") in caught.value.headers
    assert (held.used_bytes, asking.held_bytes) == (60, 60)


async def test_iterating_a_stream_gives_its_reads_and_ends_with_it() -> None:
    assert [data async for data in iterate(Pieces(b"a", b"bc"))] == [b"a", b"bc"]


async def test_iterating_a_stream_that_breaks_raises_after_what_came() -> None:
    seen = []
    with pytest.raises(BrokenStream):
        async for data in iterate(Pieces(b"a", breaks=True)):
            seen.append(data)
    assert seen == [b"a"]

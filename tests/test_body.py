from __future__ import annotations

import pytest

from llmproxy.body import Body, iterate
from llmproxy.errors import BadRequest, BrokenStream
from llmproxy.wire.compression import compress
from tests.support.pieces import Pieces


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
    with pytest.raises(BadRequest):
        body.require_object()
    assert body.raw == raw


def test_an_object_is_accepted_even_when_it_is_empty() -> None:
    Body(b"{}").require_object()
    Body(b'{"seed": NaN}').require_object()


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


async def test_iterating_a_stream_gives_its_reads_and_ends_with_it() -> None:
    assert [data async for data in iterate(Pieces(b"a", b"bc"))] == [b"a", b"bc"]


async def test_iterating_a_stream_that_breaks_raises_after_what_came() -> None:
    seen = []
    with pytest.raises(BrokenStream):
        async for data in iterate(Pieces(b"a", breaks=True)):
            seen.append(data)
    assert seen == [b"a"]

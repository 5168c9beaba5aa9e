from __future__ import annotations

import base64
import json
import zlib

import pytest

from llmproxy.records.record_body import Masks, RenderedBody, decompress_parts, render_body, render_stream
from llmproxy.redaction.json_path import parse_path
from llmproxy.redaction.names import MASK
from llmproxy.wire.compression import compress

LIMIT = 1 << 20
SECRET = b"sk-0123456789"


def shown(data: bytes, *paths: str, short: bool = False, broken: bool = False) -> RenderedBody:
    masks = Masks(forms=(SECRET,), paths=[parse_path(path) for path in paths])
    return render_body([data], masks, short=short, broken=broken)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b" : 1e2,\r\n "a":[true, null],"b":2}',
        b"[]",
        b'"text"',
        b"12",
        '{"ü":"\\u00fc"}'.encode(),
        b'{"n":%d}' % 10**40,
    ],
)
def test_json_stands_there_byte_for_byte(data: bytes) -> None:
    assert (shown(data).format, bytes(shown(data).body)) == ("json", data)


def test_long_json_does_too() -> None:
    data = json.dumps({"messages": ["ü" * 1000] * 200}, ensure_ascii=False).encode()
    assert bytes(shown(data).body) == data


@pytest.mark.parametrize(
    "data",
    [b"hello", b'{"a":NaN}', b'{"a":1', b'\xef\xbb\xbf{"a":1}', b'{"a":"\\ud800"}', b"[" * 5000, b"a\0b", b"{'a':1}"],
)
def test_what_not_every_reader_takes_for_json_is_text(data: bytes) -> None:
    result = shown(data)
    assert (result.format, json.loads(bytes(result.body))) == ("text", data.decode())


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b'{"a":"\xff"}', '{"a":1}'.encode("utf-16")])
def test_what_is_no_text_is_base64(data: bytes) -> None:
    result = shown(data)
    assert result.format == "base64"
    assert base64.b64decode(json.loads(bytes(result.body))) == data


def test_long_json_that_is_no_text_is_base64() -> None:
    assert shown(b'{"a":"' + b"x" * 100_000 + b'\xff"}').format == "base64"


def test_an_empty_body_is_null() -> None:
    assert shown(b"") == RenderedBody(None, shown(b"").body, False)
    assert bytes(shown(b"").body) == b"null"


def test_a_cut_body_is_text_up_to_its_last_whole_character() -> None:
    result = shown(b'{"a":"gr' + "ü".encode()[:1], short=True)
    assert (result.format, json.loads(bytes(result.body)), result.short) == ("text", '{"a":"gr', True)


def test_a_body_that_broke_off_may_be_whole_all_the_same() -> None:
    assert shown(b'{"a":1}', broken=True).format == "json"
    assert json.loads(bytes(shown(b'{"a":"sk-01234', broken=True).body)) == f'{{"a":"{MASK}'


def test_secrets_are_masked_in_every_format() -> None:
    assert bytes(shown(b'{"a":"%b"}' % SECRET).body) == b'{"a":"%b"}' % MASK.encode()
    assert SECRET.decode() not in bytes(shown(b"at " + SECRET).body).decode()
    assert SECRET not in base64.b64decode(json.loads(bytes(shown(b"\xff" + SECRET).body)))
    assert shown(SECRET).masked and not shown(b"{}").masked


def test_paths_are_masked_and_the_rest_stays() -> None:
    assert json.loads(bytes(shown(b'{"user":"u","n":1.5}', "user").body)) == {"user": MASK, "n": 1.5}
    untouched = b'{ "n":1.50 }'
    assert bytes(shown(untouched, "user").body) == untouched


@pytest.mark.parametrize("data", [b'{"user":"u', b'{"user":NaN}', b' [{"user":"u"}', b"[" * 5000])
def test_a_body_in_which_paths_cannot_be_found_is_left_out(data: bytes) -> None:
    result = shown(data, "user")
    assert (result.format, bytes(result.body), result.short) == (None, b"null", True)


def test_what_is_no_json_has_no_paths() -> None:
    assert shown(b"plain text", "user").format == "text"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "gzip, zstd"])
def test_bodies_are_shown_without_their_content_coding(encoding: str) -> None:
    data = b'{"a":"' + b"x" * 1000 + b'"}'
    wire = compress(data, encoding)
    parts, cut = decompress_parts([wire[:10], wire[10:]], encoding, LIMIT)
    assert (b"".join(parts), cut, len(parts)) == (data, False, 2)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_decodes_to_too_much_is_cut(encoding: str) -> None:
    parts, cut = decompress_parts([compress(b"x" * (20 << 20), encoding)], encoding, 5000)
    assert (b"".join(parts), cut) == (b"x" * 5000, True)


def test_what_expands_without_measure_is_given_up() -> None:
    parts, _ = decompress_parts([compress(b"x" * (200 << 20), "zstd")], "zstd", 5000)
    assert sum(map(len, parts)) <= 20_000


def test_what_cannot_be_decoded_stays_as_it_is() -> None:
    assert decompress_parts([b"hello"], "gzip", LIMIT) == ([b"hello"], False)
    assert decompress_parts([b"hello"], "br", LIMIT) == ([b"hello"], False)


def test_what_breaks_off_within_its_coding_is_shown_up_to_there() -> None:
    packer = zlib.compressobj(wbits=31)
    begin = packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)
    assert decompress_parts([begin, b"\0garbage" * 3], "gzip", LIMIT) == ([b"first", b""], True)


def streamed(*parts: bytes, paths: tuple[str, ...] = (), short: bool = False) -> list[str | bytes]:
    return render_stream([*parts], Masks(forms=(SECRET,), paths=[parse_path(path) for path in paths]), short=short)


def test_pieces_of_a_stream_are_text_of_their_own() -> None:
    assert streamed(b"data: 1\n\n", "data: ü\n\n".encode()) == ["data: 1\n\n", "data: ü\n\n"]


def test_a_character_that_is_cut_stands_where_it_ends() -> None:
    data = "aüb".encode()
    assert streamed(data[:2], data[2:]) == ["a", "üb"]


def test_pieces_that_are_no_text_are_bytes() -> None:
    assert streamed(b"a", b"\xff\xfe", b"b") == ["a", b"\xff\xfe", "b"]


def test_paths_are_masked_in_the_data_of_events_wherever_they_are_cut() -> None:
    events = b'event: x\ndata: {"user":"u","n":1}\n\ndata:{"n":2}\r\n\r\ndata: [DONE]\n\n'
    whole = f'event: x\ndata: {{"user":"{MASK}","n":1}}\n\ndata:{{"n":2}}\r\n\r\ndata: [DONE]\n\n'
    for cut in range(len(events)):
        assert "".join(map(str, streamed(events[:cut], events[cut:], paths=("user",)))) == whole


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_paths_are_masked_in_data_of_several_lines(end: str) -> None:
    lines = ["event: a", 'data: {"n": 1,', "id: 7", 'data: "user": "x"}', "", 'data: {"user": "y"}', "", ""]
    [whole] = streamed(end.join(lines).encode(), paths=("user",))
    output = [line.partition(": ")[2] for line in str(whole).split(end) if line.startswith("data")]
    assert json.loads("\n".join(output[:2])) == {"n": 1, "user": MASK}
    assert json.loads(output[2]) == {"user": MASK}
    cut = end.join(['data: {"n": 1,', 'data: "user": "x",', ""]).encode()
    assert streamed(cut, paths=("user",), short=True) == [end.join([f"data: {MASK}", f"data: {MASK}", ""])]


def test_events_that_cannot_be_read_are_left_out_when_there_are_paths() -> None:
    assert streamed(b'data: {"user":"u', paths=("user",), short=True) == [f"data: {MASK}"]
    assert streamed(b'data: {"user":"u', short=True) == ['data: {"user":"u']

"""Content codings, whole and in pieces, good and bad."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import BadRequest
from llmproxy.wire.compression import (
    DECODABLE,
    PIECE_BYTES,
    Decoder,
    DecodingError,
    compress,
    decompress,
    decompressed_pieces,
    supported_encodings,
)

TEXT = b'{"model": "gpt-4o", "messages": []}' * 100
ENCODINGS = [
    *DECODABLE,
    "x-gzip",
    "GZIP",
    "gzip, zstd",
    "deflate,gzip",
    "zstd , deflate , gzip",
    "identity",
    "",
    "identity, zstd",
]


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_is_what_it_was_before_its_coding(encoding: str) -> None:
    assert decompress(compress(TEXT, encoding), encoding, len(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_empty_body_is_empty_in_every_coding(encoding: str) -> None:
    assert decompress(compress(b"", encoding), encoding, 100) == b""
    assert decompress(b"", encoding, 100) == b""


@given(st.sampled_from(ENCODINGS), st.binary(max_size=300), st.integers(1, 50))
def test_pieces_of_any_size_decode_to_the_same(encoding: str, data: bytes, size: int) -> None:
    coded = compress(data, encoding)
    decoder = Decoder(encoding, 1000)
    assert b"".join(decoder.feed(coded[i : i + size]) for i in range(0, len(coded), size)) == data
    decoder.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "zstd, gzip"])
def test_a_bomb_comes_in_pieces_of_bounded_size(encoding: str) -> None:
    zeros = bytes(5_000_000)
    pieces = list(decompressed_pieces(compress(zeros, encoding), encoding, len(zeros)))
    assert max(map(len, pieces)) <= PIECE_BYTES and b"".join(pieces) == zeros

    over = decompressed_pieces(compress(zeros + b"0", encoding), encoding, len(zeros))
    with pytest.raises(DecodingError):
        list(over)


def test_what_was_flushed_can_be_read_before_the_end() -> None:
    compressor = zlib.compressobj(wbits=31)
    decoder = Decoder("gzip", 1000)
    assert decoder.feed(compressor.compress(b"data: a\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)) == b"data: a\n\n"
    assert decoder.feed(compressor.compress(b"data: b\n\n") + compressor.flush()) == b"data: b\n\n"
    decoder.close()


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_deflate_is_read_with_and_without_its_wrapping(size: int) -> None:
    for coded in (zlib.compress(TEXT), zlib.compress(TEXT, 1), raw_deflate(TEXT), raw_deflate(b"a")):
        decoder = Decoder("deflate", len(TEXT))
        parts = [decoder.feed(coded[i : i + size]) for i in range(0, len(coded), size)]
        decoder.close()
        assert b"".join(parts) in (TEXT, b"a")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_follow_one_another(coding: str) -> None:
    coded = compress(b"one ", coding) + compress(b"", coding) + compress(b"two", coding)
    assert decompress(coded, coding, 100) == b"one two"


def test_zeros_may_fill_up_a_gzip_body() -> None:
    assert decompress(gzip.compress(TEXT) + bytes(100_000), "gzip", len(TEXT)) == TEXT


@pytest.mark.parametrize("coding", DECODABLE)
def test_a_body_that_decodes_to_more_than_the_limit_is_too_large(coding: str) -> None:
    assert decompress(compress(TEXT, coding), coding, len(TEXT)) == TEXT
    with pytest.raises(BadRequest) as refused:
        decompress(compress(TEXT, coding), coding, len(TEXT) - 1)
    assert (refused.value.status, refused.value.code) == (413, "body_too_large")


@pytest.mark.parametrize("encoding", [*DECODABLE, "gzip, gzip", "zstd, zstd", "gzip, zstd"])
def test_a_bomb_ends_at_the_limit(encoding: str) -> None:
    bomb = compress(bytes(40_000_000), encoding)
    with pytest.raises(DecodingError) as refused:
        decompress(bomb, encoding, 1000)
    assert refused.value.status == 413


def test_a_bomb_of_members_ends_too() -> None:
    with pytest.raises(DecodingError, match="too many members"):
        decompress(gzip.compress(b"") * 20_000, "gzip", 1000)


def test_the_limit_of_a_stream_holds_for_each_piece() -> None:
    decoder = Decoder("gzip", len(TEXT))
    for _ in range(3):
        assert decoder.feed(gzip.compress(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", [*DECODABLE, "gzip, zstd"])
def test_a_body_that_ends_early_is_refused(encoding: str) -> None:
    coded = compress(TEXT, encoding)
    for end in range(1, len(coded)):
        with pytest.raises(DecodingError) as refused:
            decompress(coded[:end], encoding, len(TEXT))
        assert (refused.value.status, refused.value.code) == (400, "invalid_encoding")


@pytest.mark.parametrize("encoding", [*DECODABLE, "gzip, zstd"])
@pytest.mark.parametrize("data", [TEXT, b"\xff" * 100, b"\x1f\x8b\x08rubbish", b"\x28\xb5\x2f\xfdrubbish"])
def test_a_body_that_is_something_else_is_refused(encoding: str, data: bytes) -> None:
    with pytest.raises(DecodingError) as refused:
        decompress(data, encoding, 1000)
    assert refused.value.status == 400


@given(st.sampled_from(DECODABLE), st.binary(max_size=100), st.integers(0, 100), st.binary(max_size=4))
def test_damage_is_a_decoding_error_or_nothing(coding: str, data: bytes, at: int, damage: bytes) -> None:
    coded = compress(data, coding)
    try:
        decompress(coded[:at] + damage + coded[at + len(damage) :], coding, 1000)
    except DecodingError as error:
        assert 400 <= error.status < 500


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "compress", "gzip;q=1, nonsense", ", ".join(["gzip"] * 5)])
def test_a_coding_that_is_not_decoded_is_named(encoding: str) -> None:
    with pytest.raises(DecodingError, match="send gzip, deflate, zstd or none") as refused:
        Decoder(encoding, 1000)
    assert (refused.value.status, refused.value.code) == (415, "unsupported_encoding")


def test_a_zstd_frame_may_not_ask_for_more_than_8_megabytes_of_window() -> None:
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, (27 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(DecodingError):
        decompress(frame, "zstd", 1000)
    assert decompress(frame[:5] + bytes([(23 - 10) << 3]) + frame[6:], "zstd", 1000) == b""


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate, zstd"),
        ("gzip", "gzip"),
        ("x-gzip", "x-gzip"),
        ("GZIP ; Q=0.3,br", "GZIP ; Q=0.3"),
        ("br;q=1.0, gzip;q=0.8", "gzip;q=0.8"),
        ("gzip;q=0, zstd", "gzip;q=0, zstd"),
        ("identity", "identity"),
        ("gzip, identity;q=0", "gzip, identity;q=0"),
        ("*", "gzip, deflate, zstd"),
        ("gzip;q=0.5, *;q=0.1", "gzip;q=0.5, deflate;q=0.1, zstd;q=0.1"),
        ("x-gzip;q=0, *", "x-gzip;q=0, deflate, zstd"),
        ("gzip, *;q=0", "gzip, *;q=0"),
        ("gzip, *; q=0.000", "gzip, *; q=0.000"),
        ("br", "identity"),
        ("", "identity"),
        (" , ", "identity"),
    ],
)
def test_accept_encoding_is_cut_to_what_we_decode(header: str, sent: str) -> None:
    assert supported_encodings(header) == sent

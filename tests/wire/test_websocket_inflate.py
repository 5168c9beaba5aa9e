"""Compressed messages of WebSockets."""

from __future__ import annotations

import zlib

import pytest

from llmproxy.wire.websocket_inflate import Inflater, compresses


def deflate(messages: list[bytes]) -> list[bytes]:
    """Compress messages with what they have in common, as permessage-deflate does."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, -12)
    return [(encoder.compress(each) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4] for each in messages]


def test_messages_refer_to_those_before_them() -> None:
    messages = [b"the same words", b"the same words again", b"", b"x" * 200_000, bytes(range(256)) * 1000]
    inflater = Inflater(1 << 20)
    assert [inflater.message([part[:3], part[3:]]) for part in deflate(messages)] == messages


def test_a_message_that_becomes_too_long_is_none() -> None:
    [bomb] = deflate([b"\0" * 10_000_000])
    assert len(bomb) < 20_000 and Inflater(1 << 20).message([bomb]) is None


def test_messages_of_nothing_but_zeros_are_read_as_fast_as_silence_is_and_no_faster() -> None:
    now_s = 0.0
    silence, bombs = [b"A" * 100_000] * 200, deflate([b"A" * (1 << 20)] * 200)
    inflater = Inflater(1 << 20, lambda: now_s)
    for packed in deflate(silence):
        now_s += 0.05
        assert inflater.message([packed]) == silence[0]
    assert sum([inflater.message([packed]) is not None for packed in bombs]) <= 1


def test_what_is_packed_as_usual_is_read_however_fast_it_comes() -> None:
    messages = [b"%064x" % (number * 0x9E3779B97F4A7C15F39CC0605CEDC835) * 40 for number in range(1000)]
    inflater = Inflater(1 << 20, lambda: 0.0)
    assert [inflater.message([packed]) for packed in deflate(messages)] == messages


def test_what_is_not_compressed_is_none() -> None:
    assert Inflater(1 << 20).message([b"\xff\xff plain text"]) is None


@pytest.mark.parametrize(
    ("extensions", "agreed"), [("permessage-deflate; server_max_window_bits=12", True), ("", False), ("x", False)]
)
def test_the_answer_says_whether_messages_are_compressed(extensions: str, agreed: bool) -> None:
    assert compresses(extensions) is agreed

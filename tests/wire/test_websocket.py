"""WebSocket handshakes and frames, as bytes."""

from __future__ import annotations

import random

import pytest

from llmproxy.wire.websocket import WebSocketWatch, accept_of, close_frame, has_token, is_key
from tests.support.socket_upstream import MASK, frame


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """Return `data` in pieces of any length."""
    ends = sorted({*chance.sample(range(1, min(len(data), 40)), 12), *chance.sample(range(1, len(data)), 9), len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def watch(masked: bool = False) -> tuple[WebSocketWatch, list[tuple[int, bytes, bool]]]:
    """Return a watch and the messages that it finds."""
    found: list[tuple[int, bytes, bool]] = []
    return WebSocketWatch(
        masked=masked, on_message=lambda opcode, parts, compressed: found.append((opcode, b"".join(parts), compressed))
    ), found


def test_the_handshake_of_the_specification() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(("key", "valid"), [("dGhlIHNhbXBsZSBub25jZQ==", True), ("eA==", False), ("é", False)])
def test_a_key_is_16_bytes_in_base64(key: str, valid: bool) -> None:
    assert is_key(key) is valid


def test_tokens_are_found_in_any_line_and_case() -> None:
    assert has_token(["keep-alive", "a, UpGrade"], "upgrade") and not has_token(["upgrades"], "upgrade")


@pytest.mark.parametrize("key", [b"", MASK])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70_000])
def test_messages_are_found_however_the_bytes_are_cut(key: bytes, size: int) -> None:
    text, rest = b"x" * size, b"y" * 300
    data = frame(1, text, final=False, key=key) + frame(9, b"ping", key=key) + frame(0, rest, key=key)
    data += frame(2, b"z", key=key, flags=0x40) + frame(8, b"\x0f\xa0bye", key=key)
    for pieces in ([data], *(cut(data, random.Random(seed)) for seed in range(3))):
        watched, found = watch(masked=bool(key))
        for piece in pieces:
            watched.feed(piece)
        assert found == [(1, text + rest, False), (2, b"z", True)]
        assert (watched.frames, watched.close_code, watched.between_frames, watched.lost) == (5, 4000, True, False)


def test_a_long_frame_is_not_kept_where_nobody_reads() -> None:
    watched = WebSocketWatch(masked=False)
    watched.feed(frame(2, b"x" * 70_000)[:1000])
    assert watched.left_bytes == 70_000 + 10 - 1000 and not watched.between_frames
    watched.feed(b"x" * watched.left_bytes)
    assert watched.between_frames


def test_a_message_without_room_is_skipped_and_the_next_one_found() -> None:
    found: list[bytes] = []
    watched = WebSocketWatch(
        masked=False, on_message=lambda opcode, parts, _: found.extend(parts), has_room=lambda size: size < 10
    )
    watched.feed(frame(1, b"ab", final=False) + frame(0, b"c" * 20, final=False) + frame(0, b"d") + frame(1, b"next"))
    assert found == [b"next"]


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1", frame(3), frame(9, final=False), frame(9, b"x" * 126), frame(1, b"x", key=MASK)]
)
def test_what_is_no_frame_ends_the_watch(data: bytes) -> None:
    watched, found = watch()
    watched.feed(data)
    watched.feed(frame(1, b"x"))
    assert watched.lost and not found and not watched.between_frames


@pytest.mark.parametrize("masked", [False, True])
def test_a_close_frame_is_read_back(masked: bool) -> None:
    watched = WebSocketWatch(masked=masked)
    watched.feed(close_frame(1001, masked=masked))
    assert watched.close_code == 1001


def test_a_close_frame_without_a_code_is_1005() -> None:
    watched = WebSocketWatch(masked=False)
    watched.feed(frame(8))
    assert watched.close_code == 1005

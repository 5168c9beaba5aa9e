"""The WebSocket protocol as bytes (RFC 6455): the opening handshake, and frames that are followed as they pass.

`WebSocketWatch` never changes what passes. It reads the heads of frames, and keeps the payload of messages only where
somebody reads them. Begin reading at `WebSocketWatch.feed`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterable

GOING_AWAY = 1001
TEXT, BINARY, CLOSE = 1, 2, 8
_CONTROL = 8
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_CONTROL_BYTES = 125
_FINAL, _COMPRESSED, _RESERVED = 0x80, 0x40, 0x30
_MASKED = 0x80
_LENGTH_BYTES = {126: 2, 127: 8}
_OPCODES = frozenset((0, TEXT, BINARY, CLOSE, 9, 10))


def has_token(lines: Iterable[str], token: str) -> bool:
    """Return whether a header whose values are `lines` lists `token`."""
    return any(each.strip().lower() == token for line in lines for each in line.split(","))


def is_key(key: str) -> bool:
    """Return whether `key` is a valid Sec-WebSocket-Key: 16 bytes in base64."""
    try:
        return len(base64.b64decode(key.encode("ascii"), validate=True)) == _KEY_BYTES
    except (binascii.Error, UnicodeEncodeError):
        return False


def accept_of(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii", "replace") + _GUID).digest()).decode()


def close_frame(code: int, *, masked: bool) -> bytes:
    """Return a Close frame with `code`; clients send theirs masked."""
    payload = code.to_bytes(2, "big")
    if not masked:
        return bytes((_FINAL | CLOSE, len(payload))) + payload
    key = os.urandom(4)
    return bytes((_FINAL | CLOSE, _MASKED | len(payload))) + key + unmask(payload, key)


def unmask(payload: bytes, key: bytes) -> bytes:
    """Return `payload` without its mask, or with it."""
    size = len(payload)
    whole = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


OnMessage = Callable[[int, list[bytes], bool], None]
"""Gets a message that is whole: its opcode, its payload in parts, and whether it is compressed."""


class WebSocketWatch:
    """Follows the frames of one direction; those of clients are `masked`.

    `frames` counts those that have begun, `close_code` is that of a Close frame (1005 for one without a code). Once
    bytes come that are no frames, `lost` is set and nothing is followed any more. `on_message` gets each message of
    data when it is whole, unless `has_room`, which is called with the size of each of its frames, has said no; it may
    be taken away at any time.
    """

    __slots__ = (
        "_compressed",
        "_final",
        "_frame",
        "_has_room",
        "_head",
        "_key",
        "_left",
        "_masked",
        "_message_opcode",
        "_opcode",
        "_parts",
        "close_code",
        "frames",
        "lost",
        "on_message",
    )

    def __init__(
        self,
        *,
        masked: bool,
        on_message: OnMessage | None = None,
        has_room: Callable[[int], bool] | None = None,
    ) -> None:
        self._masked = masked
        self.on_message = on_message
        self._has_room = has_room
        self._head = b""
        self._left = 0
        self._opcode = self._message_opcode = 0
        self._final = self._compressed = False
        self._key = b""
        self._frame: list[bytes] | None = None
        self._parts: list[bytes] | None = None
        self.frames = 0
        self.close_code: int | None = None
        self.lost = False

    @property
    def between_frames(self) -> bool:
        """Return whether another frame fits here: the last one is whole."""
        return not (self._left or self._head or self.lost)

    @property
    def left_bytes(self) -> int:
        """Return how many bytes of the frame under way are still to come, as far as that is known."""
        return self._left

    def feed(self, data: bytes) -> None:
        """Follow the next bytes, cut anywhere."""
        if self.lost:
            return
        left = self._left
        if left > len(data):  # in the middle of a long frame: the usual case for large ones
            self._left = left - len(data)
            if self._frame is not None:
                self._frame.append(data)
            return
        start = left
        if left:
            self._end_frame(data[:left] if self._frame is not None else b"")
        if self._head:
            data, self._head = self._head + data[start:], b""
            start = 0
        size = len(data)
        while start < size and not self.lost:
            start = self._read_frame(data, start, size)

    def _read_frame(self, data: bytes, start: int, size: int) -> int:
        """Read a frame that begins at `start`, as far as it is here. Return where the next one begins."""
        if size - start < 2:
            self._head = data[start:]
            return size
        first, second = data[start], data[start + 1]
        length, masked = second & 0x7F, bool(second & _MASKED)
        body = start + 2 + _LENGTH_BYTES.get(length, 0) + 4 * masked
        if not self._is_valid(first, length, masked):
            self.lost = True
            self._parts = None
            return size
        if size < body:
            self._head = data[start:]
            return size
        if more := _LENGTH_BYTES.get(length):
            length = int.from_bytes(data[start + 2 : start + 2 + more], "big")
        self.frames += 1
        self._begin_frame(first, length, data[body - 4 : body] if masked else b"")
        end = body + length
        if end > size:
            self._left = end - size
            if self._frame is not None:
                self._frame.append(data[body:])
            return size
        self._end_frame(data[body:end] if self._frame is not None else b"")
        return end

    def _is_valid(self, first: int, length: int, masked: bool) -> bool:
        opcode = first & 0x0F
        if opcode not in _OPCODES or first & _RESERVED or masked is not self._masked:
            return False
        return opcode < _CONTROL or (bool(first & _FINAL) and length <= _CONTROL_BYTES)

    def _begin_frame(self, first: int, length: int, key: bytes) -> None:
        self._opcode = opcode = first & 0x0F
        self._final, self._key = bool(first & _FINAL), key
        self._frame = [] if opcode == CLOSE else None
        if self.on_message is None or opcode >= _CONTROL:
            return
        if opcode:
            self._message_opcode, self._compressed = opcode, bool(first & _COMPRESSED)
            self._parts = []
        if self._parts is not None:
            if self._has_room is None or self._has_room(length):
                self._frame = []
            else:
                self._parts = None

    def _end_frame(self, data: bytes) -> None:
        self._left = 0
        frame, self._frame = self._frame, None
        if frame is None:
            return
        frame.append(data)
        if self._opcode == CLOSE:
            payload = self._plain(frame)
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            return
        if self._parts is None or self.on_message is None:
            return
        if self._key:
            self._parts.append(self._plain(frame))
        else:
            self._parts += frame
        if self._final:
            parts, self._parts = self._parts, None
            self.on_message(self._message_opcode, parts, self._compressed)

    def _plain(self, frame: list[bytes]) -> bytes:
        payload = frame[0] if len(frame) == 1 else b"".join(frame)
        return unmask(payload, self._key) if self._key else payload

"""A low-level HTTP client: it sends any bytes and reads answers strictly, so that wrong framing is a failure.

`RawClient.read_answer` is what a careful client does; `Cut` says that the connection ended where an answer was not
whole.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import PATIENCE_S


class Cut(ConnectionError):
    """The connection ended within an answer; `got` is the body so far."""

    def __init__(self, got: bytes, how: str) -> None:
        super().__init__(f"cut by {how} after {len(got)} bytes of the body: {got[-200:]!r}")
        self.got = got


@dataclass(slots=True, kw_only=True)
class Head:
    """Status line and header fields as they came. `interim` holds the statuses of 1xx answers before it."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    interim: list[int] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


@dataclass(slots=True, kw_only=True)
class RawAnswer(Head):
    """A whole answer; `framing` is `length`, `chunked`, `eof` or `none`."""

    body: bytes = b""
    framing: str = "none"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One TCP connection, from the address `source`. Use as a context manager; every wait ends after `timeout_s` with
    TimeoutError.
    """

    def __init__(
        self,
        address: tuple[str, int],
        timeout_s: float = PATIENCE_S,
        receive_buffer: int | None = None,
        source: str = "",
    ) -> None:
        self._socket = socket.socket()
        self._host = f"{address[0]}:{address[1]}"
        if source:
            self._socket.bind((source, 0))
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def offer(self, data: bytes, timeout_s: float) -> int:
        """Send as much of `data` as the peer takes until it takes nothing for `timeout_s`; the number of bytes
        taken."""
        sent, before = 0, self._socket.gettimeout()
        self._socket.settimeout(timeout_s)
        try:
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + 65536])
        except TimeoutError:
            pass
        finally:
            self._socket.settimeout(before)
        return sent

    def request(self, method: str, target: str, *headers: str, body: bytes | None = None, version: str = "1.1") -> None:
        """Send a request with Host and, when there is a body, Content-Length; `headers` are whole lines."""
        lines = [f"{method} {target} HTTP/{version}", f"Host: {self._host}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b""))

    def post(self, target: str, value: object, *headers: str) -> None:
        """Send `value` as JSON."""
        self.request("POST", target, "Content-Type: application/json", *headers, body=json.dumps(value).encode())

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def pause(self, timeout_s: float) -> None:
        """Wait, and fail when the peer sends anything or leaves in that time."""
        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        assert not readable, "the peer answered or left"

    def closed_by_peer(self) -> bool:
        """Wait for the peer to close with FIN. False when bytes come instead; ConnectionResetError on a reset."""
        return not self._buffer and not self._socket.recv(1)

    def ended(self) -> bool:
        """Wait for the end of the connection, be it FIN or RST; False when bytes come instead."""
        try:
            return self.closed_by_peer()
        except ConnectionResetError:
            return True

    def read_interim(self) -> int:
        """Return the status of the next 1xx answer; whatever comes first must be one."""
        status = int(self._until(b"\r\n\r\n").split(b" ")[1])
        assert 100 <= status < 200, status
        return status

    def read_head(self) -> Head:
        """Return the head of the next final answer."""
        interim: list[int] = []
        while True:
            first, *lines = self._until(b"\r\n\r\n")[:-4].decode("utf-8", "surrogateescape").split("\r\n")
            version, status, *reason = first.split(" ", 2)
            assert version in ("HTTP/1.1", "HTTP/1.0"), first
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            if not 100 <= int(status) < 200:
                return Head(
                    version=version, status=int(status), reason="".join(reason), headers=headers, interim=interim
                )
            interim.append(int(status))

    def read_answer(self, method: str = "POST") -> RawAnswer:
        """Return the next answer, whole. Raises Cut when the connection ends within it."""
        return self.read_body(self.read_head(), method)

    def read_body(self, head: Head, method: str = "POST") -> RawAnswer:
        """Return the answer that began with `head`, whole. Raises Cut when the connection ends within it."""
        answer = RawAnswer(
            version=head.version, status=head.status, reason=head.reason, headers=head.headers, interim=head.interim
        )
        length, coding = answer.value("content-length"), answer.value("transfer-encoding")
        assert not (length and coding), "both Content-Length and Transfer-Encoding"
        if method == "HEAD" or head.status in (204, 304):
            return answer
        if coding:
            assert coding == "chunked" and answer.version == "HTTP/1.1", coding
            answer.framing, answer.body = "chunked", b"".join(self.read_chunks())
        elif length is not None:
            answer.framing, answer.body = "length", self._exactly(int(length))
        else:
            answer.framing, answer.body = "eof", self._rest()
        return answer

    def read_chunks(self) -> list[bytes]:
        """Return every chunk of a chunked body to its end."""
        chunks: list[bytes] = []
        while chunk := self.read_chunk(b"".join(chunks) if not chunks else b""):
            chunks.append(chunk)
        return chunks

    def read_chunk(self, before: bytes = b"") -> bytes:
        """Return the next chunk; b"" for the last."""
        size = int(self._until(b"\r\n", before)[:-2].partition(b";")[0], 16)
        chunk = self._exactly(size)
        assert self._exactly(2, chunk) == b"\r\n", "a chunk without its end"
        return chunk

    def read_body_until(self, mark: bytes) -> bytes:
        """Return the chunks up to the one that completes `mark`."""
        got = b""
        while mark not in got:
            got += self.read_chunk()
        return got

    def read_exactly(self, size: int) -> bytes:
        """Read that many bytes. Raise Cut when the connection ends before."""
        return self._exactly(size)

    def _until(self, mark: bytes, before: bytes = b"") -> bytes:
        while mark not in self._buffer:
            self._more(before)
        taken, _, self._buffer = self._buffer.partition(mark)
        return taken + mark

    def _exactly(self, size: int, before: bytes = b"") -> bytes:
        parts, missing = [self._buffer[:size]], size - len(self._buffer)
        self._buffer = self._buffer[size:]
        while missing > 0:
            data = self._receive(before + b"".join(parts) if missing < 65536 else b"", missing)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _rest(self) -> bytes:
        parts = [self._buffer]
        self._buffer = b""
        while data := self._socket.recv(65536):
            parts.append(data)
        return b"".join(parts)

    def _more(self, before: bytes = b"") -> None:
        self._buffer += self._receive(before + self._buffer, 65536)

    def _receive(self, before: bytes, size: int) -> bytes:
        try:
            data = self._socket.recv(min(size, 1 << 20))
        except ConnectionResetError:
            raise Cut(before, "RST") from None
        if not data:
            raise Cut(before, "FIN")
        return data

"""A provider's side of one connection: aiohttp's client protocol, made fit for a pool.

It adds what aiohttp leaves out or does elsewhere: whether a byte came, bodies that break without an error of aiohttp,
a parser that is used again, limits for the head as a whole, and answers that are followed by bytes of no answer.
`pool.py` uses it and touches nothing else of aiohttp's `ResponseHandler`. Begin reading at `data_received`.
"""

from __future__ import annotations

import contextlib
import re
from asyncio import TimerHandle

from aiohttp.client_exceptions import ClientPayloadError, SocketTimeoutError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from llmproxy.wire.http import BODILESS_STATUSES, MAX_FIELD_BYTES, MAX_FIELDS, READ_BYTES

MAX_HEAD_BYTES = 256 * 1024
"""The most that a provider may send before its final head is whole, interim answers (1xx) included; and within a body
without sending any of it, as trailers do."""

_HEAD = re.compile(rb"HTTP/\d\.\d (\d)(?s:.*?)\r?\n\r?\n")


class UpstreamConnection(ResponseHandler):
    """aiohttp's client connection, which also knows whether it has served an exchange before, and whether a byte came
    since the last one ended or began.
    """

    used = False
    heard = False
    waits_since_s = 0.0
    _head_only: bool | None = None
    _in_head = _upgrades = False
    _head = b""
    _head_limit_s: float | None = None
    _head_late_s = 0.0
    _head_timer: TimerHandle | None = None
    _fault: BaseException | None = None
    _between_bytes = 0

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._in_head:
            self._receive_head(data)
            return
        payload = self._payload
        had_bytes = 0 if payload is None else payload.total_bytes
        ResponseHandler.data_received(self, data)
        if payload is not None and payload.total_bytes == had_bytes and not payload.is_eof():
            self._between_bytes += len(data)
            if self._between_bytes > MAX_HEAD_BYTES:
                payload.set_exception(ClientPayloadError("Too much between the chunks of the body"))
                self.abort()
        else:
            self._between_bytes = 0

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on where reading was paused. aiohttp calls this for each body that is read, and parses nothing then."""
        if self._reading_paused:
            ResponseHandler.resume_reading(self, resume_parser)

    # -- the head: whole within its limits, whatever follows it

    def _receive_head(self, data: bytes) -> None:
        ResponseHandler.data_received(self, data)
        fault, self._fault = self._fault, None
        if fault is not None:
            whole = self._head + data
            self._end_head()
            if not self._read_again(whole):
                self.set_exception(fault)
        elif self._buffer and ((code := self._buffer[-1][0][0].code) >= 200 or (code == 101 and self._upgrades)):
            self._end_head()
        else:
            self._head += data
            if len(self._head) > MAX_HEAD_BYTES:
                self._end_head()
                self.set_exception(HttpProcessingError(message="its head is too large"))

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Note what is wrong while a head is read, as the bytes are read again then; otherwise report it."""
        if self._in_head and isinstance(exc, HttpProcessingError):
            self._fault = exc
        else:
            ResponseHandler.set_exception(self, exc, *cause)

    def _read_again(self, whole: bytes) -> bool:
        """Read an answer that is whole and followed by what is none; return False when there is no such answer.

        The parser forgets an answer when bytes that came with its end are wrong: a body after a 204 or behind the
        Content-Length. The connection serves no other exchange.
        """
        match = _HEAD.match(whole)
        while match is not None and match[1] == b"1":
            match = _HEAD.match(whole, match.end())
        if match is None or self._head_only is None:
            return False
        self._make_parser(self._head_only)
        assert self._parser is not None
        try:
            [(message, payload)], _, _ = self._parser.feed_data(whole[match.start() : match.end()])
        except (HttpProcessingError, ValueError):
            return False
        with contextlib.suppress(HttpProcessingError):
            self._parser.feed_data(whole[match.end() :])
        self.force_close()
        self._head_only = None
        if not payload.is_eof():
            return False
        self._payload = payload
        bodiless = message.code in BODILESS_STATUSES
        self.feed_data((message, EMPTY_PAYLOAD if bodiless else payload), 0)
        return True

    def start_timeout(self) -> None:
        """Begin to wait: for the head, whose limit no byte but its last puts off, or for the next bytes of a body."""
        if not self._in_head:
            ResponseHandler.start_timeout(self)
        elif self._head_limit_s:
            self._head_late_s = self._loop.time() + self._head_limit_s
            if self._head_timer is not None and self._head_timer.when() > self._head_late_s:
                self._head_timer.cancel()
                self._head_timer = None
            if self._head_timer is None:
                self._head_timer = self._loop.call_at(self._head_late_s, self._look_for_head)

    def _look_for_head(self) -> None:
        """Give the head up when its time is over. One timer serves all heads: it fires late and looks again."""
        self._head_timer = None
        if not self._in_head:
            return
        if self._loop.time() < self._head_late_s:
            self._head_timer = self._loop.call_at(self._head_late_s, self._look_for_head)
            return
        self._end_head()
        self.set_exception(SocketTimeoutError("No head within its limit"))

    def _end_head(self) -> None:
        self._in_head = False
        self._head = b""

    def _end(self) -> None:
        self._end_head()
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def abort(self) -> None:
        self._end()
        ResponseHandler.abort(self)

    def close(self) -> None:
        self._end()
        ResponseHandler.close(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Mark a body under way as broken. aiohttp does not report a reset without framing, nor a wrong chunk."""
        self._end()
        payload = self._payload if self._payload is not None and not self._payload.is_eof() else None
        if payload is not None and exc is not None:
            payload.set_exception(ClientPayloadError(str(exc)))
        ResponseHandler.connection_lost(self, exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("The body does not end as its head declares"))

    # -- one answer after the other

    def expect(self, *, head_only: bool, timeout_s: float | None, upgrade: bool = False) -> None:
        """Prepare for one answer, whose head may take `timeout_s`, and which with `upgrade` may be a 101. The parser of
        the answer before is used again, which saves 3 µs.
        """
        self._upgrades = upgrade
        self.heard = False
        self.read_timeout = None
        self._in_head, self._head_limit_s = True, timeout_s
        if self._head_only is not head_only:
            self._make_parser(head_only)

    async def pass_over(
        self, message: RawResponseMessage, payload: StreamReader
    ) -> tuple[RawResponseMessage, StreamReader]:
        """Return the first final head, after the interim one (1xx) in `message`: also a 101 that was asked for."""
        while message.code < 200:
            if message.code == 101:
                if self._upgrades:
                    break
                raise HttpProcessingError(message="it switched protocols unexpectedly")
            message, payload = await self.read()
        return message, payload

    def _make_parser(self, head_only: bool) -> None:
        self._head_only = head_only
        self.set_response_params(
            skip_payload=head_only,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=None,
            read_bufsize=READ_BYTES,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
        )

    def limit_silence(self, timeout_s: float | None, payload: StreamReader) -> None:
        """Limit the silence within the body `payload` to `timeout_s`; called once the head is here."""
        self.read_timeout = timeout_s
        if not payload.is_eof() and not self._reading_paused:
            self.start_timeout()

    def note_body(self, message: RawResponseMessage) -> None:
        """Serve no other exchange when `message`, which can have no body, announces one (RFC 9110, 8.6): it may come. A
        304 tells the length that a 200 would have.
        """
        if message.chunked or (message.code == 204 and message.headers.get("Content-Length", "0") != "0"):
            self.force_close()

"""A provider's side of one connection: aiohttp's client protocol, made fit for a pool.

It adds what aiohttp leaves out or does elsewhere: whether a byte came, bodies that break without an error of aiohttp,
a parser that is used again. `pool.py` uses it and touches nothing else of aiohttp's `ResponseHandler`.
"""

from __future__ import annotations

from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader

from llmproxy.wire.http import MAX_FIELD_BYTES, MAX_FIELDS, READ_BYTES


class UpstreamConnection(ResponseHandler):
    """aiohttp's client connection, which also knows whether it has served an exchange before, and whether a byte came
    since the last one ended or began.
    """

    used = False
    heard = False
    waits_since_s = 0.0
    _head_only: bool | None = None

    def data_received(self, data: bytes) -> None:
        self.heard = True
        ResponseHandler.data_received(self, data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Mark a body under way as broken. aiohttp does not report a reset without framing, nor a wrong chunk."""
        payload = self._payload if self._payload is not None and not self._payload.is_eof() else None
        if payload is not None and exc is not None:
            payload.set_exception(ClientPayloadError(str(exc)))
        ResponseHandler.connection_lost(self, exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("The body does not end as its head declares"))

    def expect(self, *, head_only: bool, timeout_s: float | None) -> None:
        """Prepare for one answer. The parser of the answer before is used again, which saves 3 µs."""
        self.heard = False
        self.read_timeout = timeout_s
        if self._head_only is not head_only:
            self._head_only = head_only
            self.set_response_params(
                skip_payload=head_only,
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=timeout_s,
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

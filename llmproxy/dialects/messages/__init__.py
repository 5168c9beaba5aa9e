"""The messages dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy.dialects.base import Canned, Dialect, Summary, Watch
from llmproxy.dialects.history import History
from llmproxy.dialects.messages import history
from llmproxy.dialects.messages import request_text as request
from llmproxy.dialects.messages import reshape as replay
from llmproxy.dialects.messages import stream_watch as stream
from llmproxy.dialects.messages import summary as reply
from llmproxy.dialects.messages.codec import CODEC
from llmproxy.errors import ProxyError
from llmproxy.wire.sse import write_frame


class Messages(Dialect):
    """`POST /messages`."""

    name = "messages"
    paths = ("/messages", "/messages/count_tokens")
    replay = replay.REPLAY
    significant = ("anthropic-beta", "anthropic-version")

    def read_request_text(self, body: bytes) -> str | None:
        return request.read_text(body)

    def read_history(self, body: Mapping[str, Any]) -> History:
        return history.read_history(body)

    def read_reply(self, body: bytes, *, text: bool = False) -> Summary:
        return reply.read_reply(body, text=text)

    def watch(self, *, text: bool = False) -> Watch:
        return stream.MessagesWatch(text=text)

    def write_error(self, error: ProxyError, request_id: str) -> bytes:
        return reply.write_error(error, request_id)

    def write_error_event(self, error: ProxyError, request_id: str) -> bytes:
        return write_frame(reply.write_error(error, request_id), "error")

    def write_reply(self, canned: Canned) -> bytes:
        return reply.write_reply(canned)

    def write_stream(self, canned: Canned) -> Sequence[bytes]:
        return stream.write_stream(canned)


__all__ = ["CODEC", "DIALECT", "Messages"]

DIALECT = Messages()

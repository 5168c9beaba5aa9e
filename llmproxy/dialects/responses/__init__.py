"""The responses dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy.dialects.base import Canned, Dialect, Summary, Watch
from llmproxy.dialects.error_body import write_error_object
from llmproxy.dialects.history import History
from llmproxy.dialects.responses import history
from llmproxy.dialects.responses import request_text as request
from llmproxy.dialects.responses import reshape as replay
from llmproxy.dialects.responses import stream_watch as stream
from llmproxy.dialects.responses import summary as reply
from llmproxy.dialects.responses.codec import CODEC
from llmproxy.errors import ProxyError


class Responses(Dialect):
    """`POST /responses`."""

    name = "responses"
    paths = ("/responses", "/responses/compact", "/responses/input_tokens")
    replay = replay.REPLAY
    significant = ("openai-beta", "openai-organization", "openai-project")

    def read_request_text(self, body: bytes) -> str | None:
        return request.read_text(body)

    def read_history(self, body: Mapping[str, Any]) -> History:
        return history.read_history(body)

    def read_reply(self, body: bytes, *, text: bool = False) -> Summary:
        return reply.read_reply(body, text=text)

    def watch(self, *, text: bool = False) -> Watch:
        return stream.ResponsesWatch(text=text)

    def write_error(self, error: ProxyError, request_id: str) -> bytes:
        return write_error_object(error)

    def write_error_event(self, error: ProxyError, request_id: str) -> bytes:
        return stream.write_error_event(error)

    def write_reply(self, canned: Canned) -> bytes:
        return reply.write_reply(canned)

    def write_stream(self, canned: Canned) -> Sequence[bytes]:
        return stream.write_stream(canned)


DIALECT = Responses()

__all__ = ["CODEC", "DIALECT", "Responses"]

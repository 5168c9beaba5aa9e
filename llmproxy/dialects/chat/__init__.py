"""The chat completions dialect, and the legacy text completions that differ from it in a few fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy.dialects.base import Canned, Dialect, Summary, Watch
from llmproxy.dialects.chat import history
from llmproxy.dialects.chat import request_text as request
from llmproxy.dialects.chat import reshape as replay
from llmproxy.dialects.chat import stream_watch as stream
from llmproxy.dialects.chat import summary as reply
from llmproxy.dialects.chat.codec import CODEC
from llmproxy.dialects.error_body import error_object, write_error_object
from llmproxy.dialects.history import History
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame


class Chat(Dialect):
    """`POST /chat/completions`."""

    name = "chat"
    paths: tuple[str, ...] = ("/chat/completions",)
    replay = replay.CHAT
    significant = ("openai-beta", "openai-organization", "openai-project")

    def read_request_text(self, body: bytes) -> str | None:
        return request.read_text(body)

    def read_history(self, body: Mapping[str, Any]) -> History:
        return history.read_history(body)

    def read_reply(self, body: bytes, *, text: bool = False) -> Summary:
        return reply.read_reply(body, text=text)

    def watch(self, *, text: bool = False) -> Watch:
        return stream.ChatWatch(text=text)

    def write_error(self, error: ProxyError, request_id: str) -> bytes:
        return write_error_object(error)

    def write_error_event(self, error: ProxyError, request_id: str) -> bytes:
        return write_frame(write_value({"error": error_object(error)}))

    def write_reply(self, canned: Canned) -> bytes:
        return reply.write_reply(canned)

    def write_stream(self, canned: Canned) -> Sequence[bytes]:
        return stream.write_stream(canned)


class Completions(Chat):
    """`POST /completions`: a prompt instead of messages, `text` instead of `delta`."""

    name = "completions"
    paths = ("/completions",)
    replay = replay.COMPLETIONS

    def write_reply(self, canned: Canned) -> bytes:
        return reply.write_completion(canned)

    def write_stream(self, canned: Canned) -> Sequence[bytes]:
        return stream.write_completion_stream(canned)


__all__ = ["CODEC", "COMPLETIONS", "DIALECT", "Chat", "Completions"]

DIALECT = Chat()
COMPLETIONS = Completions()

"""Chat completions to and from the neutral vocabulary: where each half is."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.chat.request_encode import encode_request
from llmproxy.dialects.chat.response_decode import decode_reply
from llmproxy.dialects.chat.response_encode import encode_reply
from llmproxy.dialects.chat.stream_decode import Reader
from llmproxy.dialects.chat.stream_encode import Writer
from llmproxy.dialects.codec import Codec, Losses, Options, StreamReader, StreamWriter
from llmproxy.dialects.model import Media, Reply, Request


class ChatCodec(Codec):
    """`POST /chat/completions`."""

    name = "chat"

    def takes_url(self, media: Media) -> bool:
        return media.kind in ("image", "video")

    def decode_request(self, body: dict[str, Any]) -> Request:
        return decode_request(body)

    def encode_request(self, request: Request, options: Options, losses: Losses) -> dict[str, Any]:
        return encode_request(request, options, losses)

    def decode_reply(self, body: bytes) -> Reply:
        return decode_reply(body)

    def encode_reply(self, reply: Reply, request: Request, losses: Losses) -> dict[str, Any]:
        return encode_reply(reply, request, losses)

    def stream_reader(self) -> StreamReader:
        return Reader()

    def stream_writer(self, request: Request) -> StreamWriter:
        return Writer(request)


CODEC = ChatCodec()

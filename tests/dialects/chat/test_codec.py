"""The codec of chat: its parts belong together."""

from __future__ import annotations

from llmproxy.dialects.chat import CODEC, DIALECT
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Reply
from llmproxy.dialects.reply_events import collect, events_of


def test_it_bears_the_name_of_its_dialect() -> None:
    assert CODEC.name == DIALECT.name
    assert CODEC.decode_request({"model": "m", "messages": []}).dialect == CODEC.name


def test_each_half_reads_what_the_other_writes() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    request = CODEC.decode_request(body)
    assert CODEC.encode_request(request, CODEC.context(request.dialect, Losses())) == body
    reply = CODEC.decode_response(
        b'{"id":"chatcmpl-1","model":"m","created":7,"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    )
    data = CODEC.stream_encoder(request).encode(events_of(reply), Losses())
    reader = CODEC.stream_decoder()
    again = collect([*reader.feed(data), *reader.close()])
    assert isinstance(again, Reply)
    losses = Losses()
    context = CODEC.context(reply.dialect, losses)
    assert CODEC.encode_response(again, request, context) == CODEC.encode_response(reply, request, context)
    assert losses.dropped == []


def test_images_go_by_url_and_documents_do_not() -> None:
    assert CODEC.takes_url == {"image", "video"}

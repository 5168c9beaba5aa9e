"""The messages codec as a whole."""

from __future__ import annotations

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.messages import CODEC
from llmproxy.dialects.model import Reply, Request, Text
from llmproxy.dialects.reply_events import events_of
from llmproxy.dialects.stream_events import Delta, Done, Open, Start, Stop


def test_it_says_what_its_providers_need() -> None:
    assert CODEC.name == "messages" and CODEC.needs_thinking("any") and CODEC.seal == "messages"
    assert (CODEC.key_header, CODEC.key_scheme) == ("x-api-key", "")
    assert CODEC.takes_url == {"image", "document"}


def test_each_stream_has_a_reader_and_a_writer_of_its_own() -> None:
    request = Request(dialect="messages", model="m")
    written = CODEC.stream_encoder(request).encode(
        events_of(Reply(id="msg_1", model="m", content=[Text(text="Hi")], stop="end")), Losses()
    )
    events = [*CODEC.stream_decoder().feed(written)]
    kinds = {type(event) for event in events}
    assert kinds >= {Start, Open, Delta, Stop, Done}
    assert [type(event) for event in CODEC.stream_decoder().feed(written)] == [type(event) for event in events]

"""The messages codec as a whole."""

from __future__ import annotations

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.messages import CODEC
from llmproxy.dialects.model import Delta, Done, Media, Open, Reply, Request, Start, Stop, Text, events_of


def test_it_says_what_its_providers_need() -> None:
    assert CODEC.name == "messages" and CODEC.needs_thoughts
    assert CODEC.credential("k") == ("x-api-key", "k")
    takes = [CODEC.takes_url(Media(kind=kind, url="https://a")) for kind in ("image", "document", "audio", "video")]
    assert takes == [True, True, False, False]


def test_each_stream_has_a_reader_and_a_writer_of_its_own() -> None:
    request = Request(dialect="messages", model="m")
    written = CODEC.stream_writer(request).write(
        events_of(Reply(id="msg_1", model="m", content=[Text(text="Hi")], stop="end")), Losses()
    )
    events = [*CODEC.stream_reader().feed(written)]
    kinds = {type(event) for event in events}
    assert kinds >= {Start, Open, Delta, Stop, Done}
    assert [type(event) for event in CODEC.stream_reader().feed(written)] == [type(event) for event in events]

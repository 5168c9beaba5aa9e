"""What answers of all dialects have in common."""

from __future__ import annotations

import pytest

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Media, Opaque, Text
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.response_fields import bare_id, decode_object, drop_stop_details, kind_of


@pytest.mark.parametrize("reply_id", ["chatcmpl-7", "msg_7", "resp_7", "chatcmpl-resp_7", "7"])
def test_an_id_is_bare_without_what_dialects_put_in_front(reply_id: str) -> None:
    assert bare_id(reply_id) == "7"


def test_an_id_keeps_what_stands_behind() -> None:
    assert bare_id("my-msg_7") == "my-msg_7" and bare_id("") == ""


def test_an_answer_is_an_object_without_an_error() -> None:
    assert decode_object(b'{"a":1}', "message", "a") == {"a": 1}
    with pytest.raises(BadReply, match="not a message: it is not a JSON object"):
        decode_object(b"[]", "message", "a")
    with pytest.raises(BadReply, match="answered with an error: Busy") as caught:
        decode_object(b'{"error":{"message":"Busy","type":"overloaded_error"}}', "message", "a")
    assert caught.value.status == 529


def test_blocks_are_called_by_their_kind() -> None:
    blocks: list[Block] = [Text(text="a"), Media(kind="audio"), Opaque(dialect="x", kind="search", value={})]
    assert [kind_of(block) for block in blocks] == ["text", "audio", "search"]


def test_what_a_finish_reason_cannot_say_is_dropped() -> None:
    losses = Losses()
    drop_stop_details(losses, "pause", "END")
    drop_stop_details(losses, "end", None)
    assert losses.dropped == ["reply.stop_sequence", "reply.stop.pause"]

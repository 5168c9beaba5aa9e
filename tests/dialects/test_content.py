"""What all dialects have in common in the content of a message."""

from __future__ import annotations

import pytest

from llmproxy.dialects.content import PartDecoders, decode_parts, only_texts
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Opaque, Refusal, Text
from llmproxy.errors import BadRequest


def _decode_word(part: Members) -> Block:
    return Text(path=part.path, text=part.needed_text("word"))


DECODERS: PartDecoders = {"word": _decode_word}


def decode(content: object) -> list[Block]:
    return decode_parts(content, "p", DECODERS, "x")


def test_a_string_is_one_text_and_parts_know_their_path() -> None:
    assert decode("a") == [Text(path="p", text="a")]
    assert decode([{"type": "word", "word": "a"}]) == [Text(path="p[0]", text="a")]


def test_a_part_of_another_type_stays_as_it_is() -> None:
    part = {"type": "y", "z": 1}
    assert decode([part]) == [Opaque(path="p[0]", dialect="x", kind="y", value=part)]


@pytest.mark.parametrize(("content", "message"), [(None, "p is missing"), (5, "p must be a string or an array")])
def test_anything_else_is_refused(content: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        decode(content)


def test_where_only_text_may_stand_other_blocks_are_refused() -> None:
    text = Text(text="a")
    assert only_texts([text]) == [text]
    with pytest.raises(BadRequest, match="p must be text"):
        only_texts([text, Refusal(path="p", text="no")])

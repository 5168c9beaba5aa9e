"""What all dialects have in common in the content of a message."""

from __future__ import annotations

import pytest

from llmproxy.dialects.content import decode_parts, only_texts
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Refusal, Text
from llmproxy.errors import BadRequest


def decode(part: Members) -> Block:
    return Text(path=part.path, text=part.needed_text("text"))


def test_a_string_is_one_text_and_parts_know_their_path() -> None:
    assert decode_parts("a", "p", decode) == [Text(path="p", text="a")]
    assert decode_parts([{"text": "a"}], "p", decode) == [Text(path="p[0]", text="a")]


@pytest.mark.parametrize(("content", "message"), [(None, "p is missing"), (5, "p must be a string or an array")])
def test_anything_else_is_refused(content: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        decode_parts(content, "p", decode)


def test_where_only_text_may_stand_other_blocks_are_refused() -> None:
    text = Text(text="a")
    assert only_texts([text]) == [text]
    with pytest.raises(BadRequest, match="p must be text"):
        only_texts([text, Refusal(path="p", text="no")])

"""Documents to cite, and places in them, between the two dialects that have them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.cited_documents import place_of, put_document_options
from llmproxy.dialects.converse.citations import decode_citation as read_converse
from llmproxy.dialects.converse.citations import encode_link as write_converse
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import decode_citation as read_messages
from llmproxy.dialects.messages.response_encode import encode_link as write_messages
from llmproxy.dialects.model import Media, Place


@pytest.mark.parametrize(
    ("converse", "messages"),
    [
        ("documentChar", ("char_location", "start_char_index", "end_char_index")),
        ("documentPage", ("page_location", "start_page_number", "end_page_number")),
        ("documentChunk", ("content_block_location", "start_block_index", "end_block_index")),
    ],
)
def test_places_are_the_same_in_both(converse: str, messages: tuple[str, str, str]) -> None:
    kind, start, end = messages
    part = {"documentIndex": 1, "start": 2, "end": 5}
    theirs: dict[str, Any] = {"title": "T", "sourceContent": [{"text": "q"}], "location": {converse: part}}
    names = {"document_index": 1, start: 2, end: 5, "file_id": None}
    ours = {"type": kind, "cited_text": "q", "document_title": "T", **names}
    losses = Losses()
    assert write_messages(read_converse(Members(theirs, "p")), losses) == ours
    assert write_converse(read_messages(Members(ours, "p")), losses) == theirs
    assert losses.dropped == []


def test_half_a_place_is_none() -> None:
    assert place_of("pages", {"d": 0, "s": True, "e": 2}, "d", "s", "e") is None
    assert place_of(None, {"d": 0, "s": 1, "e": 2}, "d", "s", "e") is None
    assert place_of("pages", {"d": 0, "s": 1, "e": 2}, "d", "s", "e") == Place(kind="pages", document=0, start=1, end=2)


@pytest.mark.parametrize(
    ("extra", "written", "left"),
    [
        (
            {"citations": {"enabled": True}, "context": "c", "new": 1},
            {"citations": {"enabled": True}, "context": "c"},
            {"new": 1},
        ),
        ({"citations": {"enabled": 1}, "context": None}, {}, {"citations": {"enabled": 1}, "context": None}),
    ],
)
def test_options_are_carried_as_far_as_they_are_such(
    extra: dict[str, Any], written: dict[str, Any], left: dict[str, Any]
) -> None:
    block: dict[str, Any] = {}
    media = Media(kind="document", text="t", extra=extra)
    assert put_document_options(block, media, EncodeContext(losses=Losses())).extra == left and block == written
    image = Media(kind="image", data="", extra=extra)
    assert put_document_options({}, image, EncodeContext(losses=Losses())) is image

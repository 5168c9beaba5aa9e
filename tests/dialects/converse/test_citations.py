"""Citations, both ways."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.converse.citations import decode_citation, encode_citation, encode_link
from llmproxy.dialects.converse.content import decode_block
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Citation, Text

WEB: dict[str, Any] = {
    "title": "Wikipedia",
    "source": "x",
    "sourceContent": [{"text": "born "}, {"text": "1916"}],
    "location": {"web": {"url": "https://en.wikipedia.org", "domain": "wikipedia.org"}},
}
CHARS: dict[str, Any] = {"location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 5}}}


def test_a_link_is_read_with_its_quote() -> None:
    citation = decode_citation(Members(WEB, "p"))
    assert (citation.url, citation.title, citation.quote) == ("https://en.wikipedia.org", "Wikipedia", "born 1916")
    assert encode_citation(citation) == {**WEB, "sourceContent": [{"text": "born 1916"}]}


def test_a_place_in_a_document_goes_back_as_it_was() -> None:
    citation = decode_citation(Members(CHARS, "p"))
    assert encode_link(citation, Losses()) == encode_citation(citation) == CHARS


def test_a_text_with_citations_is_one_text() -> None:
    block = {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [WEB]}}
    text = decode_block(Members(block, "p"))
    assert isinstance(text, Text) and text.text == "ab" and len(text.annotations) == 1


def test_citations_of_others_are_links_without_their_place() -> None:
    losses = Losses()
    link = encode_link(Citation(url="https://x", title="X", start=1, end=2, extra={"type": "url"}), losses)
    assert link == {"title": "X", "location": {"web": {"url": "https://x"}}}
    assert losses.dropped == ["type", "reply.citation.position"]
    assert encode_link(Citation(file_id="f"), losses) is None and losses.dropped[-1] == "reply.citation"

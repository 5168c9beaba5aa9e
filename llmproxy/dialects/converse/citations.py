"""Texts with citations. Source: the shapes `CitationsContentBlock`, `Citation` and `CitationLocation`.

Offsets in a location are places in a document, not in the text that cites, so they stay in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.cited_documents import place_of
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.extra import Inner, put_back
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Citation, Place, PlaceKind, Text

_PLACES: Mapping[str, PlaceKind] = {
    "documentChar": "characters",
    "documentPage": "pages",
    "documentChunk": "chunks",
}
_OWN = {"location", "source"}
"""What only converse says of a citation."""


def decode_citations(block: Members) -> Block:
    """Return a text with its citations."""
    cited = Members(block.rest["citationsContent"], block.at("citationsContent"))
    texts = [each.needed_text("text") for each in cited.objects("content")]
    citations = [decode_citation(each) for each in cited.objects("citations")]
    return Text(path=cited.path, text="".join(texts), annotations=citations, extra=cited.left())


def decode_citation(citation: Members) -> Citation:
    """Return one of `citations`, or the citation in a delta."""
    quotes = [each.needed_text("text") for each in citation.objects("sourceContent")]
    decoded = Citation(path=citation.path, title=citation.text("title"), quote="".join(quotes) or None)
    location = citation.inner("location")
    web = None if location is None else location.inner("web")
    if web is not None:
        decoded.url = web.text("url")
    decoded.extra = citation.left()
    if location is not None:
        rest = location.left()
        decoded.place = _place(rest)
        if web is not None and (more := web.left()):
            rest["web"] = Inner(more)
        if rest:
            decoded.extra["location"] = Inner(rest)
    return decoded


def _place(location: dict[str, Any]) -> Place | None:
    name = next((name for name in _PLACES if isinstance(location.get(name), dict)), None)
    return None if name is None else place_of(_PLACES[name], location[name], "documentIndex", "start", "end")


def encode_citation(citation: Citation) -> dict[str, Any]:
    """Return one of `citations`, as it stood."""
    members: dict[str, Any] = {}
    if citation.title is not None:
        members["title"] = citation.title
    if citation.quote is not None:
        members["sourceContent"] = [{"text": citation.quote}]
    if citation.url is not None:
        members["location"] = {"web": {"url": citation.url}}
    put_back(members, citation.extra)
    return members


def encode_link(citation: Citation, losses: Losses) -> dict[str, Any] | None:
    """Return a citation for an answer; one of another dialect as a link, without its position in the text."""
    if citation.extra and citation.extra.keys() <= _OWN:
        return encode_citation(citation)
    place = citation.place
    if place is not None:
        encoded = encode_citation(Citation(title=citation.title, quote=citation.quote))
        name = next(name for name, kind in _PLACES.items() if kind == place.kind)
        part = {"documentIndex": place.document, "start": place.start, "end": place.end}
        return {**encoded, "location": {name: part}}
    losses.drop_extra(citation)
    if citation.url is None and citation.title is None and citation.quote is None:
        losses.drop("reply.citation")
        return None
    if citation.start is not None or citation.end is not None:
        losses.drop("reply.citation.position")
    return encode_citation(Citation(url=citation.url, title=citation.title, quote=citation.quote))

"""Where the text of an answer comes from: `groundingMetadata` and `citationMetadata`, as citations.

Their offsets count bytes of UTF-8. Source: `google.genai.types.GroundingMetadata`, `Segment` and `Citation`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.lenient_json import object_of, objects, string
from llmproxy.dialects.model import Citation

GROUNDING, CITED = "groundingMetadata", "citationMetadata"


def decode_citations(candidate: dict[str, Any], text: str) -> list[Citation]:
    """Return the citations of `text`, which is the whole text of a candidate."""
    grounding = object_of(candidate.get(GROUNDING))
    chunks = grounding.get("groundingChunks")
    sources = [_source(each) for each in chunks] if isinstance(chunks, list) else []
    found = [
        _cite(source, object_of(support.get("segment")), text)
        for support in objects(grounding.get("groundingSupports"))
        for source in _named(support.get("groundingChunkIndices"), sources)
    ]
    found += [
        _cite({"uri": each.get("uri"), "title": each.get("title")}, each, text)
        for each in objects(object_of(candidate.get(CITED)).get("citations"))
        if string(each.get("uri"))
    ]
    return found


def _source(chunk: object) -> dict[str, Any]:
    """Return what a chunk says of its source: a page, a place on a map, a document."""
    kinds = object_of(chunk)
    return next((value for value in kinds.values() if isinstance(value, dict)), {})


def _named(indices: object, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    places = [each for each in indices if type(each) is int] if isinstance(indices, list) else []
    return [sources[place] for place in places if 0 <= place < len(sources) and string(sources[place].get("uri"))]


def _cite(source: dict[str, Any], segment: dict[str, Any], text: str) -> Citation:
    end = segment.get("endIndex")
    start = segment.get("startIndex") or 0  # JSON of protocol buffers leaves zeros out
    known = type(end) is int and type(start) is int
    return Citation(
        path="reply.citation",
        url=string(source.get("uri")),
        title=string(source.get("title")),
        start=_characters(text, start) if known else None,
        end=_characters(text, end) if known and type(end) is int else None,
    )


def _characters(text: str, offset: int) -> int:
    """Return how many characters the first `offset` bytes of a text are."""
    if text.isascii():
        return offset
    return len(text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore"))


def encode_citations(citations: list[Citation], text: str, base: int = 0) -> dict[str, Any]:
    """Return the members of a candidate that cite; `base` is how many bytes stand before `text`."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for citation in citations:
        if citation.url is None:
            continue
        web = {"uri": citation.url} | ({"title": citation.title} if citation.title else {})
        if {"web": web} not in chunks:
            chunks.append({"web": web})
        if citation.start is not None and citation.end is not None:
            begin, end = (base + len(text[:at].encode("utf-8", "replace")) for at in (citation.start, citation.end))
            segment = {"startIndex": begin, "endIndex": end, "text": text[citation.start : citation.end]}
            supports.append({"segment": segment, "groundingChunkIndices": [chunks.index({"web": web})]})
    if not chunks:
        return {}
    grounding: dict[str, Any] = {"groundingChunks": chunks}
    if supports:
        grounding["groundingSupports"] = supports
    return {GROUNDING: grounding}

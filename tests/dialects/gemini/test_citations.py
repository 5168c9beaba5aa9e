"""Where an answer comes from."""

from __future__ import annotations

from llmproxy.dialects.gemini.citations import decode_citations, encode_citations
from llmproxy.dialects.model import Citation

TEXT = "Größe: 3 m. Alt."
GROUNDING = {
    "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}, {"web": {"title": "no address"}}, 5],
    "groundingSupports": [
        {"segment": {"endIndex": 13, "text": "Größe: 3 m."}, "groundingChunkIndices": [0, 1, 9, "x"]},
        {"segment": {}, "groundingChunkIndices": [0]},
        {"groundingChunkIndices": "0"},
    ],
}


def test_offsets_are_characters_here_and_bytes_there() -> None:
    first, second = decode_citations({"groundingMetadata": GROUNDING}, TEXT)
    assert (first.url, first.title, first.start, first.end) == ("https://a.example", "A", 0, 11)
    assert TEXT[first.start : first.end] == "Größe: 3 m."
    assert (second.url, second.start, second.end) == ("https://a.example", None, None)
    written = encode_citations([first], TEXT)["groundingMetadata"]
    assert written["groundingChunks"] == GROUNDING["groundingChunks"][:1]
    assert written["groundingSupports"] == [
        {"segment": {"startIndex": 0, "endIndex": 13, "text": "Größe: 3 m."}, "groundingChunkIndices": [0]}
    ]


def test_recited_texts_are_cited_too() -> None:
    cited = {
        "citations": [{"startIndex": 2, "endIndex": 5, "uri": "https://b.example", "title": "B"}, {"license": "mit"}]
    }
    [citation] = decode_citations({"citationMetadata": cited}, "abcdef")
    assert (citation.url, citation.start, citation.end) == ("https://b.example", 2, 5)


def test_what_has_no_address_is_not_written() -> None:
    assert encode_citations([Citation(title="A book")], "x") == {}
    assert decode_citations({"groundingMetadata": [], "citationMetadata": {"citations": 5}}, "x") == []

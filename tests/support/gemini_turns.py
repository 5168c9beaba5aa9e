"""Answers of a model in the dialect of Google, plain and in chunks; `scripted_turns` has the others.

`SpokenTurn.signature` signs the first call of the turn, or else the end of its text, as Gemini 3 does. Begin at
`gemini` and `gemini_chunks`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tests.support.scripted_turns import SpokenTurn
from tests.support.strict_gemini import chunk
from tests.support.vendors import CACHED, IN, OUT, REASONING

Json = dict[str, Any]
_FINISHES = {"": "STOP", "length": "MAX_TOKENS"}


def usage() -> Json:
    """Return the counts: cached tokens are part of the prompt, thoughts stand beside the candidates."""
    return {
        "promptTokenCount": IN,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUT - REASONING,
        "thoughtsTokenCount": REASONING,
        "totalTokenCount": IN + OUT,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": IN}],
    }


def gemini_calls(turn: SpokenTurn, *, ids: bool) -> list[Json]:
    """Return the calls, the first of them signed. Vertex names no `ids`."""
    parts: list[Json] = [
        {"functionCall": {**({"id": call.id} if ids else {}), "name": call.name, "args": call.input}}
        for call in turn.calls
    ]
    if parts and turn.signature:
        parts[0]["thoughtSignature"] = turn.signature
    return parts


def gemini(model: str, turn: SpokenTurn, *, shown: bool, ids: bool) -> Json:
    """Return the whole answer; with its thoughts where they are `shown`."""
    parts: list[Json] = [{"text": turn.thinking, "thought": True}] if shown and turn.thinking else []
    if turn.text:
        signed = {"thoughtSignature": turn.signature} if turn.signature and not turn.calls else {}
        parts.append({"text": turn.text, **signed})
    parts += gemini_calls(turn, ids=ids)
    return _named(chunk(model, *parts, finish=_FINISHES[turn.stop], usageMetadata=usage()), turn)


def gemini_chunks(model: str, turn: SpokenTurn, *, shown: bool, ids: bool) -> list[Json]:
    """Return the same in chunks; each has the usage so far, the last one may have nothing else."""
    begun = {"promptTokenCount": IN, "totalTokenCount": IN}
    texts = _pieces(turn.text)
    said: list[Json] = [{"text": piece, "thought": True} for piece in _pieces(turn.thinking) if shown]
    said += [{"text": piece} for piece in texts]
    chunks = [chunk(model, part, usageMetadata=begun) for part in said]
    calls = gemini_calls(turn, ids=ids)
    if calls:
        chunks.append(chunk(model, *calls, usageMetadata=begun))
    signed = {"thoughtSignature": turn.signature} if turn.signature and not calls else {}
    chunks.append(chunk(model, {"text": "", **signed}, finish=_FINISHES[turn.stop], usageMetadata=usage()))
    return [_named(each, turn) for each in chunks]


def _named(answer: Json, turn: SpokenTurn) -> Json:
    return answer | {"responseId": hashlib.sha256(repr(turn).encode()).hexdigest()[:22]}


def _pieces(text: str, size: int = 9) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]

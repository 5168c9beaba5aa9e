"""The probabilities of tokens: `logprobsResult`, in the form that chat has, and back.

Source: `google.genai.types.LogprobsResult`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.lenient_json import object_of, objects


def decode_logprobs(value: object) -> list[Any] | None:
    """Return an entry for each token, with its alternatives; None where there are none."""
    result = object_of(value)
    chosen = objects(result.get("chosenCandidates"))
    top = objects(result.get("topCandidates"))
    if not chosen:
        return None
    return [
        {**_token(each), "top_logprobs": [_token(other) for other in objects(object_of(tops).get("candidates"))]}
        for each, tops in zip(chosen, [*top, *[None] * len(chosen)], strict=False)
    ]


def _token(candidate: dict[str, Any]) -> dict[str, Any]:
    token = candidate.get("token")
    text = token if isinstance(token, str) else ""
    number = candidate.get("logProbability")
    logprob = number if isinstance(number, int | float) else 0  # JSON of protocol buffers leaves zeros out
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def encode_logprobs(logprobs: list[Any]) -> dict[str, Any]:
    """Return the object `logprobsResult`."""
    entries = _tokens(logprobs)
    result: dict[str, Any] = {"chosenCandidates": [_candidate(each) for each in entries]}
    if any(each.get("top_logprobs") for each in entries):
        result["topCandidates"] = [
            {"candidates": [_candidate(other) for other in _tokens(each.get("top_logprobs"))]} for each in entries
        ]
    return result


def _tokens(value: object) -> list[dict[str, Any]]:
    """Return the tokens with their log probabilities; what is none is left out, as typed clients refuse it."""
    return [
        each for each in objects(value) if type(each.get("token")) is str and type(each.get("logprob")) in (int, float)
    ]


def _candidate(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry["token"], "logProbability": entry["logprob"]}

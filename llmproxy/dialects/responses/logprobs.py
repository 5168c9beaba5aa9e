"""Log probabilities of tokens: parts of messages have the bytes of each token, events of streams do not.

Source: the SDK's `response_output_text` and `response_text_delta_event`. What is no token with its log probability is
left out, as typed clients refuse it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

_Token: TypeAlias = dict[str, Any]


def with_bytes(logprobs: list[Any]) -> list[Any]:
    """Return `logprobs` with the bytes of each token; where they are missing, those of its text."""
    return _changed(logprobs, _add_bytes)


def without_bytes(logprobs: list[Any]) -> list[Any]:
    """Return `logprobs` without the bytes of tokens."""
    return _changed(logprobs, _remove_bytes)


def _changed(logprobs: list[Any], change: Callable[[_Token], _Token]) -> list[Any]:
    changed = []
    for each in logprobs:
        if _is_token(each):
            others = each.get("top_logprobs")
            top = [change(other) for other in others if _is_token(other)] if isinstance(others, list) else []
            changed.append({**change(each), "top_logprobs": top})
    return changed


def _is_token(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("token")) is str and type(value.get("logprob")) in (float, int)


def _add_bytes(token: _Token) -> _Token:
    numbers = token.get("bytes")
    if isinstance(numbers, list) and all(type(each) is int for each in numbers):
        return token
    return {**token, "bytes": list(token["token"].encode("utf-8", "surrogatepass"))}


def _remove_bytes(token: _Token) -> _Token:
    return {name: value for name, value in token.items() if name != "bytes"}

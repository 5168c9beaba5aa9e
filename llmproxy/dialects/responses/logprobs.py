"""How likely tokens were: parts of messages spell each token out in bytes, events of streams do not.

Source: the SDK's `response_output_text` and `response_text_delta_event`. What is no token with its likelihood is left
out, as typed clients refuse it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

_Likely: TypeAlias = dict[str, Any]


def spelled(logprobs: list[Any]) -> list[Any]:
    """`logprobs` with the bytes of each token; where they are not said, those of its text."""
    return _changed(logprobs, _spelled)


def unspelled(logprobs: list[Any]) -> list[Any]:
    """`logprobs` without bytes."""
    return _changed(logprobs, _unspelled)


def _changed(logprobs: list[Any], change: Callable[[_Likely], _Likely]) -> list[Any]:
    changed = []
    for each in logprobs:
        if _likely(each):
            others = each.get("top_logprobs")
            told = [change(other) for other in others if _likely(other)] if isinstance(others, list) else []
            changed.append({**change(each), "top_logprobs": told})
    return changed


def _likely(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("token")) is str and type(value.get("logprob")) in (float, int)


def _spelled(likely: _Likely) -> _Likely:
    spelling = likely.get("bytes")
    if isinstance(spelling, list) and all(type(each) is int for each in spelling):
        return likely
    return {**likely, "bytes": list(likely["token"].encode("utf-8", "surrogatepass"))}


def _unspelled(likely: _Likely) -> _Likely:
    return {name: value for name, value in likely.items() if name != "bytes"}

"""Calls whose arguments are streamed in pieces, joined into whole ones.

A piece names a place in the arguments by a JSONPath (RFC 9535); texts may go on in the next one. Vertex sends them
where a request has `streamFunctionCallArguments`. Source: `google.genai.types.FunctionCall` and `PartialArg`. Begin
reading at `PartialCalls.join`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from llmproxy.dialects.lenient_json import object_of, objects, string
from llmproxy.errors import BadRequest

Part = dict[str, Any]

_CALL = "functionCall"
_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_DEEPEST = 64


class PartialCalls:
    """Joins the parts of one candidate, chunk by chunk. `_part` is the call that goes on, `_texts` its open texts."""

    def __init__(self) -> None:
        self._part: Part | None = None
        self._texts: dict[str, list[str]] = {}

    def join(self, parts: Sequence[Any]) -> list[Any]:
        """Return the parts of a chunk with whole calls; what goes on is kept. Raises BadRequest for an unreadable
        place."""
        whole: list[Any] = []
        for part in parts:
            call = object_of(object_of(part).get(_CALL))
            if not call and (self._part is None or _CALL not in object_of(part)):
                whole.append(part)
                continue
            if self._part is not None and call.get("name"):
                whole += self.rest()
            if self._part is None and not (call.get("partialArgs") or call.get("willContinue")):
                whole.append(part)
                continue
            self._add(part, call)
            if not call.get("willContinue"):
                whole += self.rest()
        return whole

    def rest(self) -> list[Part]:
        """Return the call that was to go on, as far as it came."""
        part, self._part = self._part, None
        if part is None:
            return []
        for path, pieces in self._texts.items():
            _put(part[_CALL]["args"], path, "".join(pieces))
        self._texts.clear()
        return [part]

    def _add(self, part: Part, call: dict[str, Any]) -> None:
        if self._part is None:
            self._part = {_CALL: {"args": {}}}
        joined = self._part[_CALL]
        self._part |= {name: value for name, value in part.items() if name != _CALL}
        joined |= {name: value for name, value in call.items() if name not in ("args", "partialArgs", "willContinue")}
        joined["args"] |= object_of(call.get("args"))
        for piece in objects(call.get("partialArgs")):
            self._put(joined["args"], piece)

    def _put(self, arguments: dict[str, Any], piece: dict[str, Any]) -> None:
        """Put the value of one piece in its place. Texts that go on are joined at their end: a text of a megabyte may
        come in a hundred thousand pieces."""
        path, value = string(piece.get("jsonPath")) or "", _value(piece)
        more = bool(piece.get("willContinue"))
        if isinstance(value, str) and (more or path in self._texts):
            pieces = self._texts.setdefault(path, [])
            if not pieces:
                _put(arguments, path, "")  # its place among the others
            pieces.append(value)
            if more:
                return
            value = "".join(self._texts.pop(path))
        _put(arguments, path, value)


def _put(arguments: dict[str, Any], path: str, value: Any) -> None:
    """Put a value where `path` leads. Raises BadRequest."""
    steps = _steps(path)
    holder: Any = arguments
    for step, following in pairwise(steps):
        holder = _inner(holder, step, [] if isinstance(following, int) else {})
    last = steps[-1]
    if isinstance(holder, list):
        if isinstance(last, int) and last < len(holder):
            holder[last] = value
        else:
            holder.append(value)
    elif isinstance(holder, dict):
        holder[str(last)] = value


def _value(piece: dict[str, Any]) -> Any:
    if "numberValue" in piece:
        number = piece["numberValue"]
        return int(number) if isinstance(number, float) and number.is_integer() else number
    return next((piece[name] for name in ("stringValue", "boolValue") if name in piece), None)


def _steps(path: str) -> list[str | int]:
    """Return the members and indices of a JSONPath. Raises BadRequest."""
    steps: list[str | int] = []
    at = 1
    while at < len(path) and len(steps) < _DEEPEST:
        match = _STEP.match(path, at)
        if match is None:
            break
        steps.append(_step(match))
        at = match.end()
    if path[:1] != "$" or at < len(path) or not steps:
        raise BadRequest(f"the place of a partial argument is unreadable: {path[:100]!r}")
    return steps


def _step(match: re.Match[str]) -> str | int:
    member, index, single, double = match.groups()
    if index is not None:
        return int(index)
    if member is not None:
        return member
    quoted = double if double is not None else single.replace("\\'", "'").replace('"', '\\"')
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        return quoted


def _inner(holder: Any, step: str | int, new: Any) -> Any:
    """Return what stands at a step, made where there is nothing."""
    if isinstance(holder, list):
        if not isinstance(step, int) or step >= len(holder):
            holder.append(new)
            return new
        return holder[step]
    return holder.setdefault(str(step), new) if isinstance(holder, dict) else new

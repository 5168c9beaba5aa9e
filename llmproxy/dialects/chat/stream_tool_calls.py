"""Which tool call a streamed piece belongs to: services number and name their calls in many ways.

OpenAI sends an index in each piece, and id and name in the first one alone. Others leave the index out, begin it anew
at 0 for each call, send no ids or empty ones, or repeat ids and names in each piece. Begin reading at `Calls.find`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.call_arguments import arguments_text
from llmproxy.dialects.lenient_json import Fields, Other, string
from llmproxy.wire.json import read_value


class Function(Fields):
    """The member `function` or `custom` of a piece."""

    name: Any = None
    arguments: Any = None
    input: Any = None


class ToolCallPiece(Fields):
    """One of `delta.tool_calls`."""

    index: Any = None
    id: Any = None
    function: Function | Other = None
    custom: Function | Other = None
    extra_content: Any = None
    type: Any = None


def _is_custom(piece: ToolCallPiece) -> bool:
    """Return whether a piece is of a custom tool: by its type, else by the member that holds something, as some
    services send both."""
    if type(piece.custom) is not Function or piece.type == "function":
        return False
    return (
        type(piece.function) is not Function or piece.type == "custom" or bool(piece.custom.name or piece.custom.input)
    )


@dataclass(slots=True, eq=False)
class PartialCall:
    """A call as far as it came. `id` is the service's own; `block` is its index in the neutral stream, None until its
    name is known."""

    id: str | None
    custom: bool
    name: str | None = None
    block: int | None = None
    pieces: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Return whether the arguments so far are a JSON object."""
        return not self.custom and isinstance(read_value("".join(self.pieces).encode("utf-8", "replace")), dict)

    def begins_again(self, name: str | None) -> bool:
        """Return whether a piece with `name` is the first one of another call."""
        return name is not None and self.name is not None and (name != self.name or self.is_whole())


class Calls:
    """The calls of one stream."""

    __slots__ = ("_by_id", "_by_index", "all")

    def __init__(self) -> None:
        self.all: list[PartialCall] = []
        self._by_index: dict[int, PartialCall] = {}
        self._by_id: dict[str, PartialCall] = {}

    def find(self, piece: ToolCallPiece) -> tuple[PartialCall, str]:
        """Return the call that `piece` belongs to, with its name set, and the arguments that `piece` adds."""
        custom = _is_custom(piece)
        inner = piece.custom if custom else piece.function
        call_id, name, arguments = string(piece.id), None, ""
        if isinstance(inner, Function):
            name = string(inner.name)
            arguments = arguments_text(inner.input if custom else inner.arguments)
        index = piece.index if type(piece.index) is int else None
        call = self._find(index, call_id, name)
        if call is None:
            call = PartialCall(call_id, custom)
            self.all.append(call)
            if call_id is not None:
                self._by_id[call_id] = call
        if index is not None:
            self._by_index[index] = call
        call.name = call.name or name
        if arguments:
            call.pieces.append(arguments)
        return call, arguments

    def _find(self, index: int | None, call_id: str | None, name: str | None) -> PartialCall | None:
        by_id = self._by_id.get(call_id) if call_id is not None else None
        if index is None:
            if call_id is not None:
                return by_id if by_id or name else self._last()
            last = self._last()
            return None if last is None or last.begins_again(name) else last
        by_index = self._by_index.get(index)
        if by_index is None:
            # An id that another index has already and that comes with a name is used twice by the service.
            return by_id if name is None else None
        if call_id is None or by_index.id is None:
            return None if by_index.begins_again(name) else by_index
        if call_id == by_index.id:
            return by_index
        if by_id is not None or name is not None:
            return by_id
        return by_index

    def _last(self) -> PartialCall | None:
        return self.all[-1] if self.all else None

"""Which tool call a streamed piece belongs to: services number and name their calls in many ways.

OpenAI gives an index in each piece, and id and name in the first one alone. Others leave the index out, begin it anew
at 0 for each call, send no ids or empty ones, or repeat ids and names in each piece. Begin reading at `Calls.find`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.chat.request_messages import read_arguments
from llmproxy.dialects.lenient_json import Fields, Other, string
from llmproxy.wire.json import read_value


class Function(Fields):
    """What a piece says of a function or of a free-form tool."""

    name: Any = None
    arguments: Any = None
    input: Any = None


class Piece(Fields):
    """One of `delta.tool_calls`."""

    index: Any = None
    id: Any = None
    function: Function | Other = None
    custom: Function | Other = None
    extra_content: Any = None


@dataclass(slots=True, eq=False)
class Call:
    """A call as far as it came. `block` is its index in the neutral stream, None until its name is known."""

    given_id: str | None
    custom: bool
    name: str | None = None
    block: int | None = None
    pieces: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Whether the arguments so far are a JSON object."""
        return not self.custom and isinstance(read_value("".join(self.pieces).encode("utf-8", "replace")), dict)

    def begins_again(self, name: str | None) -> bool:
        """Whether a piece with `name` is the first one of another call."""
        return name is not None and self.name is not None and (name != self.name or self.is_whole())


class Calls:
    """The calls of one stream."""

    __slots__ = ("_by_id", "_by_index", "all")

    def __init__(self) -> None:
        self.all: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}

    def find(self, piece: Piece) -> tuple[Call, str]:
        """The call that `piece` belongs to, its name noted, and the arguments that `piece` adds."""
        custom = isinstance(piece.custom, Function)
        said = piece.custom if custom else piece.function
        given_id, name, arguments = string(piece.id), None, ""
        if isinstance(said, Function):
            name = string(said.name)
            arguments = read_arguments(said.input if custom else said.arguments)
        index = piece.index if type(piece.index) is int else None
        call = self._known(index, given_id, name)
        if call is None:
            call = Call(given_id, custom)
            self.all.append(call)
            if given_id is not None:
                self._by_id[given_id] = call
        if index is not None:
            self._by_index[index] = call
        call.name = call.name or name
        if arguments:
            call.pieces.append(arguments)
        return call, arguments

    def _known(self, index: int | None, given_id: str | None, name: str | None) -> Call | None:
        by_id = self._by_id.get(given_id) if given_id is not None else None
        if index is None:
            if given_id is not None:
                return by_id if by_id or name else self._last()
            last = self._last()
            return None if last is None or last.begins_again(name) else last
        by_index = self._by_index.get(index)
        if by_index is None:
            # An id that another index has already and that comes with a name is one that was given twice.
            return by_id if name is None else None
        if given_id is None or by_index.given_id is None:
            return None if by_index.begins_again(name) else by_index
        if given_id == by_index.given_id:
            return by_index
        if by_id is not None or name is not None:
            return by_id
        return by_index

    def _last(self) -> Call | None:
        return self.all[-1] if self.all else None

"""JSON paths in the client's own `input`, when that continues an earlier conversation.

The model gets the earlier items and then the client's; paths in refusals and losses must be those of the client's body.
Begin reading at `InputPaths.correct`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmproxy.dialects.model import Block, Node, Request, Text, ToolResult
from llmproxy.errors import BadRequest

_ITEM = re.compile(r"input\[([0-9]+)\](.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPaths:
    """The first `earlier` items come from an earlier conversation, which the client named in its member `source`. With
    `whole` its own input is a string."""

    earlier: int
    source: str
    whole: bool = False

    def of(self, path: str) -> str:
        """Return the path in the client's body for a `path` of the joined input."""
        match = _ITEM.fullmatch(path)
        if match is None:
            return path
        number = int(match[1]) - self.earlier
        if number < 0:
            return self.source
        return "input" if self.whole else f"input[{number}]{match[2]}"

    def correct(self, request: Request) -> None:
        """Put the client's paths into every node of `request`."""
        for node in _nodes(request):
            node.path = self.of(node.path)

    def correct_error(self, error: BadRequest) -> BadRequest:
        """Return an error about the input with the client's path."""
        if error.param is None:
            return error
        param = self.of(error.param)
        message = param + error.message.removeprefix(error.param) if error.message.startswith(error.param) else None
        return BadRequest(message or error.message, status=error.status, code=error.code, param=param)


def _nodes(request: Request) -> Iterator[Node]:
    for instruction in request.system:
        yield instruction
        yield from _inside(instruction.content)
    for message in request.messages:
        yield message
        yield from _inside(message.content)


def _inside(blocks: Sequence[Block]) -> Iterator[Node]:
    for block in blocks:
        yield block
        if isinstance(block, ToolResult):
            yield from _inside(block.content)
        elif isinstance(block, Text):
            yield from block.annotations

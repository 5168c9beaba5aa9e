"""Where things stand in the client's own `input`, when that was continued from what was said earlier.

The model gets the earlier items and then the client's; paths in refusals and losses must speak of what the client sent.
Begin reading at `Places.correct`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmproxy.dialects.model import Block, Node, Request, Text, ToolResult
from llmproxy.errors import BadRequest

_ITEM = re.compile(r"input\[([0-9]+)\](.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`earlier` items stand in front of the client's, for which `source` is the member that it named them by. `whole`
    says that its own input is a string."""

    earlier: int
    source: str
    whole: bool = False

    def of(self, path: str) -> str:
        """The client's name for what stands at `path` of the input that was put together."""
        found = _ITEM.fullmatch(path)
        if found is None:
            return path
        number = int(found[1]) - self.earlier
        if number < 0:
            return self.source
        return "input" if self.whole else f"input[{number}]{found[2]}"

    def correct(self, request: Request) -> None:
        """Put the client's paths into every node of `request`."""
        for node in _nodes(request):
            node.path = self.of(node.path)

    def correct_error(self, error: BadRequest) -> BadRequest:
        """What is wrong with the input, at its place in the client's."""
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

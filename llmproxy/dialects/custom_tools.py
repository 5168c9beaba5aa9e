"""Custom tools where a dialect has none: the model writes their text as the one argument of a function.

Encoders describe such a tool by `SCHEMA`; its calls are turned back into custom calls, in a stream once the call is
whole, as its text stands in JSON until then.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.model import Block, Request, Tool, ToolCall, client_tools
from llmproxy.dialects.stream_events import Close, Delta, Event, Open
from llmproxy.wire.json import read_value, write_value

INPUT = "input"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT]}


class CustomCalls:
    """Restores the calls of the custom tools of `request`, in one reply or stream."""

    def __init__(self, request: Request) -> None:
        self._names = {(tool.namespace, tool.name) for tool in client_tools(request) if tool.custom}
        self._open: dict[int, list[str]] = {}

    def needed(self) -> bool:
        """Return whether there are such tools."""
        return bool(self._names)

    def restore(self, content: list[Block]) -> list[Block]:
        """Return the blocks of a whole reply, with custom calls."""
        if not self._names:
            return content
        return [
            msgspec.structs.replace(block, custom=True, arguments=_text(block.arguments))
            if isinstance(block, ToolCall) and self._is_wrapped(block)
            else block
            for block in content
        ]

    def restore_event(self, event: Event) -> list[Event]:
        """Return the events that stand for one event of a stream."""
        if isinstance(event, Open) and isinstance(event.block, ToolCall) and self._is_wrapped(event.block):
            self._open[event.index] = [event.block.arguments]
            return [Open(index=event.index, block=msgspec.structs.replace(event.block, custom=True, arguments=""))]
        if isinstance(event, Delta) and event.index in self._open:
            self._open[event.index].append(event.text)
            return []
        if isinstance(event, Close) and event.index in self._open:
            return [Delta(index=event.index, text=_text("".join(self._open.pop(event.index)))), event]
        return [event]

    def _is_wrapped(self, call: ToolCall) -> bool:
        return not call.custom and (call.namespace, call.name) in self._names


def describe(tool: Tool) -> str | None:
    """Return the description of a custom tool for a service that does not know its grammar."""
    if tool.grammar is None:
        return tool.description
    definition = tool.grammar.get("definition")
    grammar = definition if isinstance(definition, str) else write_value(tool.grammar).decode()
    rule = f"The {INPUT} must follow this grammar:\n{grammar}"
    return f"{tool.description}\n\n{rule}" if tool.description else rule


def _text(arguments: str) -> str:
    """Return the text in a call's arguments; all of them if the model did not keep to the schema."""
    value = read_value(arguments.encode("utf-8", "surrogatepass"))
    if value == {}:
        return ""
    text = value.get(INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments

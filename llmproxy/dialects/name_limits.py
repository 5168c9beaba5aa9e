"""Names of users, calls and tools that a target accepts, in place of those that it refuses.

Names of users and calls become a digest. Tools keep the beginning of their names, which models read, and have their own
again in the answer. Begin reading at `ToolNames`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from llmproxy.dialects.model import Block, Message, Opaque, Request, Tool, ToolCall, ToolChoice, client_tools
from llmproxy.dialects.stream_events import Event, Open

MAX_USER = 64
"""The longest `user` that OpenAI accepts; coding agents send twice that to others."""
_DIGEST = 8
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]")
"""What the vendors refuse in the name of a tool."""


def shortened(name: str, longest: int, start: str = "") -> str:
    """Return `name`, or `start` and a digest of it where it is empty or has more than `longest` characters."""
    if 0 < len(name) <= longest:
        return name
    return start + _digest(name)[: longest - len(start)]


def nine_letters(call_id: str) -> str:
    """Return an id of a call, or another of nine ASCII letters and digits, always the same."""
    return call_id if _NINE.fullmatch(call_id) else _digest(call_id)[:9]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def flat_name(namespace: str | None, name: str) -> str:
    """Return one name for a tool and the namespace that it stands in."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


class _Identity(NamedTuple):
    """What tells a tool of the client apart from others."""

    namespace: str | None
    name: str
    kind: str | None


def _identity(tool: Tool | ToolCall) -> _Identity:
    return _Identity(tool.namespace, tool.name, tool.kind)


class ToolNames:
    """Names for one request's tools that a provider accepts which refuses more than `longest` characters, others than
    ASCII letters, digits, `_` and `-`, and namespaces."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._names: dict[_Identity, str] = {}
        self._originals: dict[str, _Identity] = {}
        self._taken: set[str] = set()

    def replace(self, request: Request) -> None:
        """Replace the tools of `request` that need that, the choice among them, and the calls in its messages.

        Tools of a namespace and those that have a form of their own become functions like others.
        """
        if request.tools or request.found_tools:
            self._fit_tools(request)
        if not self.accepts(request.messages):
            request.messages = [
                self._replace_calls(message) if message.role == "assistant" and self._has_refused(message) else message
                for message in request.messages
            ]

    def _fit_tools(self, request: Request) -> None:
        tools = list(client_tools(request))
        self._taken = {tool.name for tool in tools if not self._refused(tool)}
        if (
            request.found_tools
            or len(self._taken) < len(tools)
            or any([isinstance(tool, Opaque) and tool.tools for tool in request.tools])
        ):
            self._replace_tools(request, tools)

    def accepts(self, messages: Sequence[Message]) -> bool:
        """Return whether no call in `messages` needs another name."""
        return not any(
            [
                self._refused(block)
                for message in messages
                if message.role == "assistant"
                for block in message.content
                if type(block) is ToolCall
            ]
        )

    def needed(self) -> bool:
        """Return whether any name was replaced."""
        return bool(self._originals)

    def restore(self, content: Sequence[Block]) -> list[Block]:
        """Return the blocks of a reply with the client's names."""
        return [self._restore_block(block) for block in content]

    def restore_event(self, event: Event) -> Event:
        """Return an event of a stream with the client's names."""
        return Open(index=event.index, block=self._restore_block(event.block)) if isinstance(event, Open) else event

    def _refused(self, tool: Tool | ToolCall) -> bool:
        if tool.namespace or tool.kind is not None or len(tool.name) > self._longest:
            return True
        return _ALPHABET.fullmatch(tool.name) is None

    def _has_refused(self, message: Message) -> bool:
        return any([type(block) is ToolCall and self._refused(block) for block in message.content])

    def _replace_tools(self, request: Request, tools: Sequence[Tool]) -> None:
        functions: dict[str, Tool | Opaque] = {}
        for tool in tools:
            name = self._name(tool)
            functions.setdefault(name, msgspec.structs.replace(tool, name=name, namespace=None, kind=None))
        declared = (*request.tools, *request.found_tools)
        others = [tool for tool in declared if isinstance(tool, Opaque) and not tool.tools]
        request.tools, request.found_tools = [*functions.values(), *others], []
        choice = request.tool_choice
        if choice is not None:
            request.tool_choice = self._replace_choice(choice, tools)

    def _replace_choice(self, choice: ToolChoice, tools: Sequence[Tool]) -> ToolChoice:
        names: dict[str, str] = {}
        for tool in tools:
            names.setdefault(tool.name, self._name(tool))
        name = None if choice.name is None else names.get(choice.name, choice.name)
        allowed = None if choice.allowed is None else [names.get(each, each) for each in choice.allowed]
        return msgspec.structs.replace(choice, name=name, allowed=allowed)

    def _replace_calls(self, message: Message) -> Message:
        content: list[Block] = [
            msgspec.structs.replace(block, name=self._name(block), namespace=None, kind=None)
            if isinstance(block, ToolCall) and self._refused(block)
            else block
            for block in message.content
        ]
        return msgspec.structs.replace(message, content=content)

    def _name(self, tool: Tool | ToolCall) -> str:
        if not self._refused(tool):
            return tool.name
        identity = _identity(tool)
        name = self._names.get(identity)
        if name is None:
            name = self._names[identity] = self._new_name(flat_name(tool.namespace, tool.name))
            self._originals[name] = identity
            self._taken.add(name)
        return name

    def _new_name(self, flat: str) -> str:
        name = _OTHERS.sub("_", flat)
        start = name[: self._longest - _DIGEST - 1] + "_"
        if not 0 < len(name) <= self._longest:
            name = (
                shortened(flat, self._longest, start) if len(flat) > self._longest else start + _digest(flat)[:_DIGEST]
            )
        number = 0
        while name in self._taken:
            number += 1
            name = start + _digest(flat + "_" * number)[:_DIGEST]
        return name

    def _restore_block(self, block: Block) -> Block:
        if isinstance(block, ToolCall) and (original := self._originals.get(block.name)) is not None:
            namespace, name, kind = original
            return msgspec.structs.replace(block, name=name, namespace=namespace, kind=kind)
        return block

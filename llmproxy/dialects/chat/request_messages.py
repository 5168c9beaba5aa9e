"""Reading the messages of a chat request into system instructions and turns.

The legacy `function_call` and messages of role `function` are read as tool calls and results, whose ids are made up
from the place of the call. Begin reading at `Turns.read`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.content import read_content, read_texts
from llmproxy.dialects.chat.extras import nested_extra
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Instruction, Message, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from llmproxy.wire.json import write_value

THINKING = ("reasoning_content", "reasoning")
"""What services call the thinking in a message, the first one being the more common."""

SIGNATURE = "extra_content"
"""The member of a call that must come back with it."""


class Turns:
    """The conversation as far as it was read."""

    def __init__(self) -> None:
        self.system: list[Instruction] = []
        self.messages: list[Message] = []
        self._results: Message | None = None
        self._free_form: set[str] = set()
        self._functions: dict[str, str] = {}

    def read_plain(self, message: object, index: int) -> bool:
        """The next message, when it is what most are: a role, a text, and nothing more. 1 µs instead of 4."""
        if not isinstance(message, dict) or len(message) != 2:
            return False
        role, text = message.get("role"), message.get("content")
        if type(text) is not str or (role != "user" and (role != "assistant" or not text)):
            return False
        self._results = None
        path = f"messages[{index}]"
        content: list[Block] = [Text(path=f"{path}.content", text=text)]
        self.messages.append(Message(path=path, role=role, content=content))
        return True

    def read(self, message: Members) -> None:
        """The next message."""
        role = message.needed_text("role")
        if role in ("tool", "function"):
            self._read_result(message, role)
            return
        self._results = None
        if role == "user":
            content = read_content(message.any("content"), message.at("content"))
            self._add(Message(path=message.path, role="user", content=content, name=message.text("name")), message)
        elif role == "assistant":
            content = self._assistant(message)
            self._add(Message(path=message.path, role="assistant", content=content, name=message.text("name")), message)
        elif role == "system" or role == "developer":
            self._read_instruction(message, role)
        else:
            roles = "system, developer, user, assistant, tool, function"
            wrong(message.at("role"), f"must be one of {roles}, not {role[:50]!r}")

    def _add(self, turn: Message, rest: Members) -> None:
        turn.extra = rest.left()
        self.messages.append(turn)

    def _read_instruction(self, message: Members, role: Any) -> None:
        texts = read_texts(message.any("content"), message.at("content"))
        if not self.messages:
            self.system.append(Instruction(path=message.path, role=role, content=texts, extra=message.left()))
            return
        blocks: list[Block] = [*texts]
        self._add(Message(path=message.path, role=role, content=blocks, name=message.text("name")), message)

    def _read_result(self, message: Members, role: str) -> None:
        content = message.any("content")
        if role == "function":
            # A function may give back null, and is known by name alone.
            name = message.needed_text("name")
            call_id = self._functions.get(name) or _made_up(message.path)
            content = "" if content is None else content
        else:
            call_id = message.needed_text("tool_call_id")
        result = ToolResult(
            path=message.path,
            id=call_id,
            content=read_content(content, message.at("content")),
            custom=call_id in self._free_form,
            cache=message.any("cache_control"),
            extra=message.left(),
        )
        if self._results is None:
            self._results = Message(path=message.path, role="user", content=[])
            self.messages.append(self._results)
        self._results.content.append(result)

    def _assistant(self, message: Members) -> list[Block]:
        blocks = _thinking(message)
        content = message.any("content")
        if content is not None:
            blocks += read_content(content, message.at("content"))
        refusal = message.text("refusal")
        if refusal is not None:
            blocks.append(Refusal(path=message.at("refusal"), text=refusal))
        audio = message.object("audio")
        if audio is not None:
            blocks.append(Opaque(path=message.at("audio"), dialect="chat", kind="audio", value=audio))
        calls = self._calls(message)
        if not blocks and not calls and content is None:
            wrong(message.at("content"), "is missing")
        return [block for block in blocks if not (isinstance(block, Text) and not block.text and calls)] + calls

    def _calls(self, message: Members) -> list[Block]:
        calls = [read_call(call) for call in message.objects("tool_calls")]
        function = message.inner("function_call")
        if function is not None:
            call = ToolCall(
                path=function.path,
                id=_made_up(message.path),
                name=function.needed_text("name"),
                arguments=function.needed_text("arguments"),
                extra=function.left(),
            )
            self._functions[call.name] = call.id
            calls.append(call)
        for each in calls:
            if isinstance(each, ToolCall) and each.custom:
                self._free_form.add(each.id)
        return calls


def read_call(call: Members) -> Block:
    """One of `tool_calls`."""
    kind = call.text("type") or ("custom" if "custom" in call.rest else "function")
    if kind not in ("function", "custom"):
        return Opaque(path=call.path, dialect="chat", kind=kind, value={"type": kind, **call.rest})
    inner = Members(call.any(kind), call.at(kind))
    return ToolCall(
        path=call.path,
        id=call.needed_text("id"),
        name=inner.needed_text("name"),
        arguments=inner.needed_text("input" if kind == "custom" else "arguments"),
        custom=kind == "custom",
        cache=call.any("cache_control"),
        extra=nested_extra(call, inner),
    )


def _thinking(message: Members) -> list[Block]:
    """What an earlier answer thought, as clients of services that show it send it back."""
    for name in THINKING:
        value = message.rest.get(name)
        if value is not None and not isinstance(value, str):
            wrong(message.at(name), f"must be a string, not {name_of(value)}")
        if value:
            del message.rest[name]
            return [Thinking(path=message.at(name), text=value, dialect="chat", field=name)]
    return []


def _made_up(path: str) -> str:
    """An id for a call that has none, from the place of its message: letters and digits suit every dialect."""
    return "call_" + "".join(letter for letter in path if letter.isdigit())


def read_arguments(arguments: object) -> str:
    """The text of a call's arguments; some services send an object instead."""
    if isinstance(arguments, str):
        return arguments
    return write_value(arguments).decode() if isinstance(arguments, dict) else ""

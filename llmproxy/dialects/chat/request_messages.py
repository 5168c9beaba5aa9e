"""The messages of a chat request, decoded into instructions and turns, and encoded from them.

Source: the SDK's `chat_completion_message_param` types. The legacy `function_call` and messages of role `function` are
decoded as tool calls and results, whose ids are made up from the index of the message. Results carry text alone, so
other results of tools follow in a user message. Begin reading at `MessageDecoder.decode` and `encode_message`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from llmproxy.dialects.call_arguments import arguments_object, decode_arguments
from llmproxy.dialects.chat.content import decode_content, encode_content
from llmproxy.dialects.chat.tables import SIGNATURE, THINKING
from llmproxy.dialects.content import only_texts, opaque
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.function_tools import TOOL_KINDS
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import (
    Block,
    Instruction,
    Media,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.name_limits import nine_letters, shortened
from llmproxy.wire.json import write_value

MAX_ID = 40
"""The longest tool-call id that OpenAI's chat completions accept."""

SHOWN_BELOW = "The result is shown in the user message that follows."
"""The text of a tool message whose result has no text."""


class MessageDecoder:
    """Decodes the messages of one request, first to last, into `system` and `messages`."""

    def __init__(self) -> None:
        self.system: list[Instruction] = []
        self.messages: list[Message] = []
        self._results: Message | None = None
        self._custom: set[str] = set()
        self._functions: dict[str, str] = {}

    def decode_plain(self, message: object, index: int) -> bool:
        """Decode the next message if it is what most are: a text, calls of functions, or a result of one, and nothing
        more. Return whether it was. 1 to 2 µs instead of 4 to 12."""
        if not isinstance(message, dict):
            return False
        role, text, path = message.get("role"), message.get("content"), f"messages[{index}]"
        if len(message) == 3:
            if role == "tool":
                return self._decode_plain_result(message, path, text)
            return role == "assistant" and self._decode_plain_calls(message, path, text)
        if len(message) != 2 or type(text) is not str:
            return False
        if role == "system" and not self.messages:
            texts = [Text(path=f"{path}.content", text=text)]
            self.system.append(Instruction(path=path, role="system", content=texts))
            return True
        if role != "user" and (role != "assistant" or not text):
            return False
        self._results = None
        content: list[Block] = [Text(path=f"{path}.content", text=text)]
        self.messages.append(Message(path=path, role=role, content=content))
        return True

    def _decode_plain_result(self, message: dict[str, object], path: str, text: object) -> bool:
        call_id = message.get("tool_call_id")
        if type(text) is not str or type(call_id) is not str:
            return False
        content: list[Block] = [Text(path=f"{path}.content", text=text)]
        result = ToolResult(path=path, id=call_id, content=content, custom=call_id in self._custom)
        if self._results is None:
            self._results = Message(path=path, role="user", content=[])
            self.messages.append(self._results)
        self._results.content.append(result)
        return True

    def _decode_plain_calls(self, message: dict[str, object], path: str, text: object) -> bool:
        calls = message.get("tool_calls")
        if (
            "content" not in message
            or type(calls) is not list
            or not calls
            or (text is not None and type(text) is not str)
        ):
            return False
        content: list[Block] = [Text(path=f"{path}.content", text=text)] if text else []
        for at, call in enumerate(calls):
            if type(call) is not dict or len(call) != 3 or call.get("type") != "function":
                return False
            call_id, function = call.get("id"), call.get("function")
            if type(call_id) is not str or type(function) is not dict or len(function) != 2:
                return False
            name, arguments = function.get("name"), function.get("arguments")
            if type(name) is not str or type(arguments) is not str:
                return False
            content.append(ToolCall(path=f"{path}.tool_calls[{at}]", id=call_id, name=name, arguments=arguments))
        self._results = None
        self.messages.append(Message(path=path, role="assistant", content=content))
        return True

    def decode(self, message: Members) -> None:
        """Decode the next message. Raises BadRequest."""
        role = message.needed_text("role")
        if role in ("tool", "function"):
            self._decode_result(message, role)
            return
        self._results = None
        if role == "user":
            content = decode_content(message.any("content"), message.at("content"))
            self._add(Message(path=message.path, role="user", content=content, name=message.text("name")), message)
        elif role == "assistant":
            content = self._decode_assistant(message)
            self._add(Message(path=message.path, role="assistant", content=content, name=message.text("name")), message)
        elif role == "system" or role == "developer":
            self._decode_instruction(message, role)
        else:
            roles = "system, developer, user, assistant, tool, function"
            wrong(message.at("role"), f"must be one of {roles}, not {role[:50]!r}")

    def _add(self, turn: Message, rest: Members) -> None:
        turn.extra = rest.left()
        self.messages.append(turn)

    def _decode_instruction(self, message: Members, role: Any) -> None:
        texts = only_texts(decode_content(message.any("content"), message.at("content")))
        if not self.messages:
            self.system.append(Instruction(path=message.path, role=role, content=texts, extra=message.left()))
            return
        blocks: list[Block] = [*texts]
        self._add(Message(path=message.path, role=role, content=blocks, name=message.text("name")), message)

    def _decode_result(self, message: Members, role: str) -> None:
        content = message.any("content")
        if role == "function":
            # A function may return null, and is known by name alone.
            name = message.needed_text("name")
            call_id = self._functions.get(name) or _made_up_id(message.path)
            content = "" if content is None else content
        else:
            call_id = message.needed_text("tool_call_id")
        result = ToolResult(
            path=message.path,
            id=call_id,
            content=decode_content(content, message.at("content")),
            custom=call_id in self._custom,
            cache=message.any("cache_control"),
            extra=message.left(),
        )
        if self._results is None:
            self._results = Message(path=message.path, role="user", content=[])
            self.messages.append(self._results)
        self._results.content.append(result)

    def _decode_assistant(self, message: Members) -> list[Block]:
        blocks = _decode_thinking(message)
        content = message.any("content")
        if content is not None:
            blocks += decode_content(content, message.at("content"))
        refusal = message.text("refusal")
        if refusal is not None:
            blocks.append(Refusal(path=message.at("refusal"), text=refusal))
        audio = message.object("audio")
        if audio is not None:
            blocks.append(Opaque(path=message.at("audio"), dialect="chat", kind="audio", value=audio))
        calls = self._decode_calls(message)
        if not blocks and not calls and content is None:
            wrong(message.at("content"), "is missing")
        return [block for block in blocks if not (isinstance(block, Text) and not block.text and calls)] + calls

    def _decode_calls(self, message: Members) -> list[Block]:
        calls = [_decode_call(call) for call in message.objects("tool_calls")]
        function = message.inner("function_call")
        if function is not None:
            call = ToolCall(
                path=function.path,
                id=_made_up_id(message.path),
                name=function.needed_text("name"),
                arguments=function.needed_text("arguments"),
                extra=function.left(),
            )
            self._functions[call.name] = call.id
            calls.append(call)
        for each in calls:
            if isinstance(each, ToolCall) and each.custom:
                self._custom.add(each.id)
        return calls


def _decode_call(call: Members) -> Block:
    """Return one of `tool_calls`."""
    kind = call.text("type") or ("custom" if "custom" in call.rest else "function")
    if kind not in TOOL_KINDS:
        return opaque(call, kind, "chat")
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


def _decode_thinking(message: Members) -> list[Block]:
    """Return the thinking of an earlier answer, as clients of services that show it send it back."""
    for name in THINKING:
        value = message.rest.get(name)
        if value is not None and not isinstance(value, str):
            wrong(message.at(name), f"must be a string, not {name_of(value)}")
        if value:
            del message.rest[name]
            return [Thinking(path=message.at(name), text=value, dialect="chat", field=name)]
    return []


def _made_up_id(path: str) -> str:
    """Return an id for a call that has none, from the index of its message: letters and digits suit every dialect."""
    return "call_" + "".join(letter for letter in path if letter.isdigit())


def encode_id(call_id: str, context: EncodeContext) -> str:
    """Return the id of a call or of its result, shortened where it is too long, always in the same way."""
    if context.own:
        return call_id
    return nine_letters(call_id) if context.options.short_call_ids else shortened(call_id, MAX_ID, "call_")


def encode_instructions(system: Sequence[Instruction], context: EncodeContext) -> list[dict[str, Any]]:
    """Return the messages that come first. Blocks of another dialect's system become one message, since many models
    accept only one."""
    messages: list[dict[str, Any]] = []
    groups: list[tuple[str, list[Instruction]]] = []
    for instruction in system:
        role: str = _encode_role(instruction.role, context)
        if groups and groups[-1][0] == role and not context.own:
            groups[-1][1].append(instruction)
        else:
            groups.append((role, [instruction]))
    for role, instructions in groups:
        texts: list[Block] = [text for instruction in instructions for text in instruction.content]
        message: dict[str, Any] = {"role": role, "content": encode_content(texts, context, joined=True)}
        for instruction in instructions:
            context.put_extra(message, instruction)
        messages.append(message)
    return messages


def _encode_role(role: str, context: EncodeContext) -> str:
    return "system" if role == "developer" and not (context.own or context.options.developer) else role


def encode_message(message: Message, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the messages that stand for `message`: none when nothing of it is left."""
    if message.role == "assistant":
        return _encode_assistant(message, context)
    messages: list[dict[str, Any]] = []
    rest: list[Block] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            messages.append(_encode_result(block, rest, context))
    rest += [block for block in message.content if not isinstance(block, ToolResult)]
    if rest or not messages:
        content = encode_content(rest, context, joined=message.role != "user")
        messages.append({"role": _encode_role(message.role, context), "content": content})
    last = messages[-1]
    if message.name is not None:
        last["name"] = message.name
    context.put_extra(last, message)
    return messages


def _encode_result(result: ToolResult, rest: list[Block], context: EncodeContext) -> dict[str, Any]:
    """Return the message of a result. What it has beside text goes to `rest`, for the user message that follows."""
    if context.own:
        content = encode_content(result.content, context)
    else:
        blocks = context.mark_content(result)
        texts: list[Block] = [block for block in blocks if isinstance(block, Text)]
        others = [block for block in blocks if not isinstance(block, Text)]
        rest += others
        content = encode_content(texts, context, joined=True) if texts or not others else SHOWN_BELOW
        if result.error:
            context.drop(result.where("is_error"))
    body = {"role": "tool", "tool_call_id": encode_id(result.id, context), "content": content}
    if context.own:
        context.put_cache(body, result)
    context.put_extra(body, result)
    return body


# The members of a turn in which the model only thinks, which services refuse: its stream was cut.
_THINKING_ALONE = {"role", *THINKING}


def _encode_assistant(message: Message, context: EncodeContext) -> list[dict[str, Any]]:
    body: dict[str, Any] = {"role": "assistant"}
    parts: list[Block] = []
    calls: list[dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, ToolCall):
            calls.append(_encode_call(block, context))
        elif _is_other_call(block):
            calls.append(block.value)
        elif isinstance(block, Text) or not _put_member(body, block, context):
            parts.append(block)
    body |= {"content": encode_content(parts, context, joined=True)} if parts else {}
    body |= {"tool_calls": calls} if calls else {}
    if message.content and not context.own and body.keys() <= _THINKING_ALONE:
        for block in message.content if len(body) > 1 else ():
            context.drop(block.path)
        return []
    body.setdefault("content", None if len(body) > 1 else "")
    if message.name is not None:
        body["name"] = message.name
    context.put_extra(body, message)
    return [body]


def _is_other_call(block: Block) -> TypeGuard[Opaque]:
    """Return whether a block stood among `tool_calls` and is of an unknown kind."""
    return isinstance(block, Opaque) and block.dialect == "chat" and ".tool_calls[" in block.path


def _put_member(body: dict[str, Any], block: Block, context: EncodeContext) -> bool:
    """Add a block that is a member of an assistant message of its own. Return False for any other block."""
    match block:
        case Thinking():
            _put_thinking(body, block, context)
        case Refusal() if not block.extra:
            body["refusal"] = body.get("refusal", "") + block.text
        case Opaque(dialect="chat", kind="audio"):
            body["audio"] = block.value
        case Media():
            context.refuse(block.path, f"A block of kind {block.kind} is not allowed in an assistant message of chat")
        case _:
            return False
    return True


def _put_thinking(body: dict[str, Any], block: Thinking, context: EncodeContext) -> None:
    """Add thinking of a chat service, which wants it back in the turns of a tool loop at least (DeepSeek, Kimi).
    Clients of other dialects return the name of its field as their signature."""
    field = block.field if block.dialect == "chat" else block.signature or block.encrypted
    if field in THINKING and (context.own or field in context.options.chat_thinking):
        body[field] = body.get(field, "") + block.text
    else:
        context.drop(block.path)


def _encode_call(call: ToolCall, context: EncodeContext) -> dict[str, Any]:
    """Return one of `tool_calls`."""
    if call.custom and not context.takes_custom:
        arguments = write_value({INPUT: call.arguments}).decode()
        call = msgspec.structs.replace(call, custom=False, arguments=arguments)
    elif not (call.custom or context.takes_custom) and decode_arguments(call.arguments) is None:
        # Templates of models read them (vLLM, llama.cpp).
        call = msgspec.structs.replace(call, arguments=write_value(arguments_object(call, context)).decode())
    body = {**call_object(call, call.arguments), "id": encode_id(call.id, context)}
    if call.signature is not None:
        body[SIGNATURE] = call.signature
    context.put_cache(body, call)
    context.put_extra(body, call)
    return body


def call_object(call: ToolCall, arguments: str) -> dict[str, Any]:
    """Return one of `tool_calls` with `arguments`, of a request or of an answer."""
    kind, member = ("custom", "input") if call.custom else ("function", "arguments")
    return {"id": call.id, "type": kind, kind: {"name": call.name, member: arguments}}

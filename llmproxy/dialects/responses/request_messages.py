"""The items of a conversation, read into turns and written from them.

Consecutive items of the model (reasoning, messages, calls) are one turn of the assistant, consecutive results one of
the user. Source: the SDK's `response_input_item_param`. Begin reading at `Turns.read`, `write_message`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members, wrong
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
from llmproxy.dialects.name_limits import shortened
from llmproxy.dialects.responses.content import read_content, write_content, write_said
from llmproxy.dialects.responses.extras import ITEM, drop_cache, item_extra, put_extra

Role: TypeAlias = Literal["user", "assistant", "system", "developer"]

MAX_ID = 64
"""The longest `call_id` that OpenAI accepts."""

_ROLES: tuple[Role, ...] = ("user", "assistant", "system", "developer")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


class Turns:
    """The conversation as far as it was read."""

    def __init__(self) -> None:
        self.system: list[Instruction] = []
        self.messages: list[Message] = []
        self._of_model: Message | None = None
        self._results: Message | None = None

    def read(self, item: Members) -> None:
        """The next item."""
        kind = item.text("type") or ("message" if "role" in item.rest else "item_reference")
        if kind == "message":
            self._read_message(item)
        elif kind in _OUTPUTS and item.rest.get("call_id") is not None:
            self._add_result(_read_result(item, custom=kind.startswith("custom")))
        else:
            reader = _OF_MODEL.get(kind)
            self._add_of_model(item.path, [_foreign(item, kind) if reader is None else reader(item)])

    def _read_message(self, item: Members) -> None:
        role = item.word("role", _ROLES) or item.missing("role")
        content = read_content(item.any("content"), item.at("content"))
        if role == "assistant":
            kept = item.left()
            if content and (kept or self._speaks()):
                content[0].extra = content[0].extra | {ITEM: kept}
            self._add_of_model(item.path, content)
            known = {name: value for name, value in kept.items() if name not in ("id", "status")}
            self.messages[-1].extra |= known
            return
        self._of_model = self._results = None
        if (
            (role == "system" or role == "developer")
            and not self.messages
            and all(isinstance(block, Text) for block in content)
        ):
            texts = [block for block in content if isinstance(block, Text)]
            self.system.append(Instruction(path=item.path, role=role, content=texts, extra=item_extra(item)))
            return
        self.messages.append(Message(path=item.path, role=role, content=content, extra=item_extra(item)))

    def _speaks(self) -> bool:
        """Whether the last item was a message of the model's, which the next one must be told apart from."""
        of_model = self._of_model
        return of_model is not None and bool(of_model.content) and isinstance(of_model.content[-1], Text | Refusal)

    def _add_of_model(self, path: str, blocks: list[Block]) -> None:
        self._results = None
        if self._of_model is None:
            self._of_model = Message(path=path, role="assistant", content=[])
            self.messages.append(self._of_model)
        self._of_model.content += blocks

    def _add_result(self, result: ToolResult) -> None:
        self._of_model = None
        if self._results is None:
            self._results = Message(path=result.path, role="user", content=[])
            self.messages.append(self._results)
        self._results.content.append(result)


def _foreign(item: Members, kind: str) -> Opaque:
    called = f"{kind} without call_id" if kind in _OUTPUTS else kind
    return Opaque(path=item.path, dialect="responses", kind=called, value={"type": kind, **item.rest})


def _read_result(item: Members, *, custom: bool) -> ToolResult:
    return ToolResult(
        path=item.path,
        id=item.needed_text("call_id"),
        content=read_content(item.any("output"), item.at("output")),
        custom=custom,
        extra=item_extra(item),
    )


def read_function_call(item: Members) -> ToolCall:
    """An item `function_call`."""
    return ToolCall(
        path=item.path,
        id=item.needed_text("call_id"),
        name=item.needed_text("name"),
        arguments=item.needed_text("arguments"),
        extra=item_extra(item),
    )


def read_custom_call(item: Members) -> ToolCall:
    """An item `custom_tool_call`."""
    return ToolCall(
        path=item.path,
        id=item.needed_text("call_id"),
        name=item.needed_text("name"),
        arguments=item.needed_text("input"),
        custom=True,
        extra=item_extra(item),
    )


def read_reasoning(item: Members) -> Thinking:
    """An item `reasoning`: its own text, else the summary."""
    summary = [_reasoned(part) for part in item.objects("summary")]
    content = [_reasoned(part) for part in item.objects("content")]
    encrypted = item.text("encrypted_content")
    name = item.text("id")
    thinking = Thinking(
        path=item.path,
        text="\n\n".join(content or summary),
        dialect="responses",
        id=name,
        encrypted=encrypted,
        redacted=encrypted is not None and not content and not summary,
        summary=not content,
        extra=item_extra(item),
    )
    # What the text alone does not give back: where parts end, and a summary beside the text.
    if len(summary) > 1 or len(content) > 1 or (summary and content):
        thinking.extra |= {"~summary": _parts("summary_text", summary), "~content": _parts("reasoning_text", content)}
    return thinking


def _reasoned(part: Members) -> str:
    return part.needed_text("text")


def _parts(kind: str, texts: list[str]) -> list[dict[str, str]]:
    return [{"type": kind, "text": text} for text in texts]


_OF_MODEL: dict[str, Callable[[Members], Block]] = {
    "function_call": read_function_call,
    "custom_tool_call": read_custom_call,
    "reasoning": read_reasoning,
}


def read_input(given: object) -> Turns:
    """`input`: a string, which the user says, or items."""
    turns = Turns()
    if isinstance(given, str):
        turns.messages.append(Message(path="input", role="user", content=[Text(path="input", text=given)]))
        return turns
    if not isinstance(given, list):
        wrong("input", "must be a string or an array")
    for index, item in enumerate(given):
        turns.read(Members(item, f"input[{index}]"))
    return turns


def write_id(call_id: str, *, own: bool) -> str:
    """The id of a call or of its result, shortened where it is too long, always in the same way."""
    return call_id if own else shortened(call_id, MAX_ID, "call_")


def write_message(message: Message, *, own: bool, losses: Losses) -> list[dict[str, Any]]:
    """The items that say what `message` says."""
    if message.name is not None:
        losses.drop(f"{message.path}.name")
    if message.role == "assistant":
        items = _write_turn(message, own=own, losses=losses)
        if not own:
            losses.drop_extra(message)
        return items
    items, rest = [], []
    for block in message.content:
        if isinstance(block, ToolResult):
            items.append(_write_result(block, own=own, losses=losses))
        else:
            rest.append(block)
    if rest or not items:
        item: dict[str, Any] = {"role": message.role, "content": write_content(rest, own=own, losses=losses)}
        put_extra(item, message, own=own, losses=losses)
        items.append(item)
    elif not own:
        losses.drop_extra(message)
    return items


def _write_result(result: ToolResult, *, own: bool, losses: Losses) -> dict[str, Any]:
    kind = "custom_tool_call_output" if result.custom else "function_call_output"
    if result.error:
        losses.drop(f"{result.path}.is_error")
    drop_cache(result, losses)
    output = write_content(result.content, own=own, losses=losses)
    written = {"type": kind, "call_id": write_id(result.id, own=own), "output": output}
    put_extra(written, result, own=own, losses=losses)
    return written


def _write_turn(message: Message, *, own: bool, losses: Losses) -> list[dict[str, Any]]:
    """The items of one turn of the model. Texts that follow each other are parts of one message."""
    items: list[dict[str, Any]] = []
    said: list[dict[str, Any]] | None = None
    for block in message.content:
        if isinstance(block, Text | Refusal):
            if said is None or ITEM in block.extra:
                said = []
                kept = block.extra.get(ITEM, {}) if own else {}
                items.append({**kept, "type": "message", "role": "assistant", "content": said})
            said.append(write_said(block, own=own, losses=losses))
            continue
        said = None
        item = _write_item(block, own=own, losses=losses)
        if item is not None:
            items.append(item)
    return [_shortest(item) for item in items]


def _shortest(item: dict[str, Any]) -> dict[str, Any]:
    """A message of one plain text, of which nothing more is known, as role and text alone."""
    content = item.get("content")
    if item["type"] != "message" or "id" in item or not isinstance(content, list) or len(content) != 1:
        return item
    [part] = content
    if part.keys() == {"type", "text", "annotations"} and not part["annotations"]:
        return {name: value for name, value in item.items() if name != "type"} | {"content": part["text"]}
    return item


def _write_item(block: Block, *, own: bool, losses: Losses) -> dict[str, Any] | None:
    match block:
        case ToolCall():
            drop_cache(block, losses)
            written = write_call(block, own=own)
            put_extra(written, block, own=own, losses=losses)
            return written
        case Thinking(dialect="responses"):
            return write_reasoning(block)
        case Thinking():
            losses.drop(block.path)
            return None
        case Opaque(dialect="responses"):
            return block.value
        case Media() | Opaque():
            losses.refuse(block.path, f"A block of kind {block.kind!r} cannot stand in a turn of the model here")
        case _:
            losses.refuse(block.path, "A tool result cannot stand in a turn of the model")


def write_call(call: ToolCall, *, own: bool) -> dict[str, Any]:
    """The item of a call, without what only its own dialect knows."""
    kind, member = ("custom_tool_call", "input") if call.custom else ("function_call", "arguments")
    return {"type": kind, "call_id": write_id(call.id, own=own), "name": call.name, member: call.arguments}


def write_reasoning(thinking: Thinking) -> dict[str, Any]:
    """The item of one's own thinking, sealed as it was."""
    parts = _parts("summary_text" if thinking.summary else "reasoning_text", [thinking.text] if thinking.text else [])
    extra = {name: value for name, value in thinking.extra.items() if not name.startswith("~")}
    written: dict[str, Any] = {"type": "reasoning"}
    if thinking.id is not None:
        written["id"] = thinking.id
    written["summary"] = thinking.extra.get("~summary", parts if thinking.summary else [])
    content = thinking.extra.get("~content", [] if thinking.summary else parts)
    if content:
        written["content"] = content
    if thinking.encrypted is not None:
        written["encrypted_content"] = thinking.encrypted
    if "~status" in thinking.extra:
        written["status"] = thinking.extra["~status"]
    return written | extra

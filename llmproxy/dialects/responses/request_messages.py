"""The items of a conversation, decoded into turns and encoded from them.

Consecutive items of the model (reasoning, messages, calls) are one turn of the assistant, consecutive results one of
the user. Source: the SDK's `response_input_item_param`. Begin reading at `ItemDecoder.decode`, `encode_message`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import ITEM
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
    Tool,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.name_limits import shortened
from llmproxy.dialects.responses.client_tools import (
    CALLS,
    KINDS,
    RESULTS,
    client_call_object,
    decode_call,
    decode_result,
)
from llmproxy.dialects.responses.compaction import COMPACTION_ITEMS, decode_compaction
from llmproxy.dialects.responses.content import decode_content, encode_content, encode_output_part
from llmproxy.dialects.responses.tables import CALL_TYPES
from llmproxy.dialects.responses.tools import decode_tools

Role: TypeAlias = Literal["user", "assistant", "system", "developer"]

MAX_ID = 64
"""The longest `call_id` that OpenAI accepts."""

_ROLES: tuple[Role, ...] = ("user", "assistant", "system", "developer")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_BOOKKEEPING = ("id", "status", "caller")
_ADDITIONAL = "additional_tools"
_ADDING = (_ADDITIONAL, "tool_search_output")
"""The items that add tools to those of the request."""
_UPDATE = "configuration_update"


class ItemDecoder:
    """Decodes the items of one request, first to last, into `system` and `messages`; `tools` and `updates` are what
    items add to the request's tools and change of its settings."""

    def __init__(self) -> None:
        self.system: list[Instruction] = []
        self.messages: list[Message] = []
        self.tools: list[Tool | Opaque] = []
        self.updates: list[Members] = []
        self._of_model: Message | None = None
        self._results: Message | None = None

    def decode(self, item: Members) -> None:
        """Decode the next item. Raises BadRequest."""
        kind = item.text("type") or ("message" if "role" in item.rest else "item_reference")
        if kind == "message":
            self._decode_message(item)
        elif kind in _OUTPUTS and item.rest.get("call_id") is not None:
            self._add_result(_decode_result(item, custom=kind.startswith("custom")))
        else:
            self._decode_other(item, kind)

    def _decode_other(self, item: Members, kind: str) -> None:
        decode, whole = OUTPUT_DECODERS.get(kind), {"type": kind, **item.rest}
        if kind in COMPACTION_ITEMS:
            self._add_of_user(item.path, decode_compaction(whole, item.path))
        elif kind in RESULTS and (result := decode_result(whole, item.path)) is not None:
            self._add_result(result)
        elif kind in CALLS and (call := decode_call(whole, item.path)) is not None:
            self._add_of_model(item.path, [call])
        else:
            self._add_of_model(item.path, [_opaque(item, kind) if decode is None else decode(item)])
        if kind == _UPDATE:
            self.updates.append(Members(whole, item.path))
        if kind in _ADDING:
            self.tools += decode_tools(Members(whole, item.path))

    def _decode_message(self, item: Members) -> None:
        role = item.word("role", _ROLES) or item.missing("role")
        content = decode_content(item.any("content"), item.at("content"))
        if role == "assistant":
            rest = item.left()
            if content and (rest or self._ends_with_message()):
                content[0].extra = content[0].extra | {ITEM: rest}
            self._add_of_model(item.path, content)
            self.messages[-1].extra |= {name: value for name, value in rest.items() if name not in _BOOKKEEPING}
            return
        self._of_model = self._results = None
        texts = [block for block in content if isinstance(block, Text)]
        if (role == "system" or role == "developer") and not self.messages and len(texts) == len(content):
            self.system.append(Instruction(path=item.path, role=role, content=texts, extra=_item_extra(item)))
            return
        self.messages.append(Message(path=item.path, role=role, content=content, extra=_item_extra(item)))

    def _ends_with_message(self) -> bool:
        """Return whether the last item was a message of the model, from which the next one must be kept apart."""
        of_model = self._of_model
        return of_model is not None and bool(of_model.content) and isinstance(of_model.content[-1], Text | Refusal)

    def _add_of_model(self, path: str, blocks: list[Block]) -> None:
        self._results = None
        if self._of_model is None:
            self._of_model = Message(path=path, role="assistant", content=[])
            self.messages.append(self._of_model)
        self._of_model.content += blocks

    def _add_of_user(self, path: str, block: Block) -> None:
        self._of_model = self._results = None
        self.messages.append(Message(path=path, role="user", content=[block]))

    def _add_result(self, result: ToolResult) -> None:
        self._of_model = None
        if self._results is None:
            self._results = Message(path=result.path, role="user", content=[])
            self.messages.append(self._results)
        self._results.content.append(result)


def _item_extra(item: Members) -> dict[str, Any]:
    """Return what is left of an item, with its bookkeeping."""
    bookkeeping = {f"~{name}": value for name in _BOOKKEEPING if (value := item.any(name)) is not None}
    return item.left() | bookkeeping


def _opaque(item: Members, kind: str) -> Opaque:
    name = f"{kind} without call_id" if kind in _OUTPUTS else kind
    declares = kind in (_ADDITIONAL, _UPDATE)
    return Opaque(path=item.path, dialect="responses", kind=name, value={"type": kind, **item.rest}, declares=declares)


def _decode_result(item: Members, *, custom: bool) -> ToolResult:
    return ToolResult(
        path=item.path,
        id=item.needed_text("call_id"),
        content=decode_content(item.any("output"), item.at("output")),
        custom=custom,
        extra=_item_extra(item),
    )


def _decode_call(item: Members, *, custom: bool) -> ToolCall:
    return ToolCall(
        path=item.path,
        id=item.needed_text("call_id"),
        name=item.needed_text("name"),
        arguments=item.needed_text("input" if custom else "arguments"),
        custom=custom,
        namespace=item.text("namespace"),
        extra=_item_extra(item),
    )


def _decode_reasoning(item: Members) -> Thinking:
    """Return an item `reasoning`: its own text, else the summary."""
    summary = [part.needed_text("text") for part in item.objects("summary")]
    content = [part.needed_text("text") for part in item.objects("content")]
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
        extra=_item_extra(item),
    )
    # What the text alone does not give back: where parts end, and a summary beside the text.
    if len(summary) > 1 or len(content) > 1 or (summary and content):
        thinking.extra |= {"~summary": _parts("summary_text", summary), "~content": _parts("reasoning_text", content)}
    return thinking


def _parts(kind: str, texts: list[str]) -> list[dict[str, str]]:
    return [{"type": kind, "text": text} for text in texts]


OUTPUT_DECODERS: dict[str, Callable[[Members], Block]] = {
    "function_call": lambda item: _decode_call(item, custom=False),
    "custom_tool_call": lambda item: _decode_call(item, custom=True),
    "reasoning": _decode_reasoning,
}
"""The items of the model but messages, by their type."""


def decode_input(value: object) -> ItemDecoder:
    """Decode `input`: items, or a string, which is the user's."""
    decoder = ItemDecoder()
    if isinstance(value, str):
        decoder.messages.append(Message(path="input", role="user", content=[Text(path="input", text=value)]))
        return decoder
    if not isinstance(value, list):
        wrong("input", "must be a string or an array")
    for index, item in enumerate(value):
        decoder.decode(Members(item, f"input[{index}]"))
    return decoder


def _encode_id(call_id: str, context: EncodeContext) -> str:
    """Return the id of a call or of its result, shortened where it is too long, always in the same way."""
    return call_id if context.own else shortened(call_id, MAX_ID, "call_")


def encode_message(message: Message, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the items that stand for `message`."""
    if message.name is not None:
        context.drop(f"{message.path}.name")
    if message.role == "assistant":
        items = _encode_assistant(message, context)
        context.drop_extra(message)
        return items
    items, rest = [], []
    for block in message.content:
        if isinstance(block, ToolResult):
            items.append(_encode_result(block, context))
        elif isinstance(block, Opaque) and block.kind in COMPACTION_ITEMS:
            items.append(block.value)
        else:
            rest.append(block)
    if rest or not items:
        item: dict[str, Any] = {"role": message.role, "content": encode_content(rest, context)}
        context.put_extra(item, message)
        items.append(item)
    else:
        context.drop_extra(message)
    return items


def _encode_result(result: ToolResult, context: EncodeContext) -> dict[str, Any]:
    if context.own and result.native is not None:
        return result.native
    if result.error:
        context.drop(result.where("is_error"))
    output = encode_content(context.mark_content(result), context)
    item = {"type": _OUTPUTS[result.custom], "call_id": _encode_id(result.id, context), "output": output}
    context.put_extra(item, result)
    return item


def _encode_assistant(message: Message, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the items of one turn of the model. Texts that follow each other are parts of one message."""
    items: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] | None = None
    for block in message.content:
        if isinstance(block, Text | Refusal):
            if parts is None or ITEM in block.extra:
                parts = []
                rest = block.extra.get(ITEM, {}) if context.own else {}
                items.append({**rest, "type": "message", "role": "assistant", "content": parts})
            parts.append(encode_output_part(block, context))
            continue
        parts = None
        item = _encode_item(block, context)
        if item is not None:
            items.append(item)
    return [_shortest(item) for item in items]


def _shortest(item: dict[str, Any]) -> dict[str, Any]:
    """Return a message of one plain text and nothing else as role and text alone."""
    content = item.get("content")
    if item["type"] != "message" or "id" in item or not isinstance(content, list) or len(content) != 1:
        return item
    [part] = content
    if part.keys() == {"type", "text", "annotations"} and not part["annotations"]:
        return {name: value for name, value in item.items() if name != "type"} | {"content": part["text"]}
    return item


def _encode_item(block: Block, context: EncodeContext) -> dict[str, Any] | None:
    match block:
        case ToolCall() if context.own and block.native is not None:
            return block.native
        case ToolCall():
            context.drop_cache(block)
            item = {**call_object(block), "call_id": _encode_id(block.id, context)}
            context.put_extra(item, block)
            return item
        case Thinking(dialect="responses"):
            return encode_reasoning(block)
        case Thinking():
            context.drop(block.path)
            return None
        case Opaque(dialect="responses"):
            return block.value
        case Media() | Opaque():
            context.refuse(block.path, f"A block of kind {block.kind!r} is not allowed in a turn of the model here")
        case _:
            context.refuse(block.path, "A tool result is not allowed in a turn of the model")


def call_object(call: ToolCall) -> dict[str, Any]:
    """Return the item of a call, of a request or of an answer, without what only its own dialect understands."""
    if call.kind in KINDS:
        return client_call_object(call, call.kind)
    kind, member = CALL_TYPES[call.custom], "input" if call.custom else "arguments"
    item = {"type": kind, "call_id": call.id, "name": call.name, member: call.arguments}
    if call.namespace is not None:
        item["namespace"] = call.namespace
    return item


def encode_reasoning(thinking: Thinking) -> dict[str, Any]:
    """Return the item of thinking of this dialect, encrypted as it was."""
    parts = _parts("summary_text" if thinking.summary else "reasoning_text", [thinking.text] if thinking.text else [])
    item: dict[str, Any] = {"type": "reasoning"}
    if thinking.id is not None:
        item["id"] = thinking.id
    item["summary"] = thinking.extra.get("~summary", parts if thinking.summary else [])
    content = thinking.extra.get("~content", [] if thinking.summary else parts)
    if content:
        item["content"] = content
    if thinking.encrypted is not None:
        item["encrypted_content"] = thinking.encrypted
    if "~status" in thinking.extra:
        item["status"] = thinking.extra["~status"]
    return item | {name: value for name, value in thinking.extra.items() if not name.startswith("~")}

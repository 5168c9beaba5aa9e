"""Whole chat completions, decoded into the neutral vocabulary.

Source: the SDK's `chat_completion` types, and what compatible services add: thinking (`reasoning_content`, `reasoning`,
parts of type `thinking`), content as parts. The provider's bookkeeping (`system_fingerprint` and such) is left out. A
member of a wrong type costs that member alone. Begin reading at `decode_response`.
"""

from __future__ import annotations

import uuid
from typing import Any

from llmproxy.dialects.call_arguments import arguments_of, arguments_text
from llmproxy.dialects.chat.tables import FAILED, SIGNATURE, STOP_REASONS, THINKING
from llmproxy.dialects.chat.usage import decode_usage
from llmproxy.dialects.lenient_json import content_text, count, error_message, object_of, objects, string
from llmproxy.dialects.model import Block, Citation, Opaque, Refusal, Reply, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.response_fields import answered_with_error, decode_object, not_a

_BOOKKEEPING = {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "error"}
_DECODED = {"role", "content", "refusal", "annotations", "audio", "tool_calls", "function_call", *THINKING}


def decode_response(body: bytes) -> Reply:
    """Return a provider's whole answer. Raises BadReply when it is not a chat completion."""
    value = decode_object(body, "chat completion", "choices")
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise not_a("chat completion", "it has no choices[0].message")
    if choice.get("finish_reason") == FAILED:
        error = choice.get("error")
        raise answered_with_error(error_message(error) or "no reason given", error)
    content = _decode_message(message, choice.get("logprobs"))
    extra = {name: each for name, each in value.items() if name not in _BOOKKEEPING and each is not None}
    extra |= {f"choices[{index}]": each for index, each in enumerate(choices or ()) if index}
    extra |= {f"message.{name}": each for name, each in message.items() if name not in _DECODED and each is not None}
    return Reply(
        path="reply",
        extra=extra,
        id=string(value.get("id")) or "",
        dialect="chat",
        model=string(value.get("model")) or "",
        content=content,
        stop=_decode_stop(choice.get("finish_reason"), content),
        stop_word=string(choice.get("finish_reason")),
        usage=decode_usage(value.get("usage"), value.get("service_tier")),
        created_s=count(value.get("created")),
        service_tier=string(value.get("service_tier")),
    )


def _decode_message(message: dict[str, Any], logprobs: object) -> list[Block]:
    """Return the blocks of a reply's message."""
    likely = object_of(logprobs)
    blocks: list[Block] = []
    for name in THINKING:
        thinking = string(message.get(name))
        if thinking is not None:
            blocks.append(Thinking(path=f"reply.{name}", text=thinking, dialect="chat", field=name))
            break
    blocks += _decode_content(message.get("content"))
    _add_to_text(blocks, message.get("annotations"), likely.get("content"))
    refusal = string(message.get("refusal"))
    if refusal is not None:
        logprobs = likely.get("refusal")
        extra = {"logprobs": logprobs} if isinstance(logprobs, list) and logprobs else {}
        blocks.append(Refusal(path="reply.refusal", text=refusal, extra=extra))
    audio = message.get("audio")
    if isinstance(audio, dict):
        blocks.append(Opaque(path="reply.audio", dialect="chat", kind="audio", value=audio))
    return [*blocks, *_decode_calls(message)]


def _decode_content(content: object) -> list[Block]:
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    return [_decode_part(part) for part in objects(content)]


def _decode_part(part: dict[str, Any]) -> Block:
    kind = string(part.get("type")) or "unknown"
    if kind == "text":
        return Text(text=string(part.get("text")) or "")
    if kind == "refusal":
        return Refusal(text=string(part.get("refusal")) or "")
    if kind == "thinking":
        return Thinking(text=thinking_text(part), dialect="chat")
    return Opaque(path=f"reply.{kind}", dialect="chat", kind=kind, value=part)


def thinking_text(part: dict[str, Any]) -> str:
    """Return the text of a part of type `thinking`, which holds text parts of its own."""
    return content_text(part.get("thinking"))


def _add_to_text(blocks: list[Block], annotations: object, logprobs: object) -> None:
    """Add citations and log probabilities to the first text."""
    text = next((block for block in blocks if isinstance(block, Text)), None) if annotations or logprobs else None
    if text is not None:
        text.annotations = [decode_citation(each) for each in objects(annotations)]
        text.logprobs = logprobs if isinstance(logprobs, list) else None


def decode_citation(annotation: dict[str, Any]) -> Citation:
    """Return one of `annotations`."""
    inner = annotation.get("url_citation")
    if not isinstance(inner, dict):
        kind = string(annotation.get("type")) or "unknown"
        return Citation(path="reply.annotations", extra={kind: annotation})
    return Citation(
        path="reply.annotations",
        url=string(inner.get("url")),
        title=string(inner.get("title")),
        start=count(inner.get("start_index")),
        end=count(inner.get("end_index")),
        quote=string(inner.get("content")),
    )


def _decode_calls(message: dict[str, Any]) -> list[Block]:
    seen: set[str] = set()
    calls = [_decode_call(entry, seen) for entry in objects(message.get("tool_calls"))]
    function = message.get("function_call")
    if isinstance(function, dict) and string(function.get("name")):
        calls.append(_decode_call({"function": function}, seen))
    return calls


def _decode_call(entry: dict[str, Any], seen: set[str]) -> Block:
    kind, inner = entry.get("type"), entry.get("custom")
    custom = isinstance(inner, dict) and (kind == "custom" or (kind != "function" and bool(inner.get("name"))))
    inner = entry.get("custom" if custom else "function")
    if not isinstance(inner, dict):
        kind = string(entry.get("type")) or "unknown"
        return Opaque(path="reply.tool_calls", dialect="chat", kind=kind, value=entry)
    return ToolCall(
        path="reply.tool_call",
        id=distinct_call_id(entry.get("id"), seen),
        name=string(inner.get("name")) or "",
        arguments=arguments_text(inner.get("input")) if custom else arguments_of(inner.get("arguments")),
        signature=decode_signature(entry.get(SIGNATURE)),
        custom=custom,
    )


def decode_signature(signature: object) -> dict[str, Any] | None:
    """Return the object with which Gemini's endpoint signs its calls."""
    return signature if isinstance(signature, dict) else None


def distinct_call_id(call_id: object, seen: set[str]) -> str:
    """Return the id of a call: the service's own, or a new one where it has none or an earlier call has the same."""
    chosen = string(call_id)
    if chosen is None or chosen in seen:
        chosen = f"call_{uuid.uuid4().hex[:24]}"
    seen.add(chosen)
    return chosen


def _decode_stop(reason: object, content: list[Block]) -> StopReason:
    if isinstance(reason, str) and (stop := STOP_REASONS.get(reason, "end")) not in ("end", "tool_calls"):
        return stop
    called = any([isinstance(block, ToolCall) or block.path == "reply.tool_calls" for block in content])
    return decode_stop(reason, called=called, refused=any([isinstance(block, Refusal) for block in content]))


def decode_stop(reason: object, *, called: bool, refused: bool) -> StopReason:
    """Return why the model stopped. Services say `stop` with tool calls too, OpenAI for a call that was forced, and
    `tool_calls` without any: the content decides."""
    stop = STOP_REASONS.get(reason, "end") if isinstance(reason, str) else "end"
    if stop not in ("end", "tool_calls"):
        return stop
    return "tool_calls" if called else "refusal" if refused else "end"

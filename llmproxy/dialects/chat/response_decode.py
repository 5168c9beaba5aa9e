"""Whole chat completions, read into the neutral vocabulary.

Source: the SDK's `chat_completion` types, and what compatible services add: thinking (`reasoning_content`, `reasoning`,
parts of kind `thinking`), content as parts. The provider's bookkeeping (`system_fingerprint` and such) is passed over.
`read_message` reads what services wrote, so that a wrong type costs that member alone. Begin at `decode_response`.
"""

from __future__ import annotations

import uuid
from typing import Any

from llmproxy.dialects.chat.request_messages import SIGNATURE, THINKING, read_arguments
from llmproxy.dialects.chat.usage import decode_usage
from llmproxy.dialects.codec import BadReply
from llmproxy.dialects.lenient_json import content_text, count, error_message, string
from llmproxy.dialects.model import (
    Block,
    Citation,
    Opaque,
    Refusal,
    Reply,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from llmproxy.wire.json import read_value

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "model_length": "context_window",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
FAILED = "error"
"""The finish reason with which routers of other services say that the answer broke off."""

NO_ARGUMENTS = "{}"
"""The arguments of a call that has none."""

_BOOKKEEPING = {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "error"}
_TOLD = {"role", "content", "refusal", "annotations", "audio", "tool_calls", "function_call", *THINKING}


def decode_response(body: bytes) -> Reply:
    """A provider's whole answer. Raises BadReply when it is no chat completion."""
    value = read_value(body)
    if not isinstance(value, dict):
        raise BadReply("The provider's answer is no chat completion: it is not a JSON object")
    error = error_message(value.get("error"))
    if error is not None:
        raise BadReply(f"The provider answered with an error: {error}", value["error"])
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise BadReply("The provider's answer is no chat completion: it has no choices[0].message")
    if choice.get("finish_reason") == FAILED:
        error = error_message(choice.get("error")) or "no reason given"
        raise BadReply(f"The provider answered with an error: {error}", choice.get("error"))
    content = read_message(message, choice.get("logprobs"))
    extra = {name: each for name, each in value.items() if name not in _BOOKKEEPING and each is not None}
    extra |= {f"choices[{index}]": each for index, each in enumerate(choices or ()) if index}
    extra |= {f"message.{name}": each for name, each in message.items() if name not in _TOLD and each is not None}
    return Reply(
        path="reply",
        extra=extra,
        id=string(value.get("id")) or "",
        dialect="chat",
        model=string(value.get("model")) or "",
        content=content,
        stop=stop_of(choice.get("finish_reason"), content),
        usage=decode_usage(value.get("usage")),
        created_s=count(value.get("created")),
        service_tier=string(value.get("service_tier")),
    )


def read_message(message: dict[str, Any], logprobs: object = None) -> list[Block]:
    """The blocks of a reply's message."""
    probable = logprobs if isinstance(logprobs, dict) else {}
    blocks: list[Block] = []
    for name in THINKING:
        thought = string(message.get(name))
        if thought is not None:
            blocks.append(Thinking(path=f"reply.{name}", text=thought, dialect="chat", field=name))
            break
    blocks += _content(message.get("content"))
    _adorn(blocks, message.get("annotations"), probable.get("content"))
    refusal = string(message.get("refusal"))
    if refusal is not None:
        blocks.append(Refusal(path="reply.refusal", text=refusal, extra=_refused(probable.get("refusal"))))
    audio = message.get("audio")
    if isinstance(audio, dict):
        blocks.append(Opaque(path="reply.audio", dialect="chat", kind="audio", value=audio))
    return [*blocks, *_calls(message)]


def _refused(logprobs: object) -> dict[str, Any]:
    return {"logprobs": logprobs} if isinstance(logprobs, list) and logprobs else {}


def _content(content: object) -> list[Block]:
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    blocks: list[Block] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            blocks.append(_part(part))
    return blocks


def _part(part: dict[str, Any]) -> Block:
    kind = string(part.get("type")) or "unknown"
    if kind == "text":
        return Text(text=string(part.get("text")) or "")
    if kind == "refusal":
        return Refusal(text=string(part.get("refusal")) or "")
    if kind == "thinking":
        return Thinking(text=thinking_text(part), dialect="chat")
    return Opaque(path=f"reply.{kind}", dialect="chat", kind=kind, value=part)


def thinking_text(part: dict[str, Any]) -> str:
    """The text of a part of kind `thinking`, which holds text parts of its own."""
    return content_text(part.get("thinking"))


def _adorn(blocks: list[Block], annotations: object, logprobs: object) -> None:
    """Give the text its citations and probabilities."""
    text = next((block for block in blocks if isinstance(block, Text)), None)
    if text is None:
        return
    text.annotations = (
        [citation(each) for each in annotations or () if isinstance(each, dict)]
        if (isinstance(annotations, list))
        else []
    )
    if isinstance(logprobs, list):
        text.logprobs = logprobs


def citation(annotation: dict[str, Any]) -> Citation:
    """One of `annotations`."""
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


def _calls(message: dict[str, Any]) -> list[Block]:
    calls: list[Block] = []
    taken: set[str] = set()
    entries = message.get("tool_calls")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            calls.append(_call(entry, taken))
    function = message.get("function_call")
    if isinstance(function, dict) and string(function.get("name")):
        calls.append(_call({"function": function}, taken))
    return calls


def _call(entry: dict[str, Any], taken: set[str]) -> Block:
    custom = isinstance(entry.get("custom"), dict)
    inner = entry.get("custom" if custom else "function")
    if not isinstance(inner, dict):
        kind = string(entry.get("type")) or "unknown"
        return Opaque(path="reply.tool_calls", dialect="chat", kind=kind, value=entry)
    arguments = read_arguments(inner.get("input" if custom else "arguments"))
    return ToolCall(
        path="reply.tool_call",
        id=call_id(entry.get("id"), taken),
        name=string(inner.get("name")) or "",
        arguments=arguments if arguments or custom else NO_ARGUMENTS,
        signature=signature_of(entry.get(SIGNATURE)),
        custom=custom,
    )


def signature_of(sealed: object) -> dict[str, Any] | None:
    """What Gemini's endpoint signs its calls with, when it is one."""
    return sealed if isinstance(sealed, dict) else None


def call_id(given: object, taken: set[str]) -> str:
    """The id of a call: the service's own, or a new one where it has none or gives the same to several."""
    chosen = string(given)
    if chosen is None or chosen in taken:
        chosen = f"call_{uuid.uuid4().hex[:24]}"
    taken.add(chosen)
    return chosen


def stop_of(reason: object, content: list[Block]) -> StopReason:
    """Why the model stopped. Services say `stop` with tool calls too, OpenAI for a call that was forced."""
    stop = STOPS.get(reason, "end") if isinstance(reason, str) else "end"
    if stop != "end":
        return stop
    if any(isinstance(block, ToolCall) for block in content):
        return "tool_calls"
    return "refusal" if any(isinstance(block, Refusal) for block in content) else "end"

"""The parts of a content, decoded and encoded: text, thoughts, media, calls and responses of functions.

Source: `google.genai.types.Part`. Parts that no second dialect has (calls of tools that run at the provider) are kept
as they stand; code that it ran goes to others as its text. Begin reading at `read_part` and `encode_part`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from llmproxy.dialects.call_arguments import NO_ARGUMENTS, arguments_object
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra, put_back
from llmproxy.dialects.gemini.call_ids import CallIds, is_made_up
from llmproxy.dialects.gemini.media import decode_file, decode_inline, encode_media
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.tables import NAME, SIGNATURE
from llmproxy.dialects.lenient_json import string
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from llmproxy.wire.json import write_value

OWN_SIGNATURE = f"~{SIGNATURE}"
"""Bookkeeping of a text or a call: its signature. That of a call in an answer is `ToolCall.signature`."""
RESPONSE = "~response"
"""Bookkeeping of a result: the object as it stood."""
_OUTPUTS = ("output", "result")
_ERROR = "error"
_NAME = "~name"
_PARTS = "~parts"
_BOOKKEEPING = frozenset({"~data", RESPONSE, _NAME, _PARTS})


def read_part(part: Members, ids: CallIds) -> Block:
    """Return one part; `Opaque` where nothing else has it. Raises BadRequest."""
    rest = part.rest
    if rest.get("functionCall") is not None:
        return _decode_call(part, ids)
    if rest.get("functionResponse") is not None:
        return _decode_response(part, ids)
    if rest.get("inlineData") is not None:
        return decode_inline(part, _inner(part, "inlineData"))
    if rest.get("fileData") is not None:
        return decode_file(part, _inner(part, "fileData"))
    if rest.get("text") is not None:
        return _decode_text(part)
    kind = next((name for name, value in rest.items() if value is not None and name not in _BESIDE), None)
    if kind is None:
        return _decode_text(part)
    return Opaque(path=part.path, dialect=NAME, kind=kind, value=part.left(), words=_words(kind, rest[kind]))


# What may stand beside the data of a part.
_BESIDE = frozenset({"thought", SIGNATURE, "partMetadata", "mediaResolution", "videoMetadata"})


def _inner(part: Members, name: str) -> Members:
    return part.inner(name) or ProtoMembers({}, part.at(name))


def _words(kind: str, value: object) -> str | None:
    """Return the words of code that the provider ran."""
    if not isinstance(value, dict):
        return None
    if kind == "executableCode":
        return f"```{str(value.get('language') or '').lower()}\n{value.get('code') or ''}\n```"
    return str(value.get("output") or value.get("outcome")) if kind == "codeExecutionResult" else None


def _decode_text(part: Members) -> Block:
    text, thought, signature = part.text("text") or "", part.flag("thought"), part.text(SIGNATURE)
    if thought:
        return Thinking(path=part.path, dialect=NAME, text=text, signature=signature, summary=True, extra=part.left())
    extra = part.left()
    if thought is False:
        extra["~thought"] = False
    if signature is not None:
        extra[OWN_SIGNATURE] = signature
    return Text(path=part.path, text=text, extra=extra)


def _decode_call(part: Members, ids: CallIds) -> Block:
    call = _inner(part, "functionCall")
    name, arguments = call.needed_text("name"), call.object("args")
    signature = part.text(SIGNATURE)
    made = ToolCall(
        path=part.path,
        id=ids.call(call.text("id"), name),
        name=name,
        arguments=NO_ARGUMENTS if arguments is None else _json(arguments, call.at("args")),
        extra=nested_extra(part, call),
    )
    if signature is not None:
        made.extra[OWN_SIGNATURE] = signature
    return made


def _json(value: object, path: str) -> str:
    try:
        return write_value(value).decode()
    except RecursionError:
        wrong(path, "is nested too deeply")


def _decode_response(part: Members, ids: CallIds) -> Block:
    """Return the result of a call. The vendor reads its `output` or its `error`, or else all of it as the output."""
    response = _inner(part, "functionResponse")
    name, value = response.text("name") or "", response.object("response")
    text, error = _output(value or {})
    content: list[Block] = [
        Text(path=response.at("response"), text=text if text is not None else _all(value, response))
    ]
    content = [] if value is None else content
    parts = response.rest.get("parts")
    for each in response.objects("parts"):
        block = read_part(each, ids)
        if isinstance(block, ToolCall | ToolResult | Thinking):
            wrong(each.path, "is not allowed in the response of a function")
        content.append(block)
    result = ToolResult(
        path=part.path,
        id=ids.result(response.text("id"), name),
        content=content,
        error=error,
        names={"is_error": "functionResponse.response.error"},
        extra=nested_extra(part, response),
    )
    if value is not None:
        result.extra[RESPONSE] = value
    result.extra |= {_NAME: name} | ({} if parts is None else {_PARTS: parts})
    return result


def _all(value: object, response: Members) -> str:
    return _json(value, response.at("response"))


def _output(response: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the text of a response that has nothing but an output or an error, and whether it is an error."""
    if len(response) != 1:
        return None, False
    [(name, value)] = response.items()
    if name == _ERROR:
        return (value if isinstance(value, str) else _json(value, name)), True
    return (value if name in _OUTPUTS and isinstance(value, str) else None), False


def own_id(call_id: str) -> dict[str, str]:
    """Return the member `id` of a call or its response, unless it was made up."""
    return {} if not call_id or is_made_up(call_id) else {"id": call_id}


def encode_part(
    block: Block, names: Mapping[str, str], context: EncodeContext, *, media_results: bool
) -> list[dict[str, Any]]:
    """Return the parts for a provider; none for what is dropped. `names` are the functions by the ids of their calls,
    `media_results` says that media can stand inside a response."""
    match block:
        case Text() | Refusal():
            return _encode_text(block, context)
        case Thinking():
            return _encode_thinking(block, context)
        case Opaque():
            return [_own_value(block, context)]
        case Media():
            parts = [encode_media(block, context)]
        case ToolCall():
            arguments = {INPUT: block.arguments} if block.custom else arguments_object(block, context)
            parts = [encode_call(block, arguments)]
        case ToolResult():
            parts = _encode_result(block, names, context, inside=media_results or context.own)
        case _:
            assert_never(block)
    context.drop_cache(block)
    if context.own:
        put_back(parts[0], {name: value for name, value in block.extra.items() if name not in _BOOKKEEPING})
    else:
        context.drop_extra(block)
    return parts


def _own_value(block: Opaque, context: EncodeContext) -> dict[str, Any]:
    if block.dialect != NAME:
        context.refuse(block.path, f"A block of kind {block.kind!r} exists in its own API only, not in a Gemini API")
    return block.value


def _encode_text(text: Text | Refusal, context: EncodeContext) -> list[dict[str, Any]]:
    """Return a text. The vendor refuses empty ones."""
    part: dict[str, Any] = {"text": text.text}
    if isinstance(text, Text):
        context.drop_cache(text)
        if text.logprobs is not None:
            context.drop(f"{text.path}.logprobs")
        context.drop_annotations(text)
    context.put_extra(part, text)
    return [part] if context.own or text.text else []


def _encode_thinking(thinking: Thinking, context: EncodeContext) -> list[dict[str, Any]]:
    """Return thoughts of this dialect. Nobody else's have a place in a request."""
    if thinking.dialect != NAME:
        context.drop(thinking.path)
        context.drop_extra(thinking)
        return []
    part: dict[str, Any] = {"text": thinking.text, "thought": True}
    if thinking.signature is not None:
        part[SIGNATURE] = thinking.signature
    context.put_extra(part, thinking)
    return [part]


def encode_call(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a call, with its signature if it is one of this dialect."""
    part: dict[str, Any] = {"functionCall": {**own_id(call.id), "name": call.name, "args": arguments}}
    signature = None if call.signature is None else string(call.signature.get(SIGNATURE))
    if signature is not None:
        part[SIGNATURE] = signature
    return part


def _encode_result(
    result: ToolResult, names: Mapping[str, str], context: EncodeContext, *, inside: bool
) -> list[dict[str, Any]]:
    """Return the response of a function, and behind it the media that cannot stand inside."""
    texts: list[str] = []
    media: list[dict[str, Any]] = result.extra.get(_PARTS, []) if context.own else []
    for each in result.content if not media else ():
        if isinstance(each, Text):
            texts.append(each.text)
            _encode_text(each, context)
        else:
            if not isinstance(each, Media):
                context.refuse(each.path, "A block of this kind is not allowed in the result of a tool")
            media += encode_part(each, names, context, media_results=inside)
    text = "\n".join(texts)
    response = result.extra.get(RESPONSE) if context.own else None
    name = names.get(result.id) or result.extra.get(_NAME) or result.id
    members: dict[str, Any] = {**own_id(result.id), "name": name}
    members["response"] = {_ERROR if result.error else _OUTPUTS[0]: text} if response is None else response
    if media and inside:
        members["parts"], media = media, []
    return [{"functionResponse": members}, *media]

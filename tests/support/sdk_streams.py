"""Read streams with the vendors' SDKs: check each event against its type, and accumulate the whole reply."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.lib.streaming import _messages as anthropic_streaming
from anthropic.types import Message, RawMessageStreamEvent
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.support.converse_types import ConverseStreamError, accumulate_converse, check_converse_reply
from tests.support.gemini_types import GeminiStreamError, accumulate_gemini, check_gemini_reply

_REPLIES: dict[str, Any] = {"chat": ChatCompletion, "messages": Message, "responses": Response}
_EVENTS: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "responses": TypeAdapter(ResponseStreamEvent),
}
# What services send and the SDK's types do not name: thinking and citations in chunks, padding against guessing by
# length, whether a response is stored, the name of a called function (which SDK 2.x demands).
_UNNAMED = {
    *("reasoning_content", "obfuscation", "Response.store", "ChoiceDelta.annotations"),
    "ResponseFunctionCallArgumentsDoneEvent.name",
}

_OPENAI = openai.OpenAI(api_key="key", base_url="http://test/v1")
_ANTHROPIC = anthropic.Anthropic(api_key="key", base_url="http://test")


class StreamError(Exception):
    """The SDK raised an error that the stream carries."""


def check_reply(dialect: str, reply: dict[str, Any]) -> None:
    """Fail for a whole reply that has a wrong or an unknown member."""
    if dialect == "converse":
        check_converse_reply(reply)
        return
    if dialect == "gemini":
        check_gemini_reply(reply)
        return
    model = _REPLIES[dialect].model_validate(reply)
    unknown = unnamed(model)
    assert not unknown, unknown


def unnamed(value: object) -> list[str]:
    """Return the members of a parsed value that its types do not name."""
    if isinstance(value, list | tuple):
        return [each for item in value for each in unnamed(item)]
    if not isinstance(value, BaseModel):
        return []
    kind = type(value).__name__
    extra = value.model_extra or {}
    match = [f"{kind}.{name}" for name in extra if not _UNNAMED & {name, f"{kind}.{name}"}]
    return match + [each for name in type(value).model_fields for each in unnamed(getattr(value, name))]


def accumulate(dialect: str, frames: bytes, *, named: bool = True) -> dict[str, Any]:
    """Return the whole reply that the SDK makes of a stream.

    Raises StreamError for an error in it. Fails for an event that is not of its type and, unless `named` is off, for
    unknown members.
    """
    if dialect == "converse":
        return _converse(frames)
    if dialect == "gemini":
        return _gemini(frames)
    _check_events(dialect, frames, named=named)
    try:
        return {"chat": _chat, "messages": _messages, "responses": _responses}[dialect](_answer(frames))
    except (openai.APIError, anthropic.APIError) as error:
        raise StreamError(error.message) from error


def _converse(frames: bytes) -> dict[str, Any]:
    try:
        return accumulate_converse(frames)
    except ConverseStreamError as error:
        raise StreamError(str(error)) from error


def _gemini(frames: bytes) -> dict[str, Any]:
    try:
        return accumulate_gemini(frames)
    except GeminiStreamError as error:
        raise StreamError(str(error)) from error


def _answer(frames: bytes) -> httpx2.Response:
    request = httpx2.Request("POST", "http://test")
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=frames, request=request)


def _check_events(dialect: str, frames: bytes, *, named: bool) -> None:
    for line in frames.decode("utf-8", "surrogatepass").split("\n"):
        name, _, data = line.partition(":")
        if name != "data" or data.strip() == "[DONE]":
            continue
        event = json.loads(data)
        if ("error" in event and dialect == "chat") or event.get("type") in ("error", "ping"):
            continue
        if '"custom":' in data and dialect == "chat":
            continue  # the SDK's chunks know no calls of free-form tools
        parsed = _EVENTS[dialect].validate_python(event)
        assert not named or not unnamed(parsed), unnamed(parsed)


def _chat(answer: httpx2.Response) -> dict[str, Any]:
    state = ChatCompletionStreamState()
    for chunk in openai.Stream(cast_to=ChatCompletionChunk, response=answer, client=_OPENAI):
        state.handle_chunk(chunk)
    result = state.current_completion_snapshot.to_dict(mode="json")
    for choice in result["choices"]:  # type: ignore[attr-defined]  # to_dict says no more than object
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
            (call.get("function") or {}).pop("parsed_arguments", None)
        choice["message"].pop("parsed", None)
    return result


def _responses(answer: httpx2.Response) -> dict[str, Any]:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
    last: Any = None
    stream: openai.Stream[Any] = openai.Stream(cast_to=_any_event(), response=answer, client=_OPENAI)
    for event in stream:
        if event.type == "error":
            raise StreamError(event.message)
        if event.type == "response.failed":
            raise StreamError(event.response.error.message)
        state.handle_event(event)
        last = event
    assert last is not None and last.type in ("response.completed", "response.incomplete"), last
    grown = [_named(item) for _, item in sorted(state._output_items.items())]
    result: dict[str, Any] = last.response.to_dict(mode="json")
    _check_growth(grown, result["output"])
    return result


def _any_event() -> Any:
    return ResponseStreamEvent


def _named(item: Any) -> dict[str, Any]:
    result: dict[str, Any] = item.to_dict(mode="json")
    return result


def _check_growth(grown: list[dict[str, Any]], output: list[dict[str, Any]]) -> None:
    """Check that the sum of the deltas equals the last event."""
    assert [item["type"] for item in grown] == [item["type"] for item in output]
    for result, text in zip(grown, output, strict=True):
        assert result.get("id") == text.get("id")
        if text["type"] == "message":
            texts = [[part.get("text") for part in item["content"]] for item in (result, text)]
            assert texts[0] == texts[1]
        elif text["type"] == "function_call":
            assert result["arguments"] == text["arguments"]


def _messages(answer: httpx2.Response) -> dict[str, Any]:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    ended = False
    stream: anthropic.Stream[Any] = anthropic.Stream(cast_to=_any_message_event(), response=answer, client=_ANTHROPIC)
    for event in stream:
        assert not ended, event
        ended = event.type == "message_stop"
        snapshot = anthropic_streaming.accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert ended
    result: dict[str, Any] = snapshot.to_dict(mode="json")
    return result


def _any_message_event() -> Any:
    return RawMessageStreamEvent

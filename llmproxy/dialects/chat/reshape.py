"""Chat completions in the other form, legacy text completions too.

Source: platform.openai.com/docs/api-reference/chat-streaming (chunks are merged by index, texts are appended).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.lenient_json import object_of, objects
from llmproxy.dialects.reshape import MALFORMED, JsonObject, Reshape, events_in, read_object
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_DONE = b"[DONE]"
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "text")
# Members of deltas that come once, or repeated, but never in pieces.
_WHOLE = frozenset({"role", "id", "type", "index", "finish_reason", "name"})
_PADDING = "obfuscation"


class ChatReshape(Reshape):
    """Reshapes chat completions and text completions.

    `part` is where a chunk's choice holds what a reply's choice has under `message`; none for text completions.
    """

    stream_fields = ("stream", "stream_options.include_usage")

    def __init__(self, kind: str, chunk_kind: str, part: str | None) -> None:
        self._kind = kind
        self._chunk_kind = chunk_kind
        self._part = part

    def counts_usage(self, request: Mapping[str, Any]) -> bool:
        options = request.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def says_something(self, reply: bytes) -> bool:
        choices = objects((read_object(reply) or {}).get("choices"))
        return any(_says(choice.get("message") if self._part else choice) for choice in choices)

    def is_whole(self, stream: bytes) -> bool:
        """Return whether the stream is whole. Some services omit `[DONE]`; then every choice must have finished."""
        if stream.rstrip().endswith(_DONE):
            return True
        finished: dict[object, bool] = {}
        try:
            for chunk in events_in(stream, _DONE):
                for choice in objects(chunk.get("choices")):
                    index = choice.get("index")
                    finished[index] = finished.get(index, False) or bool(choice.get("finish_reason"))
        except MALFORMED:
            return False
        return all(finished.values())

    def _to_stream(self, reply: JsonObject, usage: bool) -> bytes | None:
        if not isinstance(reply.get("choices"), list):
            return None
        counted = reply.get("usage")
        head = {name: each for name, each in reply.items() if name not in ("choices", "usage")}
        head["object"] = self._chunk_kind
        chunks: list[JsonObject] = [
            {**head, "choices": [choice], **({"usage": None} if usage else {})}
            for whole in objects(reply["choices"])
            for choice in self._pieces(whole)
        ]
        if usage:
            if not isinstance(counted, dict):
                return None
            chunks.append({**head, "choices": [], "usage": counted})
        return b"".join(write_frame(each) for each in (*map(write_value, chunks), _DONE))

    def _pieces(self, choice: JsonObject) -> list[JsonObject]:
        """Return a choice in the pieces that its chunks hold."""
        if self._part is None:
            return [choice]
        members = {**object_of(choice.get("message"))}
        content, calls = members.pop("content", None), objects(members.pop("tool_calls", None))
        first = {"content": "" if isinstance(content, str) else content, **members}
        deltas: list[JsonObject] = [{"role": first.pop("role", "assistant"), **first}]
        if isinstance(content, str) and content:
            deltas.append({"content": content})
        deltas += [{"tool_calls": [{"index": number, **call}]} for number, call in enumerate(calls)]
        index, logprobs = choice.get("index", 0), choice.get("logprobs")
        pieces: list[JsonObject] = [
            {"index": index, "delta": each, "logprobs": None, "finish_reason": None} for each in deltas
        ]
        pieces[-1]["logprobs"] = logprobs
        rest = {name: each for name, each in choice.items() if name not in ("message", "logprobs")}
        return [*pieces, {**rest, "delta": {}, "logprobs": None}]

    def _to_reply(self, stream: bytes) -> bytes | None:
        whole: JsonObject = {}
        choices: dict[object, JsonObject] = {}
        for chunk in events_in(stream, _DONE):
            if "error" in chunk:
                return None
            for choice in objects(chunk.pop("choices", None)):
                _merge(choices.setdefault(choice.get("index"), {}), choice)
            whole |= {name: each for name, each in chunk.items() if each is not None or name not in whole}
        whole.pop(_PADDING, None)
        if not choices or not isinstance(whole.get("usage"), dict):
            return None  # a reply has usage, and this stream does not
        usage = whole.pop("usage")
        finished = [self._whole(choice) for choice in choices.values()]
        return write_value({**whole, "object": self._kind, "choices": finished, "usage": usage})

    def _whole(self, choice: JsonObject) -> JsonObject:
        """Return a choice of a reply, from the merged pieces of its chunks."""
        if self._part is None:
            return choice
        message = choice.pop(self._part, {})
        calls = [
            {name: each for name, each in call.items() if name != "index"} for call in message.pop("tool_calls", [])
        ]
        if calls:
            message["tool_calls"] = calls
            message["content"] = message.get("content") or None
        message = {"role": "assistant", "content": None, "refusal": None, **message}
        return {"index": choice.pop("index", 0), "message": message, **choice}


def _says(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    return any(message.get(name) for name in (*_TEXTS, "tool_calls", "function_call", "audio"))


def _merge(into: JsonObject, piece: JsonObject) -> None:
    """Add a piece to what was there: texts grow, lists are merged by index or grow, objects are merged."""
    for name, new in piece.items():
        old = into.get(name)
        if old is None or new is None:
            if new is not None or name not in into:
                into[name] = _listed(new) if isinstance(new, list) else new
        elif isinstance(old, dict) and isinstance(new, dict):
            _merge(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            _merge_list(old, new)
        elif isinstance(old, str) and isinstance(new, str) and name not in _WHOLE:
            into[name] = old + new
        else:
            into[name] = new


def _listed(new: list[Any]) -> list[Any]:
    merged: list[Any] = []
    _merge_list(merged, new)
    return merged


def _merge_list(old: list[Any], new: list[Any]) -> None:
    for each in new:
        index = each.get("index") if isinstance(each, dict) else None
        known = next((one for one in old if isinstance(one, dict) and one.get("index") == index), None)
        if index is None or known is None:
            old.append(each)
        else:
            _merge(known, each)


CHAT_RESHAPE = ChatReshape("chat.completion", "chat.completion.chunk", "delta")
COMPLETIONS_RESHAPE = ChatReshape("text_completion", "text_completion", None)

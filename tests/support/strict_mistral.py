"""Judge requests of chat as Mistral does: nine letters or digits for the ids of calls, and no member that it lacks.

Source: mistralai 3.7, `chatcompletionrequest`, `contentchunk` and the messages. The words are those of the 422 in
public reports (anon-kode 53, openai-agents-python 442). Begin at `judge_mistral`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.support.strict_chat import judge_chat

_MEMBERS = {
    *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata"),
    *("response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "min_tokens"),
    *("repetition_penalty", "top_k", "logprobs", "top_logprobs", "n", "prediction", "parallel_tool_calls"),
    *("reasoning_effort", "prompt_mode", "guardrails", "prompt_cache_key", "service_tier", "safe_prompt"),
}
_IN_MESSAGES = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
_PARTS = {"text", "image_url", "document_url", "file", "input_audio", "reference", "thinking"}
_ID = re.compile(r"[a-zA-Z0-9]{9}")
_TIERS = ("auto", "standard_only")


def judge_mistral(body: dict[str, Any]) -> Iterator[str]:
    """Yield the faults of a request."""
    for name in body.keys() - _MEMBERS:
        yield f"extra_forbidden: body.{name}: Extra inputs are not permitted"
    if body.get("service_tier", "auto") not in _TIERS:
        yield "literal_error: body.service_tier"
    for index, message in enumerate(body.get("messages") or []):
        yield from _judge_message(index, message)
    # What OpenAI's SDK knows is no measure here.
    yield from (fault for fault in judge_chat(body, compatible=True) if not fault.startswith(("Unknown", "property")))


def _judge_message(index: int, message: dict[str, Any]) -> Iterator[str]:
    role, where = str(message.get("role")), f"body.messages.{index}"
    for name in message.keys() - _IN_MESSAGES.get(role, set()):
        yield f"extra_forbidden: {where}.{role}.{name}: Extra inputs are not permitted"
    ids = [call.get("id") for call in message.get("tool_calls") or ()]
    if "tool_call_id" in message:
        ids.append(message["tool_call_id"])
    for call_id in ids:
        if not _ID.fullmatch(str(call_id)):
            yield f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type")
        if kind not in _PARTS or (kind in ("document_url", "input_audio") and not isinstance(part.get(kind), str)):
            yield f"{where}.{role}.content: {kind} is not a valid part"

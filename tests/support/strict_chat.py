"""Judge requests of chat as OpenAI does, or as the strictest of the compatible services do.

Compatible services know functions only, and take a system turn at the beginning alone (the templates of vLLM and
llama.cpp). The words are the vendors' own where a public report shows them. Begin at `judge_chat`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.strict_members import unknown_members
from tests.support.strict_models import openai_of, openai_refusals

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# What compatible services add to OpenAI's members.
_ADDED = ("reasoning_content", "reasoning", "reasoning_details", "chat_template_kwargs", "thinking", "top_k", "min_p")
_ONLY_OPENAI = ("store", "metadata", "prompt_cache_key", "prompt_cache_options", "safety_identifier", "verbosity")


def judge_chat(body: dict[str, Any], *, compatible: bool) -> Iterator[str]:
    """Yield the faults of a request, as the vendor words them."""
    # Groq and Cerebras, which serve these models, have none of them.
    added = _ADDED if compatible and "gpt-oss" not in str(body.get("model")) else ()
    for path in unknown_members("chat", body):
        if path.rpartition(".")[2] not in added:
            yield f"Unknown parameter: '{path}'."
    messages = body.get("messages") or []
    if not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1."
    yield from openai_refusals(body, body.get("reasoning_effort"), "reasoning_effort")
    model = openai_of(str(body.get("model")))
    if "max_tokens" in body and model and model.efforts and "oss" not in str(body["model"]):
        yield (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
    yield from _judge_tools(body)
    yield from _judge_pairs(messages)
    for index, message in enumerate(messages):
        yield from _judge_message(index, message)
    if compatible:
        yield from _judge_as_compatible(body, messages)


def _judge_as_compatible(body: dict[str, Any], messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if message.get("role") == "system" and index > 0:
            yield "System message must be at the beginning."
        if message.get("role") == "developer":
            yield f"messages[{index}].role: Input should be 'system', 'user', 'assistant' or 'tool'"
        calls = message.get("tool_calls") or ()
        if any(call.get("type") != "function" for call in calls):
            yield f"messages[{index}].tool_calls: Input should be 'function'"
    if any(tool.get("type") != "function" for tool in body.get("tools") or ()):
        yield "tools: Input should be 'function'"
    for name in _ONLY_OPENAI:
        if name in body:
            yield f"property '{name}' is unsupported"


def _judge_tools(body: dict[str, Any]) -> Iterator[str]:
    tools = body.get("tools")
    if not tools:
        yield from _judge_without_tools(body)
        return
    names = [str((tool.get(str(tool.get("type"))) or {}).get("name")) for tool in tools]
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            yield f"Invalid 'tools[{index}].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$': {name!r}"
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and (choice.get(str(choice.get("type"))) or {}).get("name", names[0]) not in names:
        yield "Invalid value for 'tool_choice': the tool is not found in 'tools'."


def _judge_without_tools(body: dict[str, Any]) -> Iterator[str]:
    if body.get("tools") == []:
        yield "Invalid 'tools': empty array. Expected an array with minimum length 1."
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body:
            yield f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."


def _judge_message(index: int, message: dict[str, Any]) -> Iterator[str]:
    content, role = message.get("content"), message.get("role")
    calls = message.get("tool_calls")
    if content is None and not (role == "assistant" and (calls or message.get("refusal"))):
        yield f"Invalid value for 'content': expected a string, got null. (messages[{index}])"
    if content == []:
        yield f"Invalid 'messages[{index}].content': empty array."
    if calls == []:
        yield f"Invalid 'messages[{index}].tool_calls': empty array."
    for call in calls or ():
        function = call.get("function") or call.get("custom") or {}
        if not _NAME.fullmatch(str(function.get("name"))):
            yield f"Invalid 'messages[{index}].tool_calls[].function.name': string does not match pattern"
        if len(str(call.get("id"))) > 40:
            yield f"Invalid 'messages[{index}].tool_calls[].id': string too long. Expected maximum length 40."
        if "function" in call and not _is_object(function.get("arguments")):
            yield f"messages[{index}].tool_calls[].function.arguments: must be a JSON object"


def _is_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def _judge_pairs(messages: list[dict[str, Any]]) -> Iterator[str]:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if message.get("role") == "tool":
            call = str(message.get("tool_call_id"))
            if call in open_calls:
                open_calls.remove(call)
            else:
                yield (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    f"'tool_calls'. (messages[{index}], {call})"
                )
            continue
        yield from _unanswered(open_calls)
        open_calls = [str(call.get("id")) for call in message.get("tool_calls") or ()]
        if len(set(open_calls)) < len(open_calls):
            yield f"messages[{index}].tool_calls: ids must be unique"
    yield from _unanswered(open_calls)


def _unanswered(calls: list[str]) -> Iterator[str]:
    if calls:
        yield (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(calls)}"
        )

"""Judge requests of responses as OpenAI does: members, ids, pairs of calls and outputs, reasoning, model rules.

The words are the vendor's own where a public report shows them. Begin at `judge_responses`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.support.strict_members import unknown_members
from tests.support.strict_models import openai_of, openai_refusals

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# The kinds of calls and the kinds of their outputs. Only a server's own tools are answered by the server.
_OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "tool_search_call": "tool_search_output",
}
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
}


def judge_responses(body: dict[str, Any], *, issued: dict[str, str]) -> Iterator[str]:
    """Yield the faults of a request, as the vendor words them. `issued` holds the encrypted reasoning of the answers
    so far, by the id of its item."""
    for path in unknown_members("responses", body):
        yield f"Unknown parameter: '{path}'."
    given = body.get("input")
    if given in (None, "", []):
        yield "Missing required parameter: 'input'."
    items = given if isinstance(given, list) else []
    reasoning = body.get("reasoning") or {}
    yield from openai_refusals(body, reasoning.get("effort"), "reasoning.effort")
    model = openai_of(str(body.get("model")))
    if model and not model.efforts and "reasoning.encrypted_content" in (body.get("include") or ()):
        yield "Encrypted content is not supported with this model."
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < 16:
        yield f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {limit}."
    yield from _judge_tools(body)
    for index, item in enumerate(items):
        yield from _judge_item(index, item)
    yield from _judge_pairs(items, bool(body.get("previous_response_id") or body.get("conversation")))
    yield from _judge_reasoning(body, items, issued)


def _judge_tools(body: dict[str, Any]) -> Iterator[str]:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(set(names)) < len(names):
        yield "Invalid 'tools': duplicate tool names."
    for index, tool in enumerate(tools):
        if "name" in tool and not _NAME.fullmatch(str(tool["name"])):
            yield f"Invalid 'tools[{index}].name': string does not match pattern. Expected '^[a-zA-Z0-9_-]+$'."
        if tool.get("strict") and (tool.get("parameters") or {}).get("additionalProperties") is not False:
            yield (
                f"Invalid schema for function '{tool['name']}': In context=(), 'additionalProperties' is required to "
                "be supplied and to be false."
            )
        deferred = [tool, *(tool.get("tools") or ())]
        searched = any(each.get("type") == "tool_search" for each in tools)
        if any(each.get("defer_loading") for each in deferred) and not searched:
            yield f"Invalid 'tools[{index}].defer_loading': deferred tools need the tool 'tool_search'."
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom") and choice.get("name") not in names:
        yield f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."


def _judge_item(index: int, item: dict[str, Any]) -> Iterator[str]:
    kind = str(item.get("type", "message"))
    if (name := item.get("name")) is not None and not _NAME.fullmatch(str(name)):
        yield f"Invalid 'input[{index}].name': string does not match pattern. Expected '^[a-zA-Z0-9_-]+$'."
    for member in ("id", "call_id"):
        if len(str(item.get(member) or "")) > 64:
            yield f"Invalid 'input[{index}].{member}': string too long. Expected a string with maximum length 64."
    prefix = _PREFIXES.get(kind)
    if item.get("id") is not None and prefix and not str(item["id"]).startswith(prefix):
        yield f"Invalid 'input[{index}].id': '{item['id']}'. Expected an ID that begins with '{prefix}'."
    if (kind in _OUTPUTS or kind in _OUTPUTS.values()) and not item.get("call_id"):
        yield f"Missing required parameter: 'input[{index}].call_id'."
    if kind == "message" and isinstance(item.get("content"), list):
        yield from _judge_parts(index, item)


def _judge_parts(index: int, item: dict[str, Any]) -> Iterator[str]:
    expected = "output_text" if item.get("role") == "assistant" else "input_text"
    for place, part in enumerate(item["content"]):
        if part.get("type") in ("input_text", "output_text") and part["type"] != expected:
            yield (
                f"Invalid value: '{part['type']}'. Supported values are: '{expected}'. "
                f"(input[{index}].content[{place}])"
            )


def _judge_pairs(items: list[dict[str, Any]], continued: bool) -> Iterator[str]:
    """Judge that every call has one output behind it, and every output its call."""
    expected: dict[Any, str] = {}
    answered: set[Any] = set()
    for item in items:
        kind, call = item.get("type"), item.get("call_id")
        if kind in _OUTPUTS:
            if call in expected:
                yield f"Duplicate item found: two calls have the call_id {call}."
            expected[call] = _OUTPUTS[kind]
        elif kind in _OUTPUTS.values():
            yield from _judge_output(item, expected, continued)
            if call in answered:
                yield f"Duplicate item found: two outputs for call_id {call}."
            answered.add(call)
    for call in expected.keys() - answered:
        yield f"No tool output found for function call {call}."


def _judge_output(item: dict[str, Any], expected: dict[Any, str], continued: bool) -> Iterator[str]:
    kind, call = item["type"], item.get("call_id")
    if call not in expected and not continued:
        yield f"No tool call found for function call output with call_id {call}."
    elif expected.get(call, kind) != kind:
        yield f"The output of call {call} is a {kind}, expected a {expected[call]}."


def _judge_reasoning(body: dict[str, Any], items: list[dict[str, Any]], issued: dict[str, str]) -> Iterator[str]:
    for index, item in enumerate(items):
        if item.get("type") != "reasoning":
            continue
        secret = item.get("encrypted_content")
        if secret is None:
            if body.get("store") is False:
                yield (
                    f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
                )
        elif secret not in issued.values() or issued.get(str(item.get("id")), secret) != secret:
            yield f"The encrypted content {str(secret)[:12]}... could not be verified."
        # Codex ends its request on one when the stream was cut behind it.
        behind = items[index + 1] if index + 1 < len(items) else item
        if behind.get("type") != "reasoning" and not _is_output(behind):
            yield f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."


def _is_output(item: dict[str, Any]) -> bool:
    """Return whether an item is one that a model writes."""
    kind = item.get("type", "message")
    return item.get("role") == "assistant" if kind == "message" else kind.endswith("_call")

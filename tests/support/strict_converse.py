"""Judge requests of Converse as Bedrock does: botocore's validation, the turns, and what Claude refuses behind it.

A request to a Claude is judged in the form of its own API too, to which Bedrock turns it. The words are the vendor's
own where a public report shows them (dify#9294, langchain-aws#130). Begin at `judge_converse`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tests.support.converse_types import complaints_of_botocore
from tests.support.strict_messages import Blocks, judge_messages
from tests.support.strict_models import claude_of

PATH = re.compile(r"/model/([^/]+)/converse(-stream)?$")
_IDS = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def called_model(path: str) -> tuple[str, bool] | None:
    """Return the model that a path calls, and whether it streams; None for another path."""
    match = PATH.search(path)
    return (unquote(match[1]), match[2] is not None) if match else None


def judge_converse(body: dict[str, Any], model: str, *, issued: dict[str, Blocks]) -> Iterator[str]:
    """Yield the faults of a request for `model`. `issued` are the blocks of answers, in the form of messages."""
    yield from complaints_of_botocore(body)
    messages = body.get("messages") or []
    yield from _judge_roles([message.get("role") for message in messages])
    kinds = {kind for message in messages for block in message["content"] for kind in block}
    if kinds & {"toolUse", "toolResult"} and "toolConfig" not in body:
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    for message in messages:
        yield from _judge_content(message["content"])
    points = str(body).count("'cachePoint'")
    if points > 4:
        yield f"A maximum of 4 cache points may be provided. Found {points}."
    if claude_of(model):
        yield from judge_messages(as_messages(body, model), api_version="", beta=False, issued=issued)


def _judge_roles(roles: list[Any]) -> Iterator[str]:
    if roles[:1] != ["user"]:
        yield "A conversation must start with a user message."
    if any(one == other for one, other in itertools.pairwise(roles)):
        yield "A conversation must alternate between user and assistant roles."


def _judge_content(content: Blocks) -> Iterator[str]:
    kinds = [kind for block in content for kind in block]
    if not kinds:
        yield "The content field in the Message object is empty."
    if "document" in kinds and "text" not in kinds:
        yield "A text block must be included when a document is sent."
    for block in content:
        yield from _judge_block(block)


def _judge_block(block: dict[str, Any]) -> Iterator[str]:
    if "text" in block and not block["text"].strip():
        yield "The text field in the ContentBlock object is blank."
    result = block.get("toolResult", {})
    if result.get("status") == "error" and not result["content"]:
        yield "The content field of toolResult cannot be empty when status value is error."
    identity = (block.get("toolUse") or result or {}).get("toolUseId")
    if identity is not None and not _IDS.fullmatch(identity):
        yield f"toolUseId: {identity!r} does not match the pattern [a-zA-Z0-9_.:-]+"


def as_messages(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Return the request as Bedrock gives it to a Claude, as far as the judges read it."""
    config, tools = body.get("inferenceConfig", {}), body.get("toolConfig", {})
    made: dict[str, Any] = {
        "model": model,
        "max_tokens": config.get("maxTokens", 32000),
        "messages": [
            {"role": message["role"], "content": [each for block in message["content"] for each in _block(block)]}
            for message in body.get("messages", ())
        ],
    }
    specs = [tool["toolSpec"] for tool in tools.get("tools", ()) if "toolSpec" in tool]
    if specs:
        made["tools"] = [{"name": spec["name"], "input_schema": spec["inputSchema"]["json"]} for spec in specs]
    for word, value in tools.get("toolChoice", {}).items():
        made["tool_choice"] = {"type": word, **value}
    names = {"temperature": "temperature", "topP": "top_p", "stopSequences": "stop_sequences"}
    made |= {names[name]: value for name, value in config.items() if name in names}
    fields = body.get("additionalModelRequestFields", {})
    made |= {name: fields[name] for name in ("thinking", "top_k", "tool_choice") if name in fields}
    effort = body.get("outputConfig", {}).get("effort")
    return made if effort is None else {**made, "output_config": {"effort": effort}}


def _block(block: dict[str, Any]) -> Blocks:
    [(kind, value)] = block.items()
    if kind == "text":
        return [{"type": "text", "text": value}]
    if kind == "toolUse":
        identity = re.sub("[.:]", "_", value["toolUseId"])
        return [{"type": "tool_use", "id": identity, "name": value["name"], "input": value["input"]}]
    if kind == "toolResult":
        identity = re.sub("[.:]", "_", value["toolUseId"])
        inner = [each for part in value["content"] for each in (_block(part) if "text" in part else ())]
        return [{"type": "tool_result", "tool_use_id": identity, "content": inner}]
    if kind == "reasoningContent":
        text = value.get("reasoningText")
        if text is None:
            return [{"type": "redacted_thinking", "data": value["redactedContent"]}]
        return [{"type": "thinking", "thinking": text["text"], "signature": text.get("signature", "")}]
    return []

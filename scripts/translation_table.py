"""Print the README's table of translation: which features are kept, approximated, dropped or refused for each pair of
dialects.

Every cell is the result of translating a small request with the feature, so the table always fits the code. Run it with
`python -m scripts.translation_table`; `scripts/readme.py` compares it with the README. Begin reading at `table`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Options
from llmproxy.errors import BadRequest
from llmproxy.translation.translation import Translation, read_request

PAIRS = (
    ("chat", "messages"),
    ("chat", "responses"),
    ("messages", "chat"),
    ("messages", "responses"),
    ("responses", "chat"),
    ("responses", "messages"),
)
KEPT, ABOUT, DROPPED, REFUSED, NONE = "yes", "about", "dropped", "refused", ""

_PNG = "iVBORw0KGgo="
_PDF = "JVBERi0xLjQ="
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
_TEXT = {"chat": "text", "messages": "text", "responses": "input_text"}
_CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_MESSAGES_TOOL = {"name": "f", "input_schema": {"type": "object"}}
_RESPONSES_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}


@dataclass(frozen=True, slots=True)
class Feature:
    """One row. Each dialect with the feature has fields of a request, or content parts of the user's message. `about`
    names the targets where it is approximated, `model` is the provider's name for the model.
    """

    name: str
    chat: dict[str, Any] | None = None
    messages: dict[str, Any] | None = None
    responses: dict[str, Any] | None = None
    about: tuple[str, ...] = ()
    model: str = "m"
    parts: dict[str, Any] = field(default_factory=dict)


def _parts(name: str, about: tuple[str, ...] = (), **parts: dict[str, Any]) -> Feature:
    return Feature(name, about=about, parts=parts)


def _result(content: Any, **more: Any) -> dict[str, Any]:
    return {
        "tools": [_MESSAGES_TOOL],
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": content, **more}]},
        ],
    }


_LATER = [
    {"role": "user", "content": "x"},
    {"role": "system", "content": "s"},
    {"role": "assistant", "content": "y"},
    {"role": "user", "content": "z"},
]
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}

FEATURES = (
    Feature(
        "system instructions",
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}]},
        {"system": "s"},
        {"instructions": "s"},
    ),
    Feature(
        "instructions within the conversation",
        {"messages": _LATER},
        {"messages": _LATER},
        {"input": _LATER},
        model="claude-opus-5",
    ),
    Feature("names of speakers", {"messages": [{"role": "user", "content": "x", "name": "ann"}]}),
    _parts(
        "images in base64",
        chat={"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}},
        messages=_IMAGE,
        responses={"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}", "detail": "auto"},
    ),
    _parts(
        "images by URL",
        chat={"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        messages={"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        responses={"type": "input_image", "image_url": "https://h/a.png", "detail": "auto"},
    ),
    _parts(
        "documents in base64",
        chat={"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{_PDF}"}},
        messages={
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF},
        },
        responses={"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{_PDF}"},
    ),
    _parts(
        "documents by URL",
        messages={"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
        responses={"type": "input_file", "file_url": "https://h/a.pdf"},
    ),
    _parts(
        "sounds",
        chat={"type": "input_audio", "input_audio": {"data": _PNG, "format": "wav"}},
        responses={"type": "input_audio", "input_audio": {"data": _PNG, "format": "wav"}},
    ),
    Feature("functions", {"tools": [_CHAT_TOOL]}, {"tools": [_MESSAGES_TOOL]}, {"tools": [_RESPONSES_TOOL]}),
    Feature(
        "free-form tools",
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        responses={"tools": [{"type": "custom", "name": "f"}]},
        about=("messages", "chat"),
    ),
    Feature(
        "a tool that must be called",
        {"tools": [_CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": [_RESPONSES_TOOL], "tool_choice": {"type": "function", "name": "f"}},
    ),
    Feature(
        "one call at a time",
        {"tools": [_CHAT_TOOL], "parallel_tool_calls": False},
        {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [_RESPONSES_TOOL], "parallel_tool_calls": False},
    ),
    Feature("pictures in tool results", messages=_result([_IMAGE]), about=("chat",)),
    Feature("the error flag of tool results", messages=_result("x", is_error=True)),
    Feature(
        "tools of the provider (web search, code, MCP ...)",
        {"web_search_options": {}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "web_search"}]},
    ),
    Feature(
        "thinking by effort",
        {"reasoning_effort": "high"},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        {"reasoning": {"effort": "high"}},
        model="claude-opus-4-6",
    ),
    Feature(
        "thinking by budget",
        messages={"thinking": {"type": "enabled", "budget_tokens": 2000}},
        about=("chat", "responses"),
    ),
    Feature(
        "no thinking",
        {"reasoning_effort": "none"},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"effort": "none"}},
    ),
    Feature(
        "answers by a JSON schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "strict": True}}},
        {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA, "strict": True}}},
    ),
    Feature(
        "answers in any JSON",
        {"response_format": {"type": "json_object"}},
        responses={"text": {"format": {"type": "json_object"}}},
    ),
    Feature("limit of tokens", {"max_completion_tokens": 500}, {"max_tokens": 500}, {"max_output_tokens": 500}),
    Feature("temperature, top_p", {"temperature": 0.5}, {"temperature": 0.5}, {"temperature": 0.5}),
    Feature("top_k", messages={"top_k": 5}),
    Feature("stop sequences", {"stop": ["x"]}, {"stop_sequences": ["x"]}),
    Feature("seed, penalties, logit_bias", {"seed": 1, "presence_penalty": 0.5, "logit_bias": {"1": 1}}),
    Feature(
        "logprobs",
        {"logprobs": True, "top_logprobs": 2},
        responses={"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    ),
    Feature("several choices (n)", {"n": 2}),
    Feature("user", {"user": "u"}, {"metadata": {"user_id": "u"}}, {"user": "u"}),
    Feature("metadata", {"metadata": {"a": "b"}}, responses={"metadata": {"a": "b"}}),
    Feature("verbosity", {"verbosity": "low"}, responses={"text": {"verbosity": "low"}}),
    Feature("service tier", {"service_tier": "auto"}, {"service_tier": "auto"}, {"service_tier": "auto"}),
    Feature(
        "prompt-cache marks",
        messages={"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
    ),
)


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| | " + " | ".join(f"{client} → {provider}" for client, provider in PAIRS) + " |"]
    lines.append("| --- " * (len(PAIRS) + 1) + "|")
    for feature in FEATURES:
        cells = [_cell(feature, client, provider) for client, provider in PAIRS]
        lines.append(f"| {feature.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(feature: Feature, client: str, provider: str) -> str:
    body = _request(feature, client)
    if body is None:
        return NONE
    request = read_request(codecs()[client], json.dumps(body).encode())
    translation = Translation(
        request,
        codecs()[client],
        codecs()[provider],
        options=Options(),
        strict=False,
    )
    try:
        if any(translation.linked_media()):
            return REFUSED
        translation.request(feature.model)
    except BadRequest:
        return REFUSED
    if translation.losses.dropped:
        return DROPPED
    return ABOUT if provider in feature.about else KEPT


def _request(feature: Feature, dialect: str) -> dict[str, Any] | None:
    """Return the smallest request of `dialect` with the feature; None when the dialect lacks it."""
    base: dict[str, Any] = {"model": "m"}
    if dialect == "messages":
        base["max_tokens"] = 8000
    part = feature.parts.get(dialect)
    if part is not None:
        content = [{"type": _TEXT[dialect], "text": "x"}, copy.deepcopy(part)]
        return base | {_member(dialect): [{"role": "user", "content": content}]}
    members = {"chat": feature.chat, "messages": feature.messages, "responses": feature.responses}[dialect]
    if members is None:
        return None
    return base | {_member(dialect): [{"role": "user", "content": "x"}]} | copy.deepcopy(members)


def _member(dialect: str) -> str:
    return "input" if dialect == "responses" else "messages"


def problems(readme: str) -> Iterator[str]:
    """List the rows that differ from the README's table."""
    for line in table().splitlines():
        if line not in readme:
            yield f"the table of translation differs from `python -m scripts.translation_table`: {line}"


if __name__ == "__main__":
    print(table(), end="")

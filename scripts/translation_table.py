"""Print the docs' table of translation: which features are kept, approximated, dropped or refused for providers of
each dialect.

Every cell is the result of translating small requests with the feature, one of each dialect that has it, so the table
always fits the code. Run it with `python -m scripts.translation_table`; `scripts/readme.py` compares it with
llmproxy/docs/translation.md. Begin reading at `table`.
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

DIALECTS = ("chat", "responses", "messages", "gemini", "converse")
KEPT, ABOUT, DROPPED, REFUSED, NONE = "yes", "about", "dropped", "refused", ""

_PNG = "iVBORw0KGgo="
_PDF = "JVBERi0xLjQ="
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
_CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_MESSAGES_TOOL = {"name": "f", "input_schema": {"type": "object"}}
_RESPONSES_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
_GEMINI_TOOL = {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}
_CONVERSE_TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
_MODELS = {"gemini": "gemini-3-pro-preview", "converse": "anthropic.claude-sonnet-4-5"}
"""The models of providers whose features depend on them, where a row names none."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One row. Each dialect with the feature has fields of a request, or content parts of the user's message. `about`
    names the targets where it is approximated, `model` is the provider's name for the model.
    """

    name: str
    chat: dict[str, Any] | None = None
    messages: dict[str, Any] | None = None
    responses: dict[str, Any] | None = None
    gemini: dict[str, Any] | None = None
    converse: dict[str, Any] | None = None
    about: tuple[str, ...] = ()
    model: str = "m"
    parts: dict[str, Any] = field(default_factory=dict)


def _parts(name: str, about: tuple[str, ...] = (), **parts: dict[str, Any]) -> Feature:
    return Feature(name, about=about, parts=parts)


def _config(**members: Any) -> dict[str, Any]:
    return {"generationConfig": members}


def _fields(**members: Any) -> dict[str, Any]:
    return {"additionalModelRequestFields": members}


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _linked(media_type: str, uri: str) -> dict[str, Any]:
    return {"fileData": {"mimeType": media_type, "fileUri": uri}}


def _gemini_result(**response: Any) -> dict[str, Any]:
    return {
        "tools": [_GEMINI_TOOL],
        "contents": [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", **response}}]},
        ],
    }


def _converse_result(content: Any, **more: Any) -> dict[str, Any]:
    return {
        "toolConfig": {"tools": [_CONVERSE_TOOL]},
        "messages": [
            {"role": "user", "content": [{"text": "x"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [content], **more}}]},
        ],
    }


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
        {"systemInstruction": {"parts": [{"text": "s"}]}},
        {"system": [{"text": "s"}]},
    ),
    Feature(
        "instructions within the conversation",
        {"messages": _LATER},
        {"messages": _LATER},
        {"input": _LATER},
        converse={"messages": [{"role": each["role"], "content": [{"text": each["content"]}]} for each in _LATER]},
        about=("gemini",),
        model="claude-opus-5",
    ),
    Feature("names of speakers", {"messages": [{"role": "user", "content": "x", "name": "ann"}]}),
    _parts(
        "images in base64",
        chat={"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}},
        messages=_IMAGE,
        responses={"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}", "detail": "auto"},
        gemini=_inline("image/png", _PNG),
        converse={"image": {"format": "png", "source": {"bytes": _PNG}}},
    ),
    _parts(
        "images by URL",
        chat={"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        messages={"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        responses={"type": "input_image", "image_url": "https://h/a.png", "detail": "auto"},
        gemini=_linked("image/png", "https://h/a.png"),
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
        gemini=_inline("application/pdf", _PDF),
        converse={"document": {"format": "pdf", "name": "a", "source": {"bytes": _PDF}}},
    ),
    _parts(
        "documents by URL",
        messages={"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
        responses={"type": "input_file", "file_url": "https://h/a.pdf"},
        gemini=_linked("application/pdf", "https://h/a.pdf"),
    ),
    _parts(
        "documents to be cited",
        messages={
            "type": "document",
            "citations": {"enabled": True},
            "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF},
        },
        converse={
            "document": {
                "format": "pdf",
                "name": "a",
                "source": {"bytes": _PDF},
                "citations": {"enabled": True},
            }
        },
    ),
    _parts(
        "sounds",
        chat={"type": "input_audio", "input_audio": {"data": _PNG, "format": "wav"}},
        responses={"type": "input_audio", "input_audio": {"data": _PNG, "format": "wav"}},
        gemini=_inline("audio/wav", _PNG),
        converse={"audio": {"format": "wav", "source": {"bytes": _PNG}}},
    ),
    _parts(
        "videos",
        gemini=_inline("video/mp4", _PNG),
        converse={"video": {"format": "mp4", "source": {"bytes": _PNG}}},
    ),
    Feature(
        "functions",
        {"tools": [_CHAT_TOOL]},
        {"tools": [_MESSAGES_TOOL]},
        {"tools": [_RESPONSES_TOOL]},
        {"tools": [_GEMINI_TOOL]},
        {"toolConfig": {"tools": [_CONVERSE_TOOL]}},
    ),
    Feature(
        "free-form tools",
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        responses={"tools": [{"type": "custom", "name": "f"}]},
        about=("messages", "chat", "gemini", "converse"),
    ),
    Feature(
        "a tool that must be called",
        {"tools": [_CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": [_RESPONSES_TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {
            "tools": [_GEMINI_TOOL],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        },
        {"toolConfig": {"tools": [_CONVERSE_TOOL], "toolChoice": {"tool": {"name": "f"}}}},
    ),
    Feature(
        "one call at a time",
        {"tools": [_CHAT_TOOL], "parallel_tool_calls": False},
        {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [_RESPONSES_TOOL], "parallel_tool_calls": False},
        converse={
            "toolConfig": {"tools": [_CONVERSE_TOOL]},
            **_fields(tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        },
    ),
    Feature(
        "pictures in tool results",
        messages=_result([_IMAGE]),
        gemini=_gemini_result(response={"output": "x"}, parts=[_inline("image/png", _PNG)]),
        converse=_converse_result({"image": {"format": "png", "source": {"bytes": _PNG}}}),
        about=("chat",),
    ),
    Feature(
        "the error flag of tool results",
        messages=_result("x", is_error=True),
        gemini=_gemini_result(response={"error": "x"}),
        converse=_converse_result({"text": "x"}, status="error"),
    ),
    Feature(
        "tools of the provider (web search, code, MCP ...)",
        {"web_search_options": {}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"googleSearch": {}}]},
        {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
    ),
    Feature(
        "thinking by effort",
        {"reasoning_effort": "high"},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        {"reasoning": {"effort": "high"}},
        _config(thinkingConfig={"thinkingLevel": "HIGH"}),
        {"outputConfig": {"effort": "high"}},
        model="claude-opus-4-6",
    ),
    Feature(
        "thinking by budget",
        messages={"thinking": {"type": "enabled", "budget_tokens": 2000}},
        gemini=_config(thinkingConfig={"thinkingBudget": 2000}),
        converse=_fields(thinking={"type": "enabled", "budget_tokens": 2000}),
        about=("chat", "responses", "gemini"),
    ),
    Feature(
        "no thinking",
        {"reasoning_effort": "none"},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"effort": "none"}},
        _config(thinkingConfig={"thinkingBudget": 0}),
        _fields(thinking={"type": "disabled"}),
        about=("gemini",),
    ),
    Feature(
        "answers by a JSON schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "strict": True}}},
        {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA, "strict": True}}},
        _config(responseMimeType="application/json", responseJsonSchema=_SCHEMA),
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"name": "n", "schema": json.dumps(_SCHEMA)}},
                }
            }
        },
    ),
    Feature(
        "answers in any JSON",
        {"response_format": {"type": "json_object"}},
        responses={"text": {"format": {"type": "json_object"}}},
        gemini=_config(responseMimeType="application/json"),
    ),
    Feature(
        "limit of tokens",
        {"max_completion_tokens": 500},
        {"max_tokens": 500},
        {"max_output_tokens": 500},
        _config(maxOutputTokens=500),
        {"inferenceConfig": {"maxTokens": 500}},
    ),
    Feature(
        "temperature, top_p",
        {"temperature": 0.5},
        {"temperature": 0.5},
        {"temperature": 0.5},
        _config(temperature=0.5),
        {"inferenceConfig": {"temperature": 0.5}},
    ),
    Feature("top_k", messages={"top_k": 5}, gemini=_config(topK=5), converse=_fields(top_k=5)),
    Feature(
        "stop sequences",
        {"stop": ["x"]},
        {"stop_sequences": ["x"]},
        gemini=_config(stopSequences=["x"]),
        converse={"inferenceConfig": {"stopSequences": ["x"]}},
    ),
    Feature("seed, penalties", {"seed": 1, "presence_penalty": 0.5}, gemini=_config(seed=1, presencePenalty=0.5)),
    Feature("logit_bias", {"logit_bias": {"1": 1}}),
    Feature(
        "logprobs",
        {"logprobs": True, "top_logprobs": 2},
        responses={"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        gemini=_config(responseLogprobs=True, logprobs=2),
    ),
    Feature("several choices (n)", {"n": 2}, gemini=_config(candidateCount=2)),
    Feature("user", {"user": "u"}, {"metadata": {"user_id": "u"}}, {"user": "u"}),
    Feature("metadata", {"metadata": {"a": "b"}}, responses={"metadata": {"a": "b"}}),
    Feature("verbosity", {"verbosity": "low"}, responses={"text": {"verbosity": "low"}}),
    Feature(
        "service tier",
        {"service_tier": "auto"},
        {"service_tier": "auto"},
        {"service_tier": "auto"},
        {"serviceTier": "standard"},
        {"serviceTier": {"type": "default"}},
    ),
    Feature(
        "prompt-cache marks",
        messages={"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        converse={"system": [{"text": "s"}, {"cachePoint": {"type": "default"}}]},
    ),
)


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| | " + " | ".join(f"→ {provider}" for provider in DIALECTS) + " |"]
    lines.append("| --- " * (len(DIALECTS) + 1) + "|")
    for feature in FEATURES:
        lines.append(f"| {feature.name} | " + " | ".join(_cell(feature, provider) for provider in DIALECTS) + " |")
    return "\n".join(lines) + "\n"


def _cell(feature: Feature, provider: str) -> str:
    """Return what becomes of the feature for a provider; with the clients for which it is another thing."""
    outcomes = {
        client: outcome
        for client in DIALECTS
        if client != provider and (outcome := _outcome(feature, client, provider)) is not None
    }
    if not outcomes:
        return NONE
    usual = max(outcomes.values(), key=list(outcomes.values()).count)
    others = {outcome: [client for client in outcomes if outcomes[client] == outcome] for outcome in outcomes.values()}
    more = [f"{outcome} from {', '.join(clients)}" for outcome, clients in others.items() if outcome != usual]
    return "; ".join([usual, *more])


def _outcome(feature: Feature, client: str, provider: str) -> str | None:
    """Return what becomes of the feature in one translation; None where the client's dialect lacks it."""
    body = _request(feature, client)
    if body is None:
        return None
    request = read_request(codecs()[client], json.dumps(body).encode())
    translation = Translation(
        request,
        codecs()[client],
        codecs()[provider],
        options=Options(),
        strict=False,
    )
    model = feature.model
    if provider in _MODELS and (model == "m" or provider == "gemini"):
        model = _MODELS[provider]
    try:
        if any(translation.linked_media()):
            return REFUSED
        translation.request(f"anthropic.{model}" if provider == "converse" and model == feature.model else model)
    except BadRequest:
        return REFUSED
    if translation.losses.dropped:
        return ABOUT if provider in feature.about else DROPPED
    return ABOUT if provider in feature.about else KEPT


def _request(feature: Feature, dialect: str) -> dict[str, Any] | None:
    """Return the smallest request of `dialect` with the feature; None when the dialect lacks it."""
    base: dict[str, Any] = {"model": "m"}
    if dialect == "messages":
        base["max_tokens"] = 8000
    part = feature.parts.get(dialect)
    if part is not None:
        return base | _asking(dialect, copy.deepcopy(part))
    members: dict[str, Any] | None = getattr(feature, dialect)
    if members is None:
        return None
    return base | _asking(dialect) | copy.deepcopy(members)


def _asking(dialect: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a request with one message of the user."""
    texts = {"responses": {"type": "input_text", "text": "x"}, "gemini": {"text": "x"}, "converse": {"text": "x"}}
    content = [texts.get(dialect, {"type": "text", "text": "x"}), *parts]
    if dialect == "gemini":
        return {"contents": [{"role": "user", "parts": content}]}
    return {"input" if dialect == "responses" else "messages": [{"role": "user", "content": content}]}


def problems(page: str) -> Iterator[str]:
    """List the rows that differ from the page's table."""
    for line in table().splitlines():
        if line not in page:
            yield f"the table of translation differs from `python -m scripts.translation_table`: {line}"


if __name__ == "__main__":
    print(table(), end="")

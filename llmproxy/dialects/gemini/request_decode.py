"""A generateContent request, decoded into the neutral vocabulary. Its model and whether it streams stand in the path.

Source: `google.genai.types.GenerateContentConfig` and the converters `_GenerateContentConfig_to_mldev` and
`_to_vertex` in `google.genai.models`, which say where each member stands. Begin reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.content import only_texts
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.gemini.call_ids import CallIds
from llmproxy.dialects.gemini.content import read_part
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.schemas import json_schema
from llmproxy.dialects.gemini.tables import NAME, SAMPLING
from llmproxy.dialects.gemini.thinking import decode_thinking_config
from llmproxy.dialects.gemini.tools import decode_choice, decode_tools
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Format, Instruction, Message, Request, Sampling, ToolCall, ToolResult
from llmproxy.dialects.request_fields import decode_strings

_ROLES = ("user", "model", "function")
_CONFIG = "generationConfig"
JSON_TYPE = "application/json"
_PATHS = {name: f"{_CONFIG}.{member}" for name, member in SAMPLING.items()} | {
    "stop": f"{_CONFIG}.stopSequences",
    "n": f"{_CONFIG}.candidateCount",
    "modalities": f"{_CONFIG}.responseModalities",
    "tool_choice": "toolConfig.functionCallingConfig",
    "service_tier": "serviceTier",
    "metadata": "labels",
}


def decode_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = ProtoMembers(body)
    paths = dict(_PATHS)
    if members.rest.get("contents") is None:
        members.missing("contents")
    model = members.text("model") or ""
    config = members.inner(_CONFIG)
    thinking = None if config is None else config.inner("thinkingConfig")
    choice, tool_config = decode_choice(members)
    system, system_extra = _decode_system(members)
    request = Request(
        dialect=NAME,
        model=model,
        system=system,
        messages=_decode_contents(members),
        tools=decode_tools(members),
        tool_choice=choice,
        sampling=Sampling() if config is None else _decode_sampling(config),
        reasoning=decode_thinking_config(thinking, paths),
        format=None if config is None else _decode_format(config),
        knobs=_decode_knobs(members),
        paths=paths,
    )
    request.extra = nested_extra(members, config, tool_config) | system_extra
    return request


def _decode_system(members: Members) -> tuple[list[Instruction], dict[str, Any]]:
    system = members.any("systemInstruction")
    if system is None:
        return [], {}
    if isinstance(system, str):
        system = {"parts": [{"text": system}]}
    content = ProtoMembers(system, "systemInstruction")
    role = content.text("role")
    texts = only_texts([read_part(part, CallIds()) for part in content.objects("parts")])
    extra: dict[str, Any] = {} if role is None else {"~role": role}
    extra |= content.left()
    return [Instruction(path=text.path, content=[text]) for text in texts], {"~systemInstruction": extra}


def _decode_contents(members: Members) -> list[Message]:
    contents = members.rest.get("contents")
    if isinstance(contents, str):
        members.rest["contents"] = [{"parts": [{"text": contents}]}]
    ids = CallIds()
    return [_decode_content(content, ids) for content in members.objects("contents")]


def _decode_content(content: Members, ids: CallIds) -> Message:
    role = content.word("role", _ROLES)
    blocks = [read_part(part, ids) for part in content.objects("parts")]
    model = role == "model"
    for block in blocks:
        if isinstance(block, ToolResult) and model:
            wrong(block.path, "is a function response, which is allowed in contents of the user only")
        if isinstance(block, ToolCall) and not model:
            wrong(block.path, "is a function call, which is allowed in contents of the model only")
    extra = content.left()
    if role in (None, "function"):
        extra["~role"] = role
    return Message(path=content.path, role="assistant" if model else "user", content=blocks, extra=extra)


def _decode_sampling(config: Members) -> Sampling:
    top_k = config.rest.get("topK")
    whole = type(top_k) is not float or top_k.is_integer()  # Vertex takes any number
    return Sampling(
        max_tokens=config.whole("maxOutputTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.whole("topK") if whole else None,
        stop=decode_strings(config.items("stopSequences") or [], config.at("stopSequences")),
        seed=config.whole("seed"),
        presence_penalty=config.number("presencePenalty"),
        frequency_penalty=config.number("frequencyPenalty"),
        logprobs=config.flag("responseLogprobs"),
        top_logprobs=config.whole("logprobs"),
    )


def _decode_format(config: Members) -> Format | None:
    """Return the form of the answer: by type and schema, or the text in the newer list `responseFormat`."""
    if config.rest.get("responseFormat") is not None:
        return _decode_format_list(config)
    kind = config.rest.get("responseMimeType")
    subset, full = config.rest.get("responseSchema"), config.rest.get("responseJsonSchema")
    if kind != JSON_TYPE:
        return None
    del config.rest["responseMimeType"]
    if not isinstance(full, dict) and not isinstance(subset, dict):
        return Format(path=config.at("responseMimeType"), kind="json")
    name = "responseJsonSchema" if isinstance(full, dict) else "responseSchema"
    schema = config.object(name)
    form = Format(path=config.at(name), kind="schema", schema=schema)
    if name == "responseSchema" and schema is not None:
        form.schema = json_schema(schema)
        form.extra = {"~responseSchema": schema}
    return form


def _decode_format_list(config: Members) -> Format | None:
    forms = config.rest["responseFormat"]
    form = forms[0] if isinstance(forms, list) and len(forms) == 1 else None
    text = form.get("text") if isinstance(form, dict) and len(form) == 1 else None
    if not isinstance(text, dict):
        return None
    inner = ProtoMembers(text, config.at("responseFormat[0].text"))
    kind, schema = inner.text("mimeType"), inner.object("schema")
    if inner.left() or kind not in (None, JSON_TYPE, "APPLICATION_JSON"):
        return None
    del config.rest["responseFormat"]
    found = Format(path=inner.path, kind="json" if schema is None else "schema", schema=schema)
    found.extra = {"~responseFormat": forms}
    return found


def _decode_knobs(members: Members) -> dict[str, Any]:
    tier = members.text("serviceTier")
    knobs = {
        "service_tier": "default" if tier == "standard" else tier,
        "store": members.flag("store"),
        "metadata": members.object("labels"),
    }
    return {name: value for name, value in knobs.items() if value is not None}

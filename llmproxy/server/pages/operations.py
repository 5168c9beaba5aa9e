"""The operations of an OpenAPI document: what one method of one path takes and answers.

Values only: what is served decides `openapi.py`. Source: spec.openapis.org/oas/v3.1.1.html. Begin reading at
`operation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmproxy.dialects.derived import example_request
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.wire.json import read_value

OperationObject = dict[str, Any]
JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
_PARAMETER = re.compile(r"\{(\w+)\}")
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_REST_OF_PATH = "The rest of the path, which may contain slashes."
_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Hold what is said of an operation beside its method and path."""

    tag: str
    summary: str
    responses: Mapping[str, Any]
    description: str = ""
    query: Mapping[str, Mapping[str, Any]] | None = None
    body: Mapping[str, Any] | None = None


def operation(method: str, path: str, described: Described, security: Sequence[Mapping[str, Any]]) -> OperationObject:
    """Return one operation. `security` are the alternatives of what a client shows."""
    parameters = [*_path_parameters(path), *_query_parameters(described.query or {})]
    return {
        "operationId": _NO_NAME.sub("_", f"{method.lower()}{path}").strip("_"),
        "tags": [described.tag],
        "summary": described.summary,
        **({"description": described.description} if described.description else {}),
        **({"parameters": parameters} if parameters else {}),
        **({} if described.body is None else {"requestBody": described.body}),
        "responses": described.responses,
        "security": list(security),
    }


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        more = {"description": _REST_OF_PATH} if name == "path" else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}, **more}


def _query_parameters(query: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for name, schema in query.items():
        yield {"name": name, "in": "query", "required": False, "schema": dict(schema)}


def json_response(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response whose body is JSON."""
    return {"description": description, "content": {JSON: {"schema": dict(schema)}}}


def page_responses(content_types: Iterable[str]) -> dict[str, Any]:
    """Return the responses of a page of ours."""
    content = {each: {"schema": {"type": "object" if each == JSON else "string"}} for each in content_types}
    return {
        "200": {"description": "The page.", "content": content},
        "default": json_response("What is wrong.", ERROR),
    }


def any_body() -> dict[str, Any]:
    """Return the body of a call that is relayed, whatever it is."""
    return {"description": "Relayed as it is.", "required": False, "content": {"*/*": {"schema": {}}}}


def relayed_responses() -> dict[str, Any]:
    """Return the responses of a call that is relayed."""
    return {"default": {"description": "The provider's answer, as it is, or an error of the proxy."}}


def call_body(endpoint: Endpoint, model: str) -> dict[str, Any]:
    """Return the body of a call that names a model: its schema, and an example that asks `model`.
    It may be a form instead where the call takes files."""
    dialect = endpoint.dialect
    example = _example(dialect, model) if endpoint.path == dialect.paths[0] else {}
    if endpoint.model_in is None and "model" not in example:
        example = {"model": model, **example}
    elif endpoint.model_in is not None:
        example.pop("model", None)
    schema = dialect.schemas.request or {
        "type": "object",
        "required": [name for name in ("model", "messages", "contents", "input", "prompt") if name in example],
        "properties": {name: {"type": _TYPES.get(type(value), "object")} for name, value in example.items()},
    }
    content = {"schema": dict(schema), **({"example": example} if example else {})}
    forms = {"multipart/form-data": {"schema": {"type": "object"}}} if endpoint.takes_forms else {}
    return {"required": True, "content": {JSON: content, **forms}}


def _example(dialect: Dialect, model: str) -> dict[str, Any]:
    """Return the request that only says hello, in this dialect."""
    if dialect.codec is None:
        return dict(dialect.schemas.example)
    value = read_value(example_request(dialect.codec, model, "Hello"))
    return value if isinstance(value, dict) else {}


def call_responses(endpoint: Endpoint) -> dict[str, Any]:
    """Return the responses of a call: whole, or as a stream."""
    dialect = endpoint.dialect
    whole = {JSON: {"schema": dict(dialect.schemas.answer or {"type": "object"})}}
    framings = (dialect.framing, *([] if dialect.other_framing is None else [dialect.other_framing]))
    stream: dict[str, Any] = {each.media_type: {"schema": {}} for each in framings}
    both = {**whole, **(stream if endpoint.translatable else {})}
    content = both if endpoint.streams is None else stream if endpoint.streams else whole
    error = dialect.schemas.error or {"type": "object"}
    return {
        "200": {"description": "The answer.", "content": content},
        "default": json_response("An error, in the form of this API.", error),
    }


def stream_query(dialect: Dialect) -> dict[str, Mapping[str, Any]]:
    """Return the parameter of a query with which a client chooses the framing of a stream, where there is one."""
    name, _, value = (dialect.stream_query or "").partition("=")
    return {name: {"type": "string", "enum": [value]}} if dialect.other_framing is not None and name else {}

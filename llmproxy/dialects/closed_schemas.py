"""JSON Schemas as structured output and strict tools need them.

Source: the limits on platform.claude.com/docs/en/build-with-claude/structured-outputs. Objects get no additional
properties; limits on numbers, lengths and patterns move to the description, as in the vendor's own SDKs; `oneOf`
becomes `anyOf`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.members import wrong
from llmproxy.wire.json import write_value

_TO_DESCRIPTION = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern"),
    *("maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties"),
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")


def closed_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return `closed` of the schema at the JSON path `path`. Raises BadRequest for one that is nested too deeply."""
    try:
        return closed(schema)
    except RecursionError:
        wrong(path, "has a schema that is nested too deeply")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` within the limits. What is not supported moves to the description."""
    result = {name: value for name, value in schema.items() if name != "$schema"}
    if "oneOf" in result and "anyOf" not in result:
        result["anyOf"] = result.pop("oneOf")
    moved = {name: result.pop(name) for name in _TO_DESCRIPTION if name in result}
    if result.get("minItems", 0) not in (0, 1):
        moved["minItems"] = result.pop("minItems")
    if isinstance(result.get("format"), str) and result["format"] not in _FORMATS:
        moved["format"] = result.pop("format")
    if moved:
        words = write_value(moved).decode()
        description = result.get("description")
        result["description"] = f"{description}\n\n{words}" if isinstance(description, str) and description else words
    if _is_object(result):
        result.setdefault("additionalProperties", False)
    _close_inner(result)
    return result


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)
    )


def _close_inner(schema: dict[str, Any]) -> None:
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            schema[name] = {key: _inner(value) for key, value in schema[name].items()}
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            schema[name] = [_inner(value) for value in schema[name]]
    if "items" in schema:
        schema["items"] = _inner(schema["items"])


def _inner(value: Any) -> Any:
    return closed(value) if isinstance(value, dict) else value

"""JSON Schemas as structured output and strict tools want them.

Source: the limits on platform.claude.com/docs/en/build-with-claude/structured-outputs. Objects say that they have no
further members; limits on numbers, lengths and patterns are told in words, as the vendor's own SDKs do; `oneOf` becomes
`anyOf`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.members import wrong
from llmproxy.wire.json import write_value

_TOLD = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern"),
    *("maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties"),
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")


def closed_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """`closed` for the schema of what stands at `path`. Raises BadRequest for one that is nested too deeply."""
    try:
        return closed(schema)
    except RecursionError:
        wrong(path, "has a schema that is nested too deeply")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` within the limits. What it says stays: in its place where that is known, in words elsewhere."""
    written = {name: value for name, value in schema.items() if name != "$schema"}
    if "oneOf" in written and "anyOf" not in written:
        written["anyOf"] = written.pop("oneOf")
    told = {name: written.pop(name) for name in _TOLD if name in written}
    if written.get("minItems", 0) not in (0, 1):
        told["minItems"] = written.pop("minItems")
    if isinstance(written.get("format"), str) and written["format"] not in _FORMATS:
        told["format"] = written.pop("format")
    if told:
        words = write_value(told).decode()
        said = written.get("description")
        written["description"] = f"{said}\n\n{words}" if isinstance(said, str) and said else words
    if _is_object(written):
        written.setdefault("additionalProperties", False)
    _close_inner(written)
    return written


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

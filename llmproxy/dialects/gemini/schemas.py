"""Schemas in Google's subset of OpenAPI, as JSON Schema, which all other dialects have.

Source: `google.genai.types.Schema`. What is sent to Google goes as JSON Schema too, in `parametersJsonSchema` and
`responseJsonSchema`, so nothing turns it back. Begin reading at `json_schema`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.gemini.proto_members import camel

_NAMES = {"defs": "$defs", "ref": "$ref"}
_SCHEMAS = ("items", "additionalProperties")
_LISTS = ("anyOf", "prefixItems")
_MAPS = ("properties", "$defs")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_LEFT_OUT = ("nullable", "propertyOrdering", "example")
_UNSPECIFIED = "TYPE_UNSPECIFIED"


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the names, types and counts of JSON Schema. What is no schema stays as it is."""
    result: dict[str, Any] = {}
    for name, value in schema.items():
        name = camel(name) if "_" in name else name
        name = _NAMES.get(name, name)
        if value is not None and name not in _LEFT_OUT:
            result[name] = _converted(name, value)
    if result.get("format") == "enum":
        del result["format"]
    if result.get("type") == _UNSPECIFIED.lower():
        del result["type"]
    return _nullable(result) if schema.get("nullable") is True else result


def _converted(name: str, value: Any) -> Any:
    if name == "type":
        return value.lower() if isinstance(value, str) else value
    if name in _SCHEMAS and isinstance(value, dict):
        return json_schema(value)
    if name in _LISTS and isinstance(value, list):
        return [json_schema(each) if isinstance(each, dict) else each for each in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: json_schema(each) if isinstance(each, dict) else each for key, each in value.items()}
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)  # int64 is a string in JSON of protocol buffers
    return value


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that takes null as well."""
    kind = schema.get("type")
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(kind, str):
        schema = {**schema, "type": [kind, "null"]}
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    return schema

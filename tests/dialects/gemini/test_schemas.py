"""Google's schemas as JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.gemini.schemas import json_schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "OBJECT", "properties": {"any_of": {"type": "NUMBER"}}, "propertyOrdering": ["any_of"]},
            {"type": "object", "properties": {"any_of": {"type": "number"}}},
        ),
        (
            {"type": "ARRAY", "items": {"type": "BOOLEAN"}, "minItems": "2", "max_items": 3},
            {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
        ),
        (
            {"ref": "#/defs/A", "defs": {"A": {"type": "STRING"}}},
            {"$ref": "#/defs/A", "$defs": {"A": {"type": "string"}}},
        ),
        ({"type": "TYPE_UNSPECIFIED", "example": 1}, {}),
        (
            {"type": 5, "items": [1], "properties": [], "anyOf": [3]},
            {"type": 5, "items": [1], "properties": [], "anyOf": [3]},
        ),
    ],
)
def test_names_types_and_counts_are_those_of_json_schema(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json_schema(schema) == expected

"""JSON Schemas within the limits of structured output."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from llmproxy.dialects.closed_schemas import closed, closed_at
from llmproxy.errors import BadRequest

NUMBER = {"type": "number"}


def test_every_object_is_closed_wherever_it_stands() -> None:
    open_object = {"type": "object", "properties": {"a": NUMBER}, "required": ["a"]}
    shut = {**open_object, "additionalProperties": False}
    schema = {
        **open_object,
        "properties": {"a": open_object, "b": {"type": "array", "items": open_object}},
        "anyOf": [open_object, {"type": "null"}],
        "$defs": {"d": open_object},
    }
    before = copy.deepcopy(schema)
    assert closed(schema) == {
        **shut,
        "properties": {"a": shut, "b": {"type": "array", "items": shut}},
        "anyOf": [shut, {"type": "null"}],
        "$defs": {"d": shut},
    }
    assert schema == before


def test_what_says_that_it_is_open_stays_so() -> None:
    schema = {"type": "object", "additionalProperties": NUMBER}
    assert closed(schema) == schema


def test_limits_that_are_not_known_are_told_in_words() -> None:
    assert closed({"type": "integer", "minimum": 1, "maximum": 5, "description": "A number."}) == {
        "type": "integer",
        "description": 'A number.\n\n{"minimum":1,"maximum":5}',
    }
    assert closed({"type": "string", "format": "color"}) == {"type": "string", "description": '{"format":"color"}'}
    assert closed({"type": "array", "minItems": 2}) == {"type": "array", "description": '{"minItems":2}'}
    for known in ({"type": "string", "format": "date"}, {"type": "array", "minItems": 1}, {"enum": ["a"]}):
        assert closed(known) == known


def test_one_of_becomes_any_of_and_the_name_of_the_schema_language_goes() -> None:
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": [NUMBER]}
    assert closed(schema) == {"anyOf": [NUMBER]}


@pytest.mark.parametrize("odd", [{"properties": 5}, {"anyOf": "x"}, {"items": True}, {"type": 5}, {"format": []}])
def test_what_is_no_schema_stays_as_it_is(odd: dict[str, Any]) -> None:
    assert closed(odd).items() >= odd.items()


def test_a_bottomless_schema_is_refused_by_its_place() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    with pytest.raises(BadRequest) as raised:
        closed_at(schema, "tools[0]")
    assert raised.value.param == "tools[0]"

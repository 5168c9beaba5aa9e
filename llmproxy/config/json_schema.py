"""The JSON Schema of the configuration file, for editors, made of the same models that read it.

Wherever a number, one of some words or true/false is expected, `${VAR}` is fine too; older spellings are marked.
Draft 7, which is what editors know best. Begin reading at `json_schema`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from llmproxy.config.components import LLM_TYPE, NOT_OF_LLM
from llmproxy.config.legacy_keys import KEYS
from llmproxy.config.schema import Config
from llmproxy.config.section_aliases import SECTIONS, SETTINGS
from llmproxy.providers.base import HttpProvider
from llmproxy.registry import config_of, find, names
from llmproxy.stores.base import StoreReference

FILE_NAME = "llmproxy.schema.json"

_VARIABLE = {"type": "string", "pattern": r"\$\{|^os\.environ/", "description": "A variable: ${NAME}."}
_NOTES = ("description", "default", "examples", "deprecated")


def json_schema() -> dict[str, Any]:
    """The schema as a JSON object."""
    schema = _of(Config)
    defs, properties = schema.pop("$defs"), schema["properties"]
    del defs["ProviderConfig"], defs["StoreConfig"], defs["Strict"]
    for title, (model, _) in _provider_classes().items():
        made = _of(model)
        defs |= made.pop("$defs", {})
        defs[title], defs[f"{title}_llm"] = made, _as_llm(made)
    defs["Target"] = {"anyOf": [{"type": "string", "description": "In short: provider/model."}, defs["Target"]]}
    stores = _store_classes()
    defs |= stores | {"StoreEntry": _store_entry()}
    properties["stores"]["additionalProperties"] = _STORE_ENTRY
    defs |= _describe_middlewares(defs["MiddlewareEntry"], stores)
    properties["providers"]["items"] = _provider_entry()
    properties["llm"] = {"description": properties["llm"]["description"], **_llm()}
    properties |= _older(properties, defs)
    for name, value in properties.items():
        properties[name] = {"anyOf": [value, {"type": "null"}], **_notes(value)}
    schema["properties"] = {name: _patient(value) for name, value in properties.items()}
    schema["$defs"] = {name: _patient(value) for name, value in sorted(defs.items())}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "llmproxy configuration", **schema}


class _Generator(GenerateJsonSchema):
    """Shows defaults in their human form."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        inner = schema["schema"].get("serialization")
        if inner and inner["type"] == "function-plain" and "default" in made and not isinstance(made["default"], str):
            made["default"] = inner["function"](made["default"])
        return made


def _of(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one model, without the titles that only repeat names."""
    schema: dict[str, Any] = _untitled(model.model_json_schema(schema_generator=_Generator))
    return schema


def _untitled(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _untitled(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)}


def _notes(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema.pop(name) for name in _NOTES if name in schema}


def _provider_classes() -> dict[str, tuple[type[BaseModel], list[str]]]:
    """The configs of built-in providers by the names of their classes, and the types that each serves."""
    classes: dict[str, tuple[type[BaseModel], list[str]]] = {}
    for type_ in names("providers"):
        component = find("providers", type_, Path())
        classes.setdefault(component.__name__, (config_of(component), []))[1].append(type_)
    return classes


def _store_classes() -> dict[str, dict[str, Any]]:
    """The schemas of our stores, by the names of their classes."""
    components = [find("stores", type_, Path()) for type_ in names("stores")]
    return {component.__name__: _of(config_of(component)) for component in components}


def _store_entry() -> dict[str, Any]:
    """An entry of `stores`: in short, or with a type that says which keys there are."""
    known = {"enum": names("stores")}
    own = {"type": "string", "description": "./path/file.py:Class, or the name under which a package offers one."}
    cases = [_case([type_], _ref(find("stores", type_, Path()).__name__)) for type_ in names("stores")]
    full = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [known, own]}},
        "allOf": cases,
    }
    return {
        "anyOf": [{"type": "string", "description": "In short: memory, disk, disk:PATH, or the URL of a Redis."}, full]
    }


def _add_store_keys(schema: dict[str, Any], stores: dict[str, dict[str, Any]]) -> None:
    """Let the settings of a middleware describe its store in place."""
    store = schema["properties"]["store"]
    schema["properties"]["store"] = {"anyOf": [{"type": "string"}, _STORE_ENTRY], **_notes(store)}
    for made in stores.values():
        schema["properties"] |= {key: value for key, value in made["properties"].items() if key != "type"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


_STORE_ENTRY = _ref("StoreEntry")


def _describe_middlewares(entry: dict[str, Any], stores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Let the type of an entry of `middlewares` say which settings there are; the schemas of those of ours."""
    settings: dict[str, Any] = {}
    entry["properties"]["config"] = {"type": "object", "description": "Its settings."}
    entry["allOf"] = []
    for type_ in names("middlewares"):
        component = find("middlewares", type_, Path())
        made = _of(config_of(component))
        settings |= {**made.pop("$defs", {}), component.__name__: made}
        if issubclass(config_of(component), StoreReference):
            _add_store_keys(made, stores)
        there = {"properties": {"config": {"$ref": f"#/$defs/{component.__name__}"}}}
        entry["allOf"].append(_case([type_], there))
    return settings


def homeless_types() -> list[str]:
    """The types that have no usual address."""
    rows = {type_: find("providers", type_, Path()) for type_ in names("providers")}
    return [
        type_
        for type_, component in rows.items()
        if issubclass(component, HttpProvider) and component.Config.services[type_].origin is None
    ]


def _provider_entry() -> dict[str, Any]:
    """An entry of `providers`: its type says which keys there are; a type of one's own may have any."""
    known = {"enum": names("providers")}
    own = {"type": "string", "description": "./path/file.py:Class, or the name under which a package offers one."}
    cases = [_case(types, {"$ref": f"#/$defs/{title}"}) for title, (_, types) in _provider_classes().items()]
    return {
        "type": "object",
        "required": ["name", "type"],
        "properties": {"name": {"type": "string"}, "type": {"anyOf": [known, own]}},
        "allOf": [*cases, _case(homeless_types(), {"required": ["base_url"]})],
    }


def _llm() -> dict[str, Any]:
    """`llm:`, which is a provider without what only a list of them needs."""
    cases = [
        _case(types, {"$ref": f"#/$defs/{title}_llm"}, also_without=LLM_TYPE in types)
        for title, (_, types) in _provider_classes().items()
    ]
    homeless = _case(homeless_types(), {"required": ["base_url"]}, also_without=True)
    return {"type": "object", "allOf": [*cases, homeless]}


def _case(types: Iterable[str], then: dict[str, Any], *, also_without: bool = False) -> dict[str, Any]:
    condition: dict[str, Any] = {"properties": {"type": {"enum": list(types)}}}
    return {"if": condition if also_without else {**condition, "required": ["type"]}, "then": then}


def _as_llm(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in schema["properties"].items() if name not in NOT_OF_LLM}
    return {**{name: value for name, value in schema.items() if name != "required"}, "properties": kept}


def _older(properties: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Older spellings, as far as a file may use them."""
    older: dict[str, Any] = {}
    for old, new in KEYS.items():
        section, _, name = new.rpartition(".")
        value = defs[section.capitalize()]["properties"][name] if section else properties[new]
        marked = {**value, "description": f"Older spelling of `{new}`.", "deprecated": True}
        top, _, member = old.partition(".")
        if member:
            holder = older.setdefault(top, {"type": "object", "additionalProperties": False, "properties": {}})
            holder["properties"][member] = marked
        else:
            older[top] = marked
    for name in SETTINGS:
        kind = {"cache": "boolean", "cache_params": "object"}.get(name, ["string", "integer"])
        marked = {"type": kind, "description": "Older spelling of the middleware `cache`.", "deprecated": True}
        older["general_settings"]["properties"][name] = marked
    for name, type_ in SECTIONS.items():
        settings = defs[find("middlewares", type_, Path()).__name__]
        enabled = {"enabled": {"type": "boolean", "default": True, "description": "false leaves it out."}}
        told = f"Another spelling of the middleware `{type_}`."
        older[name] = {**settings, "description": told, "properties": enabled | settings["properties"]}
    group = {"type": "object", "required": ["model_group", "models"]}
    return older | {
        "model_groups": {
            "type": "array",
            "items": group,
            "description": "Older spelling of `models` and `providers`.",
            "deprecated": True,
        }
    }


def _patient(schema: Any) -> Any:
    """The schema with variables allowed wherever text alone would not do."""
    if isinstance(schema, list):
        return [_patient(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties":
            made[name] = {key: _patient(each) for key, each in value.items()}
        else:
            made[name] = value if name in ("if", "default", "examples", "enum", "deprecated") else _patient(value)
    if made.get("type") in ("number", "integer", "boolean") or "enum" in made:
        return {"anyOf": [made, _VARIABLE], **_notes(made)}
    return made

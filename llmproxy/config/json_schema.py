"""Build the JSON Schema of the configuration file, for editors, from the same models that read it.

`${VAR}` is allowed for every number, word of a list and true/false; older spellings are marked as deprecated. It is
draft 7, which editors support best. Begin reading at `config_schema`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from llmproxy.config.components import KEYS_NOT_IN_LLM, LLM_TYPE
from llmproxy.config.legacy_keys import KEYS
from llmproxy.config.schema import Config
from llmproxy.config.section_aliases import SECTION_ALIASES, SETTINGS
from llmproxy.providers.base import HttpProvider
from llmproxy.registry import config_of, find_component, names
from llmproxy.stores.base import StoreReference

FILE_NAME = "llmproxy.schema.json"

_VARIABLE = {"type": "string", "pattern": r"\$\{|^os\.environ/", "description": "A variable: ${NAME}."}
_CUSTOM = "./path/file.py:Class, or the name of an entry point of a package."
_NOTES = ("description", "default", "examples", "deprecated")


def config_schema() -> dict[str, Any]:
    """Return the schema as a JSON object."""
    schema = _of(Config)
    defs, properties = schema.pop("$defs"), schema["properties"]
    del defs["ProviderConfig"], defs["StoreConfig"], defs["Strict"]
    for title, (model, _) in _provider_classes().items():
        provider = _of(model)
        defs |= provider.pop("$defs", {})
        defs[title], defs[f"{title}_llm"] = provider, _as_llm(provider)
    defs["TargetConfig"] = {
        "anyOf": [{"type": "string", "description": "Short form: provider/model."}, defs["TargetConfig"]]
    }
    defs["StrategyConfig"] = _strategy_entry()
    stores = _store_classes()
    defs |= stores | {"StoreEntry": _store_entry()}
    properties["stores"]["additionalProperties"] = _STORE_ENTRY
    _add_store_keys(defs["QuotasConfig"], stores)
    _add_store_keys(defs["RoutingConfig"], stores)
    defs |= _describe_middlewares(defs["MiddlewareEntry"], stores)
    properties["providers"]["items"] = _provider_entry()
    properties["llm"] = {"description": properties["llm"]["description"], **_llm()}
    properties |= _older_keys(properties, defs)
    for name, value in properties.items():
        properties[name] = {"anyOf": [value, {"type": "null"}], **_notes(value)}
    schema["properties"] = {name: _allow_variables(value) for name, value in properties.items()}
    schema["$defs"] = {name: _allow_variables(value) for name, value in sorted(defs.items())}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "llmproxy configuration", **schema}


class _Generator(GenerateJsonSchema):
    """Writes defaults in their human form."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        result = super().default_schema(schema)
        inner = schema["schema"].get("serialization")
        if (
            inner
            and inner["type"] == "function-plain"
            and "default" in result
            and not isinstance(result["default"], str)
        ):
            result["default"] = inner["function"](result["default"])
        return result


def _of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of one model, without titles, which only repeat names."""
    schema: dict[str, Any] = _without_titles(model.model_json_schema(schema_generator=_Generator))
    return schema


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_titles(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)
    }


def _notes(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema.pop(name) for name in _NOTES if name in schema}


def _provider_classes() -> dict[str, tuple[type[BaseModel], list[str]]]:
    """Return the configs of built-in providers by class name, each with its types."""
    classes: dict[str, tuple[type[BaseModel], list[str]]] = {}
    for type_ in names("providers"):
        component = find_component("providers", type_, Path())
        classes.setdefault(component.__name__, (config_of(component), []))[1].append(type_)
    return classes


def _store_classes() -> dict[str, dict[str, Any]]:
    """Return the schemas of built-in stores by class name."""
    components = [find_component("stores", type_, Path()) for type_ in names("stores")]
    return {component.__name__: _of(config_of(component)) for component in components}


def _strategy_entry() -> dict[str, Any]:
    """Return the schema of a strategy: its type alone, or with options that depend on it."""
    short = {"anyOf": [{"enum": names("strategies")}, {"type": "string", "description": _CUSTOM}]}
    cases = []
    for type_ in names("strategies"):
        options = _of(config_of(find_component("strategies", type_, Path())))
        keys = {"type": {"type": "string"}, **options.get("properties", {})}
        cases.append(_case([type_], {"properties": keys, "additionalProperties": False}))
    full = {"type": "object", "required": ["type"], "properties": {"type": short}, "allOf": cases}
    return {"anyOf": [*short["anyOf"], full]}


def _store_entry() -> dict[str, Any]:
    """Return the schema of an entry of `stores`: its short form, or keys that depend on its type."""
    builtin = {"enum": names("stores")}
    custom = {"type": "string", "description": _CUSTOM}
    cases = [_case([type_], _ref(find_component("stores", type_, Path()).__name__)) for type_ in names("stores")]
    full = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [builtin, custom]}},
        "allOf": cases,
    }
    return {
        "anyOf": [{"type": "string", "description": "In short: memory, disk, disk:PATH, or the URL of a Redis."}, full]
    }


def _add_store_keys(schema: dict[str, Any], stores: dict[str, dict[str, Any]]) -> None:
    """Let the settings of a middleware describe its store inline."""
    store = schema["properties"]["store"]
    schema["properties"]["store"] = {"anyOf": [{"type": "string"}, _STORE_ENTRY], **_notes(store)}
    for settings in stores.values():
        schema["properties"] |= {key: value for key, value in settings["properties"].items() if key != "type"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


_STORE_ENTRY = _ref("StoreEntry")


def _describe_middlewares(entry: dict[str, Any], stores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Make the settings of an entry of `middlewares` depend on its type. Return the schemas of built-in settings."""
    settings: dict[str, Any] = {}
    entry["properties"]["config"] = {"type": "object", "description": "Its settings."}
    entry["allOf"] = []
    for type_ in names("middlewares"):
        component = find_component("middlewares", type_, Path())
        schema = _of(config_of(component))
        settings |= {**schema.pop("$defs", {}), component.__name__: schema}
        if issubclass(config_of(component), StoreReference):
            _add_store_keys(schema, stores)
        condition = {"properties": {"config": {"$ref": f"#/$defs/{component.__name__}"}}}
        entry["allOf"].append(_case([type_], condition))
    return settings


def types_without_address() -> list[str]:
    """List the provider types without a default address."""
    rows = {type_: find_component("providers", type_, Path()) for type_ in names("providers")}
    return [
        type_
        for type_, component in rows.items()
        if issubclass(component, HttpProvider) and component.Config.services[type_].origin is None
    ]


def _provider_entry() -> dict[str, Any]:
    """Return the schema of an entry of `providers`: its keys depend on its type; a custom type may have any."""
    builtin = {"enum": names("providers")}
    custom = {"type": "string", "description": _CUSTOM}
    cases = [_case(types, {"$ref": f"#/$defs/{title}"}) for title, (_, types) in _provider_classes().items()]
    return {
        "type": "object",
        "required": ["name", "type"],
        "properties": {"name": {"type": "string"}, "type": {"anyOf": [builtin, custom]}},
        "allOf": [*cases, _case(types_without_address(), {"required": ["base_url"]})],
    }


def _llm() -> dict[str, Any]:
    """Return the schema of `llm:`, a provider without the keys that only a list needs."""
    cases = [
        _case(types, {"$ref": f"#/$defs/{title}_llm"}, also_without=LLM_TYPE in types)
        for title, (_, types) in _provider_classes().items()
    ]
    without_address = _case(types_without_address(), {"required": ["base_url"]}, also_without=True)
    return {"type": "object", "allOf": [*cases, without_address]}


def _case(types: Iterable[str], then: dict[str, Any], *, also_without: bool = False) -> dict[str, Any]:
    condition: dict[str, Any] = {"properties": {"type": {"enum": list(types)}}}
    return {"if": condition if also_without else {**condition, "required": ["type"]}, "then": then}


def _as_llm(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in schema["properties"].items() if name not in KEYS_NOT_IN_LLM}
    return {**{name: value for name, value in schema.items() if name != "required"}, "properties": kept}


def _older_keys(properties: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of older spellings in files."""
    older: dict[str, Any] = {}
    for old, new in KEYS.items():
        section, _, name = new.rpartition(".")
        block = f"{section.rpartition('.')[2].capitalize()}Config"
        value = defs[block]["properties"][name] if section else properties[new]
        deprecated = {**value, "description": f"Older spelling of `{new}`.", "deprecated": True}
        top, _, member = old.partition(".")
        if member:
            holder = older.setdefault(top, {"type": "object", "additionalProperties": False, "properties": {}})
            holder["properties"][member] = deprecated
        else:
            older[top] = deprecated
    for name in SETTINGS:
        kind = {"cache": "boolean", "cache_params": "object"}.get(name, ["string", "integer"])
        deprecated = {"type": kind, "description": "Older spelling of the middleware `cache`.", "deprecated": True}
        older["general_settings"]["properties"][name] = deprecated
    for name, type_ in SECTION_ALIASES.items():
        settings = defs[find_component("middlewares", type_, Path()).__name__]
        enabled = {"enabled": {"type": "boolean", "default": True, "description": "false disables it."}}
        description = f"Another spelling of the middleware `{type_}`."
        older[name] = {**settings, "description": description, "properties": enabled | settings["properties"]}
    group = {"type": "object", "required": ["model_group", "models"]}
    return older | {
        "model_groups": {
            "type": "array",
            "items": group,
            "description": "Older spelling of `models` and `providers`.",
            "deprecated": True,
        }
    }


def _allow_variables(schema: Any) -> Any:
    """Allow `${VAR}` wherever the schema does not accept every text."""
    if isinstance(schema, list):
        return [_allow_variables(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties":
            result[name] = {key: _allow_variables(each) for key, each in value.items()}
        else:
            result[name] = (
                value if name in ("if", "default", "examples", "enum", "deprecated") else _allow_variables(value)
            )
    if result.get("type") in ("number", "integer", "boolean") or "enum" in result:
        return {"anyOf": [result, _VARIABLE], **_notes(result)}
    return result

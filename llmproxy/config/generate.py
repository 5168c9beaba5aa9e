"""Write example configuration files.

`full` comes from the schema, so that it always has every key with its description and default; the others are texts in
`presets.py`. In `full` a comment begins with `# `, a key without a default with `#` alone. Begin reading at
`generate`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llmproxy.config.auth import AuthConfig, JwtConfig, KeyConfig
from llmproxy.config.json_schema import FILE_NAME, types_without_address
from llmproxy.config.observability import LoggingConfig, TelemetryConfig
from llmproxy.config.presets import PRESETS, Preset
from llmproxy.config.routing_schema import ModelConfig, RoutingConfig, StrategyConfig, TargetConfig
from llmproxy.config.schema import (
    SECTIONS,
    Config,
    MiddlewareEntry,
    ServerConfig,
    TranslationConfig,
)
from llmproxy.dialects import catalog
from llmproxy.limit_config import BudgetConfig, LimitConfig
from llmproxy.middleware.limits import QuotasConfig
from llmproxy.pricing.price_config import PriceConfig, RatesConfig
from llmproxy.registry import config_of, find_component, names
from llmproxy.settings import Strict
from llmproxy.stores.base import StoreConfig

_WIDTH = 100
_MODELINE = f"# yaml-language-server: $schema=./{FILE_NAME}\n"

_FULL = f"""\
# llmproxy: every key with its default. A key after a # without a space has no default; its value is an example.
# Any value may be a variable, ${{NAME}} or ${{NAME:-default}}; `.env` in the same folder is read too.
# For completion in editors: llmproxy schema {FILE_NAME}
"""

# Example values for keys without a default.
_EXAMPLES: Mapping[str, object] = {
    "models": ["gpt-*", "o4-mini"],
    "base_url": "https://api.openai.com/v1",
    "api_key_env": "OPENAI_API_KEY",
    "ca_file": "./company-ca.pem",
    "dialects": list(catalog.capabilities()[:2]),
    "default_max_tokens": 8192,
    "system_turns": True,
    "structured_output": "tool",
    "api_version": "2024-10-21",
    "token_command": ["az", "account", "get-access-token", "--resource", "https://cognitiveservices.azure.com"],
    "scope": "https://cognitiveservices.azure.com/.default",
    "project": "my-project",
    "location": "europe-west4",
    "credentials_file": "./service-account.json",
    "region": "us-east-1",
    "profile": "default",
    "access_key_id": "${AWS_ACCESS_KEY_ID}",
    "secret_access_key": "${AWS_SECRET_ACCESS_KEY}",
    "session_token": "${AWS_SESSION_TOKEN:-}",
    "role_arn": "arn:aws:iam::123456789012:role/bedrock",
    "external_id": "llmproxy",
    "admin_key": "${LLMPROXY_ADMIN_KEY}",
    "path": "./llmproxy.sqlite",
    "tokens": 100_000,
    "concurrent": 20,
    "cost": 5,
    "namespace": "llmproxy",
    "username": "llmproxy",
    "health_check": "30s",
    "password": "${REDIS_PASSWORD}",
    **dict.fromkeys(RatesConfig.model_fields, 0.5),
}
_LLM = """\
# One upstream that takes every request that nothing else answers. It has the keys of an entry of `providers`,
# except name, enabled, priority and models.
#llm:
#  type: openai-compatible
#  base_url: "http://localhost:8000/v1"
#  api_key: "${LLM_API_KEY:-}"
"""


def generate(preset: Preset) -> str:
    """Return the text of a configuration file."""
    if preset is Preset.full:
        return _MODELINE + _FULL + "".join(f"\n{_section(name)}" for name in SECTIONS)
    return _MODELINE + PRESETS[preset]


def _section(name: str) -> str:
    return _LLM if name == "llm" else _text(*_about(Config, name, ""), *_BODIES[name]())


def _server() -> Iterator[str]:
    yield "server:"
    yield from _block(ServerConfig, "  ")


def _translation() -> Iterator[str]:
    yield "translation:"
    yield from _block(TranslationConfig, "  ")


def _auth() -> Iterator[str]:
    """Write it commented out: a key that everybody can read here must not open anything."""
    yield "auth:"
    for name in ("mode", "keys_file"):
        yield from _about(AuthConfig, name, "  ")
        yield f"  #{name}: {_scalar(_example(AuthConfig, name))}"
    yield from _about(AuthConfig, "keys", "  ")
    yield "#  keys:"
    entry = _item(_with_examples(KeyConfig, "      ", ("id", "sha256")))
    yield from _commented(entry)
    yield "#    - name: anna"
    yield from _commented(_with_examples(KeyConfig, "      ", (), ("id", "sha256")))
    yield from _about(AuthConfig, "jwt", "  ")
    yield "#  jwt:"
    yield from _commented(_with_examples(JwtConfig, "    "))


def _logging() -> Iterator[str]:
    yield "logging:"
    yield from _block(LoggingConfig, "  ")


def _telemetry() -> Iterator[str]:
    yield "telemetry:"
    yield from _block(TelemetryConfig, "  ")


def _default_provider() -> Iterator[str]:
    yield "#default_provider: openai"


def _providers() -> Iterator[str]:
    """Write one entry with every key, then one for each class that has more keys."""
    yield "providers:"
    first = _config("openai")
    yield from _item(_block(first, "    ", {"name": "openai", "type": "openai", "api_key": "${OPENAI_API_KEY:-}"}))
    yield ""
    yield from _comment(f"Other types: {', '.join(names('providers')[1:])}.", "  ")
    key = _scalar("${ANTHROPIC_API_KEY:-}")
    yield from ("  - name: anthropic", "    type: anthropic", f"    api_key: {key}")
    seen = set(first.model_fields)
    for type_ in names("providers"):
        more = [name for name in _config(type_).model_fields if name not in seen]
        if more:
            seen |= set(more)
            values = {"name": "x", "type": type_, "enabled": False}
            yield from ("", f"  - name: my-{type_}", f"    type: {type_}", "    enabled: false")
            if type_ in types_without_address():
                values["base_url"] = "https://llm.example.com"
                yield f"    base_url: {_scalar(values['base_url'])}"
            yield from _block(_config(type_), "    ", values, more)


def _models() -> Iterator[str]:
    yield "models:"
    target = {"provider": "openai", "model": "gpt-4o-mini"}
    values = {"name": "fast", "targets": [target]}
    yield from _item(_block(ModelConfig, "    ", values, ["name", "aliases"]))
    yield from _about(ModelConfig, "targets", "    ")
    yield "    targets:"
    yield from _item(_block(TargetConfig, "        ", target))
    yield from _block(ModelConfig, "    ", values, [*ModelConfig.model_fields][3:])


def _routing() -> Iterator[str]:
    yield "routing:"
    yield from _block(RoutingConfig, "  ")


def _stores() -> Iterator[str]:
    """Yield the default, then one of each type that has keys."""
    yield "stores:"
    yield from _about(StoreConfig, "type", "  ")
    yield from _comment("In short: memory, disk, disk:PATH, or the URL of a Redis.", "  ")
    yield "  default: memory"
    for type_ in names("stores"):
        config = config_of(find_component("stores", type_, Path()))
        if keys := [name for name in config.model_fields if name not in StoreConfig.model_fields]:
            yield from ("", f"  my-{type_}:", f"    type: {type_}")
            yield from _block(config, "    ", {"type": type_}, keys)


def _prices() -> Iterator[str]:
    yield "prices:"
    yield f"  {_scalar('my-llama*')}:"
    yield from _block(PriceConfig, "    ", {"input": 0.0, "output": 0.0})


def _require_price() -> Iterator[str]:
    yield "require_price: false"


def _middlewares() -> Iterator[str]:
    """Write all of them with `enabled: false`: none is on by default."""
    yield "middlewares:"
    for type_ in names("middlewares"):
        component = find_component("middlewares", type_, Path())
        yield from _comment((component.__doc__ or "").partition("\n\n")[0], "  ")
        yield from (f"  - type: {type_}", "    enabled: false", "    config:")
        yield from _block(config_of(component), "      ")
        yield ""
    yield from (f"#{line}" for line in _about(MiddlewareEntry, "type", "  "))
    yield f"#  - type: {_scalar('./my/tag.py:Tag')}"
    yield from (f"#{line}" for line in _about(MiddlewareEntry, "enabled", "    "))
    yield "#    enabled: true"
    yield from (f"#{line}" for line in _about(MiddlewareEntry, "config", "    "))
    yield "#    config: {team: blue}"


def _limits() -> Iterator[str]:
    yield "#limits:"
    yield from _commented(_item(_block(LimitConfig, "    ", {"requests": 600, "per": "1m"})))


def _budgets() -> Iterator[str]:
    yield "#budgets:"
    yield from _commented(_item(_block(BudgetConfig, "    ", {"max_cost": 100, "per": "month", "scope": "global"})))


def _quotas() -> Iterator[str]:
    yield "quotas:"
    yield from _block(QuotasConfig, "  ")


def _commented(lines: Iterable[str]) -> Iterator[str]:
    """Turn an example of an entry into comments: it would do something."""
    return (f"#{line}" for line in lines)


_BODIES: Mapping[str, Callable[[], Iterator[str]]] = {
    "server": _server,
    "auth": _auth,
    "providers": _providers,
    "default_provider": _default_provider,
    "models": _models,
    "routing": _routing,
    "stores": _stores,
    "limits": _limits,
    "budgets": _budgets,
    "quotas": _quotas,
    "translation": _translation,
    "prices": _prices,
    "require_price": _require_price,
    "middlewares": _middlewares,
    "logging": _logging,
    "telemetry": _telemetry,
}


def _config(type_: str) -> type[BaseModel]:
    return config_of(find_component("providers", type_, Path()))


def _block(
    model: type[BaseModel],
    indent: str,
    values: Mapping[str, object] = MappingProxyType({}),
    only: Collection[str] = (),
) -> Iterator[str]:
    """Write the keys of `model`, or `only` some, with `values` or defaults; keys without either follow a `#`."""
    defaults = model.model_validate(values).model_dump(mode="json")
    for name, field in model.model_fields.items():
        if only and name not in only:
            continue
        yield from _about(model, name, indent)
        if isinstance(field.default, StrategyConfig):
            yield f"{indent}{name}: {field.default.type}"
        elif isinstance(field.default, Strict):
            yield f"{indent}{name}:"
            yield from _block(type(field.default), f"{indent}  ")
        elif (value := values.get(name, defaults[name])) is None and field.examples and name not in _EXAMPLES:
            yield f"{indent}#{name}: {_scalar(field.examples[0])}"
        elif value is None and (inner := _inner_model(field)):
            yield f"#{indent}{name}:"
            yield from _commented(_with_examples(inner, f"{indent}  "))
        elif value is None:
            yield f"{indent}#{name}: {_scalar(_EXAMPLES[name])}"
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _inner_model(field: FieldInfo) -> type[Strict] | None:
    """Return the model of a key that has no default."""
    kinds = get_args(field.annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Strict)), None)


def _with_examples(
    model: type[BaseModel], indent: str, without: Collection[str] = (), only: Collection[str] = ()
) -> Iterator[str]:
    """Write the keys of `model`, which needs values that nobody has yet: with examples, else defaults."""
    own_first = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
    for name, field in own_first:
        if name in without or (only and name not in only):
            continue
        yield from _about(model, name, indent)
        if isinstance(field.default, Strict):
            yield f"{indent}{name}:"
            yield from _with_examples(type(field.default), f"{indent}  ")
        else:
            yield f"{indent}{name}: {_scalar(_example(model, name))}"


def _example(model: type[BaseModel], name: str) -> object:
    field = model.model_fields[name]
    if field.examples:
        return field.examples[0]
    return model.model_construct().model_dump(mode="json")[name] if field.default is not None else _EXAMPLES[name]


def _item(lines: Iterable[str]) -> Iterator[str]:
    """Turn a block into an item of a list: a dash before its first key, at the indentation of earlier comments."""
    in_item = False
    for line in lines:
        if in_item:
            yield line
        elif line.lstrip().startswith("#"):
            yield line[2:]
        else:
            in_item = True
            yield f"{line[: len(line) - len(line.lstrip()) - 2]}- {line.lstrip()}"


def _about(model: type[BaseModel], name: str, indent: str) -> Iterator[str]:
    """Write the description of a key as comments."""
    return _comment(model.model_fields[name].description or "", indent)


def _comment(text: str, indent: str) -> Iterator[str]:
    marked = f"{indent}# "
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=marked,
        subsequent_indent=marked,
        break_on_hyphens=False,
        break_long_words=False,
    )


_MEANING = ("true", "false", "null", "on", "off", "yes", "no")


def _scalar(value: object) -> str:
    """Write a value in YAML; words without another meaning need no quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*", value) and value not in _MEANING:
        return value
    return json.dumps(value)


def _text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)

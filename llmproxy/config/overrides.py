"""Values that win over file and environment: flags of `serve`, keyword arguments of `create_app`.

Begin reading at `apply_override`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llmproxy.config.cross_checks import word
from llmproxy.config.document import ConfigNode, from_python
from llmproxy.config.legacy_keys import put
from llmproxy.config.schema import SECTIONS, ServerConfig
from llmproxy.registry import nearest

OPTIONS = {"enable_telemetry": "telemetry.enabled", "prometheus_port": "telemetry.prometheus_port"}
"""Further keyword arguments of `create_app`, and what they set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value that wins over file and environment. `path` is dotted; `source` names it in messages, such as `--port`.

    `middlewares.TYPE` enables that middleware, first in the list if it is not in the file, and `value` are settings
    that win over those of the file.
    """

    path: str
    value: object
    source: str


def keyword_overrides(name: str, value: object) -> list[Override]:
    """Turn a keyword argument into overrides: a section key by key, so that it changes only the keys in it. Raises
    TypeError for a name that is neither a section, a key of `server` nor one of OPTIONS."""
    if name in SECTIONS:
        if isinstance(value, Mapping):
            return [Override(path=f"{name}.{key}", value=each, source=f"{name}=") for key, each in value.items()]
        return [Override(path=name, value=value, source=f"{name}=")]
    if name in ServerConfig.model_fields:
        return [Override(path=f"server.{name}", value=value, source=f"{name}=")]
    if name in OPTIONS:
        return [Override(path=OPTIONS[name], value=value, source=f"{name}=")]
    close = nearest(name, [*ServerConfig.model_fields, *SECTIONS, *OPTIONS])
    raise TypeError(f"unknown setting: {name!r}" + (f"; did you mean {close!r}?" if close else ""))


def apply_override(top: ConfigNode, override: Override) -> None:
    """Put the value of `override` into the tree, in place of what is there."""
    node = from_python(override.value, override.source)
    section, _, type_ = override.path.partition(".")
    if section == "middlewares" and type_:
        _enable(top, type_, node, override.source)
        return
    node.literal = isinstance(node.value, str)
    put(top, override.path, node, replace=True)


def _enable(top: ConfigNode, type_: str, settings: ConfigNode, source: str) -> None:
    """Enable the middleware `type_`; these settings win over those of the file."""
    section = top.members.get("middlewares")
    if section is None or section.blank:
        section = from_python([], source)
        put(top, "middlewares", section, replace=True)
    if not isinstance(section.value, list):
        return  # reported when the section is read
    entry = next((each for each in section.items if word(each, "type") == type_), None)
    if entry is None:
        entry = from_python({"type": type_}, source)
        section.value.insert(0, entry)
    entry.members.pop("enabled", None)
    for name, member in settings.members.items():
        member.literal = isinstance(member.value, str)
        put(entry, f"config.{name}", member, replace=True)

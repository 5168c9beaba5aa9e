"""Tools of this API that have no schema in the request, but run at the client: other dialects get a function each.

Source: the SDK's `tool_bash_*_param`, `tool_text_editor_*_param`, `memory_tool_*_param`, and the pages of these tools
at docs.anthropic.com.
"""

from __future__ import annotations

import re
from typing import Any

from llmproxy.dialects.model import Opaque, Tool

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_RANGE = {"type": "array", "items": _NUMBER}
_VERSION = re.compile(r"_\d{8}$")


def _commands(*commands: str, **properties: dict[str, Any]) -> dict[str, Any]:
    command = {"type": "string", "enum": [*commands]}
    return {"type": "object", "properties": {"command": command, **properties}, "required": ["command"]}


_EDITS: dict[str, dict[str, Any]] = {
    "file_text": _TEXT,
    "old_str": _TEXT,
    "new_str": _TEXT,
    "insert_line": _NUMBER,
    "insert_text": _TEXT,
    "view_range": _RANGE,
}
_SCHEMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "bash": (
        "Runs a command in a shell that stays open between calls; `restart` begins a new one.",
        {"type": "object", "properties": {"command": _TEXT, "restart": {"type": "boolean"}}},
    ),
    "text_editor": (
        "Views, creates and changes files.",
        _commands("view", "create", "str_replace", "insert", path=_TEXT, **_EDITS),
    ),
    "memory": (
        "Views, creates and changes files below /memories, which are kept between conversations.",
        _commands(
            *("view", "create", "str_replace", "insert", "delete", "rename"),
            path=_TEXT,
            old_path=_TEXT,
            new_path=_TEXT,
            **_EDITS,
        ),
    ),
}


def client_functions(tool: Opaque) -> list[Tool]:
    """Return the function that stands for a built-in tool that the client runs; none for others."""
    known, name = _SCHEMAS.get(_VERSION.sub("", tool.kind)), tool.value.get("name")
    if known is None or not isinstance(name, str):
        return []
    description, schema = known
    extra = {name: value for name, value in tool.value.items() if name not in ("type", "name")}
    return [Tool(path=tool.path, name=name, description=description, schema=schema, extra=extra)]

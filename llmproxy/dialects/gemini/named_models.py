"""Names of models in the bodies of Google's calls, beside the one in the path, which must be the same.

embedContent, each request of batchEmbedContents and countTokens repeat it as `models/NAME`. Begin reading at
`renamed_members`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREFIX = "models/"
MARK = b'"models/'
"""The beginning of such a name in raw JSON: a body without it names no model."""

_NESTED = ("requests", "generateContentRequest", "generate_content_request")


def renamed_members(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the top-level members of a decoded body that name another model than `model`, as they must be for it."""
    name = f"{_PREFIX}{model.removeprefix(_PREFIX)}"
    changed: dict[str, Any] = {}
    if _is_other(body, name):
        changed["model"] = name
    for member in _NESTED:
        value = body.get(member)
        requests = value if isinstance(value, list) else [value]
        if any(_is_other(each, name) for each in requests):
            renamed = [_with_name(each, name) for each in requests]
            changed[member] = renamed if isinstance(value, list) else renamed[0]
    return changed


def _with_name(request: object, name: str) -> object:
    return {**request, "model": name} if isinstance(request, Mapping) and _is_other(request, name) else request


def _is_other(request: object, name: str) -> bool:
    """Return whether a request names a model, and another one."""
    named = request.get("model") if isinstance(request, Mapping) else None
    return isinstance(named, str) and named.startswith(_PREFIX) and named != name

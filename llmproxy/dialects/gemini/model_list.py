"""Models as the Gemini API lists them. Source: `google.genai.types.Model`, and `ListModelsConfig` for the pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from llmproxy.dialects.model_list import ListedModel

_ACTIONS = ["generateContent", "streamGenerateContent", "countTokens"]
_OTHERS = ("object", "created", "owned_by", "type", "created_at", "id")


def one(model: ListedModel) -> dict[str, object]:
    """Write one model, under the name by which clients call it here."""
    members = {name: value for name, value in model.members.items() if name not in _OTHERS}
    title = members.get("displayName", members.pop("display_name", None))
    written: dict[str, Any] = members | {"name": f"models/{model.id}"}
    written["displayName"] = title if isinstance(title, str) else model.id
    written.setdefault("supportedGenerationMethods", _ACTIONS)
    return written


def page(models: Sequence[ListedModel], query: str | None) -> dict[str, object]:
    """Write the list: all of it, unless `pageSize` and `pageToken` ask for a part."""
    options = dict(parse_qsl(query or ""))
    size, token = (options.get(name, "") for name in ("pageSize", "pageToken"))
    start = int(token) if re.fullmatch(r"[0-9]{1,9}", token) else 0
    end = start + int(size) if re.fullmatch(r"[1-9][0-9]{0,8}", size) else len(models)
    part: dict[str, object] = {"models": [one(model) for model in models[start:end]]}
    return part | ({"nextPageToken": str(end)} if end < len(models) else {})

"""Models as Anthropic's API lists them.

Source: docs.anthropic.com/en/api/models-list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from llmproxy.dialects.model_list import ListedModel


def one(model: ListedModel) -> dict[str, object]:
    """Write one model; `created_at` is the epoch where nobody knows it, as documented there."""
    created, title = model.members.get("created_at"), model.members.get("display_name")
    if not isinstance(created, str):
        created = datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    members = {name: value for name, value in model.members.items() if name not in ("object", "created", "owned_by")}
    return members | {
        "type": "model",
        "id": model.id,
        "display_name": title if isinstance(title, str) else model.id,
        "created_at": created,
    }


def page(models: Sequence[ListedModel], query: str | None) -> dict[str, object]:
    """Write the list: all of it, unless `limit`, `after_id` or `before_id` ask for a part."""
    options = dict(parse_qsl(query or ""))
    places = {model.id: place for place, model in enumerate(models)}
    start, end = 0, len(models)
    if "after_id" in options:
        start = places.get(options["after_id"], end - 1) + 1
    if "before_id" in options:
        end = places.get(options["before_id"], 0)
    limit = options.get("limit", "")
    size = int(limit) if re.fullmatch(r"[0-9]{1,9}", limit) else end
    backwards = "before_id" in options
    part = models[max(start, end - size) : end] if backwards else models[start : min(end, start + size)]
    return {
        "data": [one(model) for model in part],
        "has_more": len(part) < max(0, end - start),
        "first_id": part[0].id if part else None,
        "last_id": part[-1].id if part else None,
    }

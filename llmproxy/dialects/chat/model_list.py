"""Models as OpenAI's API lists them.

Source: platform.openai.com/docs/api-reference/models.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.dialects.model_list import ListedModel


def one(model: ListedModel) -> dict[str, object]:
    """Write one model; `created` is 0 where nobody knows it."""
    owner = model.members.get("owned_by")
    members = {name: value for name, value in model.members.items() if name not in ("type", "created_at")}
    return members | {
        "id": model.id,
        "object": "model",
        "created": model.created_s,
        "owned_by": owner if isinstance(owner, str) else model.owner,
    }


def page(models: Sequence[ListedModel], query: str | None = None) -> dict[str, object]:
    """Write the whole list."""
    return {"object": "list", "data": [one(model) for model in models]}

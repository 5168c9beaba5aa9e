from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.gemini.named_models import renamed_members


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"model": "models/a", "content": {}}, {"model": "models/new"}),
        (
            {"requests": [{"model": "models/a", "x": 1}, {"model": "models/new"}, {}, 7]},
            {"requests": [{"model": "models/new", "x": 1}, {"model": "models/new"}, {}, 7]},
        ),
        (
            {"generateContentRequest": {"model": "models/a", "contents": []}},
            {"generateContentRequest": {"model": "models/new", "contents": []}},
        ),
        ({"model": "models/new"}, {}),
        ({"model": "tunedModels/a", "requests": {}}, {}),
        ({"model": 7, "requests": None, "generateContentRequest": []}, {}),
    ],
)
@pytest.mark.parametrize("model", ["new", "models/new"])
def test_the_model_of_the_path_is_named_wherever_a_body_names_one(
    body: dict[str, Any], changed: dict[str, Any], model: str
) -> None:
    assert renamed_members(body, model) == changed

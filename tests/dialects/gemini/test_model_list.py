"""The list of models in Google's shape."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from llmproxy.dialects.gemini.model_list import one, page
from llmproxy.dialects.model_list import ListedModel

MODELS = [ListedModel(id=name, owner="o", members={}) for name in ("a", "b/c", "d")]


def test_a_model_is_of_googles_type() -> None:
    members = {"object": "model", "created": 1, "owned_by": "x", "display_name": "The A", "inputTokenLimit": 5}
    written = one(ListedModel(id="a", owner="o", members=members))
    actions = written.pop("supportedGenerationMethods")
    read = types.Model.model_validate(written)
    assert (read.name, read.display_name, read.input_token_limit) == ("models/a", "The A", 5)
    assert isinstance(actions, list) and "generateContent" in actions


@pytest.mark.parametrize(
    ("query", "names", "token"),
    [
        (None, ["a", "b/c", "d"], None),
        ("pageSize=2", ["a", "b/c"], "2"),
        ("pageSize=2&pageToken=2", ["d"], None),
        ("pageSize=0&pageToken=x", ["a", "b/c", "d"], None),
        ("pageSize=1&pageToken=9", [], None),
    ],
)
def test_it_comes_in_pages(query: str | None, names: list[str], token: str | None) -> None:
    written: Any = page(MODELS, query)
    assert [each["name"] for each in written["models"]] == [f"models/{name}" for name in names]
    assert written.get("nextPageToken") == token

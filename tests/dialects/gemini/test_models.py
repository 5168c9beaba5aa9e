"""What models accept, by their names."""

from __future__ import annotations

import pytest

from llmproxy.dialects.gemini.models import family_of, is_gemini


@pytest.mark.parametrize(
    ("model", "levels", "budgets", "signs"),
    [
        ("gemini-3-pro-preview", ("low", "high"), None, True),
        ("models/gemini-3.1-pro", ("low", "medium", "high"), None, True),
        ("gemini-3-flash-preview", ("minimal", "low", "medium", "high"), None, True),
        ("gemini-2.5-pro", (), (128, 32768), False),
        ("gemini-2.5-flash-lite-preview-09-2025", (), (512, 24576), False),
        ("publishers/google/models/gemini-2.5-flash", (), (1, 24576), False),
        ("gemini-2.0-flash", (), None, False),
        ("gemma-3-27b-it", (), None, False),
        ("my-tuned-model", ("minimal", "low", "medium", "high"), None, True),
    ],
)
def test_a_family_is_known_by_the_name(
    model: str, levels: tuple[str, ...], budgets: tuple[int, int] | None, signs: bool
) -> None:
    family = family_of(model)
    assert (family.levels, family.budgets, family.signs) == (levels, budgets, signs)


@pytest.mark.parametrize(("model", "expected"), [("gemini-3-pro", True), ("models/gemma-3", True), ("gpt-5", False)])
def test_googles_models_are_known(model: str, expected: bool) -> None:
    assert is_gemini(model) is expected

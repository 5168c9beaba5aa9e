"""Forms of calls: paths with a model in them, and queries without a form's fields."""

from __future__ import annotations

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.call_form import deployment_form, without_fields


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (None, None),
        ("", ""),
        ("api-version=1", None),
        ("a=1&api%2Dversion=1&b=%2F", "a=1&b=%2F"),
        ("api-versions=1&x", "api-versions=1&x"),
        ("api-version&a", "a"),
    ],
)
def test_a_query_keeps_its_bytes_without_some_fields(query: str | None, left: str | None) -> None:
    assert without_fields(query, {"api-version"}) == left


def test_each_form_is_found_by_its_path_and_names_its_call() -> None:
    forms = [(dialect, form) for dialect in catalog.DIALECTS for form in dialect.forms]
    assert forms
    for dialect, form in forms:
        found = catalog.find("POST", form.path_for("a/b"))
        named = "a/b" if "{model}" in form.path else None
        assert found is not None and found.form is form and found.model_of(form.path_for("a/b")) == named
        assert catalog.translated_call(dialect).form is None if dialect.codec else True
        if form.frames is None:
            assert found.dialect is dialect and found.path == form.call
        else:
            assert found.dialect.name == form.frames.dialect and found.dialect.base == dialect.name
            streamed = catalog.find("POST", form.path_for("a/b", stream=True))
            assert streamed is not None and streamed.streams and streamed.form is form
    assert deployment_form("/x").path_for("ü?#") == "/openai/deployments/%C3%BC%3F%23/x"


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/openai/v1/models", "/v1/models"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/openai", None),
        ("/openaix/v1", None),
        ("/v1/models", None),
    ],
)
def test_roots_of_clouds(path: str, below: str | None) -> None:
    assert catalog.below_root(path) == below

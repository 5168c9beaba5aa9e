from __future__ import annotations

import pytest

from llmproxy.dialects import gemini, messages
from llmproxy.dialects.call_tables import call_tables, path_pattern


@pytest.mark.parametrize(
    ("path", "asked", "model"),
    [
        ("/models/{model}:generateContent", "/models/a/b:generateContent", "a/b"),
        ("/models/{model}:generateContent", "/models/:generateContent", None),
        ("/models/{model}:generateContent", "/models/a:countTokens", None),
    ],
)
def test_a_model_in_the_path_may_have_slashes_and_is_never_empty(path: str, asked: str, model: str | None) -> None:
    match = path_pattern(path).fullmatch(asked)
    assert (None if match is None else match["model"]) == model


def test_an_id_is_one_segment() -> None:
    pattern = path_pattern("/files/{id}")
    assert pattern.fullmatch("/files/file-1") and not pattern.fullmatch("/files/file-1/content")


def test_a_translated_call_of_a_dialect_is_at_the_path_that_streams_where_it_has_one() -> None:
    tables = call_tables((messages.DIALECT, gemini.DIALECT))
    whole, stream = (tables.translated[gemini.DIALECT.name, each] for each in (False, True))
    assert "streamGenerateContent" in stream.own_path and "streamGenerateContent" not in whole.own_path
    assert tables.translated[messages.DIALECT.name, True] is tables.translated[messages.DIALECT.name, False]


def test_tables_have_the_calls_of_their_dialects_alone() -> None:
    tables = call_tables((messages.DIALECT,))
    assert set(tables.names) == {messages.DIALECT.name}
    assert ("POST", messages.DIALECT.paths[0]) in tables.exact and ("POST", "/chat/completions") not in tables.exact

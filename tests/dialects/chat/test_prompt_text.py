"""The text of legacy text completions."""

from __future__ import annotations

import pytest

from llmproxy.dialects.chat import COMPLETIONS


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"prompt":"Once"}', "Once"),
        (b'{"prompt":["Once","upon"]}', "Once\nupon"),
        (b'{"prompt":[1,2]}', None),
        (b'{"model":"m"}', None),
        (b"no JSON", None),
    ],
)
def test_a_request_has_this_text(body: bytes, text: str | None) -> None:
    assert COMPLETIONS.readers.request_text(body) == text

"""The text of chat requests."""

from __future__ import annotations

import pytest

from llmproxy.dialects.chat import DIALECT


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"messages":[{"role":"system","content":"Be"},{"role":"user","content":"Hi"}]}', "system: Be\nuser: Hi"),
        (b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}]}', "user: a"),
        (b'{"messages":[]}', ""),
        (b'{"messages":"none"}', ""),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "user: \ud800"),
        (b'{"prompt":"Once"}', "Once"),
        (b'{"prompt":["Once","upon"]}', "Once\nupon"),
        (b'{"prompt":[1,2]}', None),
        (b'{"model":"m"}', None),
        (b"no JSON", None),
    ],
)
def test_a_request_has_this_text(body: bytes, text: str | None) -> None:
    assert DIALECT.readers.request_text(body) == text

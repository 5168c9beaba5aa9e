"""The text of messages requests."""

from __future__ import annotations

import pytest

from llmproxy.dialects.messages import DIALECT


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"messages":[{"role":"user","content":"Hi"}]}', "user: Hi"),
        (b'{"system":"Be","messages":[{"role":"user","content":"Hi"}]}', "system: Be\nuser: Hi"),
        (b'{"system":[{"type":"text","text":"Be"}],"messages":[]}', "system: Be"),
        (b'{"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"a"}]}]}', "user: a"),
        (b'{"system":5,"messages":5}', ""),
        (b'{"system":"Be"}', None),
        (b"no JSON", None),
    ],
)
def test_a_request_has_this_text(body: bytes, text: str | None) -> None:
    assert DIALECT.readers.request_text(body) == text

"""The text of responses requests."""

from __future__ import annotations

import pytest

from llmproxy.dialects.responses import DIALECT


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"input":"Hi"}', "user: Hi"),
        (b'{"instructions":"Be","input":"Hi"}', "system: Be\nuser: Hi"),
        (b'{"input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}', "user: Hi"),
        (b'{"input":[{"type":"function_call_output","call_id":"c","output":"42"}]}', "tool: 42"),
        (b'{"input":[{"type":"item_reference","id":"x"},"odd"]}', ""),
        (
            b'{"input":[{"role":"user","content":"a"},{"type":"function_call_output","output":"b"},'
            b'{"role":"assistant","content":"c"}]}',
            "user: a\ntool: b\nassistant: c",
        ),
        (b'{"instructions":5,"input":5}', ""),
        (b'{"model":"m"}', None),
        (b"no JSON", None),
    ],
)
def test_a_request_has_this_text(body: bytes, text: str | None) -> None:
    assert DIALECT.readers.request_text(body) == text

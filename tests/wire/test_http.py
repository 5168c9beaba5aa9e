"""Text that stands in a header is printable ASCII, whatever it holds."""

from __future__ import annotations

import pytest

from llmproxy.wire.http import header_text


@pytest.mark.parametrize("text", ["", "tools[0].name", "a b; c=d", "~"])
def test_plain_text_stays(text: str) -> None:
    assert header_text(text) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\r\nX-Evil: 1", r"a\r\nX-Evil: 1"),
        ("a\0b\x7f\x1b", r"a\x00b\x7f\x1b"),
        ("caf\u00e9\u0085\u2028\u202e", r"caf\xe9\x85\u2028\u202e"),
        ("\U0001f600\ud800", r"\U0001f600\ud800"),
    ],
)
def test_other_characters_are_escaped(text: str, written: str) -> None:
    assert header_text(text) == written

from __future__ import annotations

import pytest

from llmproxy.wire.text import cut_text, replace_surrogates


def test_text_without_surrogates_stays_as_it_is() -> None:
    assert replace_surrogates("Grüße 你好 🙂") == "Grüße 你好 🙂"


def test_surrogates_become_characters() -> None:
    assert replace_surrogates("\ud83d\ude42") == "🙂", "a pair of surrogates is one character"
    assert replace_surrogates("a\udcffb") == "a�b"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("short", "short"),
        ("exactly 20 character", "exactly 20 character"),
        ("key Bearer sk-0123456789", "key Bearer\u2026"),
        ("see https://user:password@host", "see\u2026"),
        ('{"key":"sk-0123456789abcdef"}', '{"key":\u2026'),
        ("x" * 30, "x" * 19 + "\u2026"),
    ],
)
def test_a_text_is_cut_between_words(text: str, cut: str) -> None:
    assert cut_text(text, 20) == cut

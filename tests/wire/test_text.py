from __future__ import annotations

from llmproxy.wire.text import replace_surrogates


def test_text_without_surrogates_stays_as_it_is() -> None:
    assert replace_surrogates("Grüße 你好 🙂") == "Grüße 你好 🙂"


def test_surrogates_become_characters() -> None:
    assert replace_surrogates("\ud83d\ude42") == "🙂", "a pair of surrogates is one character"
    assert replace_surrogates("a\udcffb") == "a�b"

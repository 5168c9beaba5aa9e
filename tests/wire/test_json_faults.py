"""Tests of the words for what is not valid JSON."""

from __future__ import annotations

import pytest

from llmproxy.wire.json_faults import explain_invalid_json


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"model": "x", ', "it ends too early"),
        (b'{"model": "x', "it ends too early"),
        (b'{"model": "x\\"', "it ends too early"),
        (b'{"messages": [{"content": "\\ud800"', "it ends too early"),
        (b" \n", "it is empty"),
        (b'{"model": "x",\n "n": }', "error in line 2, column 7"),
        (b"{'model': 1}", "error in line 1, column 2"),
        (b'{"a": 1} x', "error in line 1, column 10"),
        (b'{"a": NaN}', "NaN is not a number in JSON. Send a number or null"),
        (b'{"a": -Infinity}', "-Infinity is not a number in JSON. Send a number or null"),
        (b'\xef\xbb\xbf{"a": 1}', "it begins with a byte order mark. Send it without"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8"),
        (b'{"a": "\\ud800"}', "it contains half of a surrogate pair (\\ud800 to \\udfff). Send whole characters"),
    ],
)
def test_invalid_json_is_explained_in_our_words(data: bytes, words: str) -> None:
    assert explain_invalid_json(data) == words

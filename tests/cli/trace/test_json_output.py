from __future__ import annotations

import json

import pytest

from llmproxy.cli.trace.json_output import escape_json, print_json

VALUE = {"a": "plain", "ü": "日本🎉", "bad": "\x9b31m\u202e\u2028\x7f\ufeff"}


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "ascii", "cp1252", None])
@pytest.mark.parametrize("indent", [None, 2])
def test_it_stays_the_same_value_and_loses_what_terminals_obey(encoding: str | None, indent: int | None) -> None:
    shown = escape_json(json.dumps(VALUE, ensure_ascii=False, indent=indent), encoding)
    assert json.loads(shown) == VALUE
    assert shown.replace("\n", "").isprintable()
    assert shown.isascii() is ((encoding or "").lower()[:3] != "utf")


def test_a_page_is_printed_laid_out_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(VALUE)
    out = capsys.readouterr().out
    assert json.loads(out) == VALUE and out.startswith('{\n  "a": "plain",\n') and "\x9b" not in out

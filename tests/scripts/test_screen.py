"""The screen in the README. Its times differ from run to run, so the file is not compared with a new one."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from scripts import screen

COMMITTED = Path(__file__).parents[2] / "llmproxy" / "docs" / "screen.svg"


def text_of(svg: str) -> str:
    return html.unescape("".join(re.findall(r"<text[^>]*>([^<]*)", svg))).replace("\xa0", " ")


@pytest.mark.long
def test_a_real_run_is_drawn_with_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["screen", "--into", str(tmp_path / "screen.svg")])
    assert screen.main() == 0
    text = text_of((tmp_path / "screen.svg").read_text(encoding="utf-8"))
    for word in ("$ llmproxy trace ls", "claude-sonnet-4-5", "404", "$0.0072", "$ llmproxy stats --once", "5 requests"):
        assert word in text and word in text_of(COMMITTED.read_text(encoding="utf-8")), word


def test_the_screen_fetches_nothing_from_other_hosts() -> None:
    svg = COMMITTED.read_text(encoding="utf-8")
    assert "url(http" not in svg and "href" not in svg and "font-face" not in svg

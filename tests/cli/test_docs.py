"""`llmproxy docs`: the pages of the documentation in a terminal and in a pipe."""

from __future__ import annotations

import io
import re
import sys

import pytest
import typer

from llmproxy.cli.docs import _listed, docs, page_summary, read_pages

PAGES = read_pages()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def drawn(topic: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a terminal of 80 columns shows."""
    output = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERM", "xterm")
        docs(topic)
    return output.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
def test_the_list_of_pages_fits_the_window(columns: int) -> None:
    lines = _listed(PAGES, columns)
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()) == " ".join(f"{name} {page_summary(text)}" for name, text in PAGES.items())


def test_without_a_topic_all_pages_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    docs()
    rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == list(PAGES) and len(rows) > 15
    assert all(
        row.endswith(page_summary(text)) and len(row) <= 140 for row, text in zip(rows, PAGES.values(), strict=True)
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_begins_with_its_title_and_a_sentence(page: str) -> None:
    lines = PAGES[page].split("\n")
    assert lines[0].startswith("# ") and not lines[1] and lines[2].endswith(".") and not lines[3]


def test_a_pipe_gets_the_page_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    docs("Routing.md")
    assert capsys.readouterr().out == PAGES["routing"]


def test_a_terminal_gets_it_drawn_with_links_that_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn("providers", monkeypatch)
    text = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert text != shown and "llmproxy docs translation" in text and ".md" not in text
    assert "```" not in text and max(map(len, text.splitlines())) <= 80


def test_no_background_is_set_so_that_light_terminals_show_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    styles = re.findall(r"\x1b\[([\d;]*)m", drawn("limits", monkeypatch))
    codes = {code for style in styles for code in style.split(";")}
    assert codes and not codes & {str(code) for code in (*range(40, 49), *range(100, 108))}


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("routng", "no page 'routng'; did you mean 'routing'?"),
        ("bedrock", "no page 'bedrock'. Pages that mention it: "),
        ("qqq", f"no page 'qqq'. Pages: {', '.join(PAGES)}"),
    ],
)
def test_an_unknown_topic_names_the_nearest(topic: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        docs(topic)
    error = capsys.readouterr().err
    assert ended.value.exit_code == 1 and message in error
    assert topic != "bedrock" or "providers" in error

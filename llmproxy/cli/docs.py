"""`docs`: the pages of the documentation, which are Markdown files beside the code: drawn on a terminal, as they are in
a pipe. Begin reading at `docs`.
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from llmproxy.cli.output import QuietExit, fail
from llmproxy.console.terminal import Console

FOLDER = Path(__file__).parents[1] / "docs"
_LINK = re.compile(r"\[([^\]]*)\]\(([\w-]+)\.md(?:#[\w-]*)?\)")
# Without cyan, blue and backgrounds, of which each is hard to read on dark or on light terminals.
_STYLES = {
    "markdown.code": "magenta",
    "markdown.code_block": "none",
    "markdown.item.number": "bold",
    "markdown.kbd": "bold",
    "markdown.link": "underline",
    "markdown.link_url": "underline",
    "markdown.list": "none",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}
_LANGUAGE = re.compile(r"^```\w+$", re.MULTILINE)  # no highlighting suits dark and light terminals
# Lines that are narrower or wider are hard to read.
_LEAST_COLUMNS, _MAX_COLUMNS = 30, 120


def docs(
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", help="The page; without it, all are listed.")] = None,
) -> None:
    """Show a page of the documentation, or list the pages."""
    pages = read_pages()
    with QuietExit():
        if topic is None:
            print("\n".join(_listed(pages, Console(sys.stdout).width())))
            print(f"\nllmproxy docs TOPIC shows one, such as `llmproxy docs {next(iter(pages))}`.", flush=True)
            return
        text = pages.get(topic.lower().removesuffix(".md"), "")
        if not text:
            fail(_unknown(topic, pages))
        _show(text)


def read_pages() -> dict[str, str]:
    """Return the pages, Markdown by topic, in the order of their names."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}


def page_summary(page: str) -> str:
    """Return the line below the title of a page."""
    return page.split("\n", 3)[2]


def _listed(pages: dict[str, str], columns: int | None) -> list[str]:
    """Return a line for each page, with more lines below where its summary is longer than the window."""
    width = max(map(len, pages)) + 2
    room = max((columns or sys.maxsize) - width, _LEAST_COLUMNS)
    lines = []
    for name, text in pages.items():
        first, *more = textwrap.wrap(page_summary(text), room)
        lines += [f"{name:{width}}{first}", *(" " * width + each for each in more)]
    return lines


def _unknown(topic: str, pages: dict[str, str]) -> str:
    """Return the message for a topic without a page: the nearest, else the pages that have the word."""
    if near := difflib.get_close_matches(topic.lower(), pages, n=1):
        return f"no page {topic!r}; did you mean {near[0]!r}?"
    word = re.compile(rf"\b{re.escape(topic)}", re.IGNORECASE)
    found = [name for name, text in pages.items() if word.search(text)]
    if found:
        return f"no page {topic!r}. Pages that mention it: {', '.join(found)}"
    return f"no page {topic!r}. Pages: {', '.join(pages)}"


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        print(text, end="", flush=True)
        return
    from rich.console import Console as RichConsole
    from rich.markdown import Markdown
    from rich.theme import Theme

    console = RichConsole(theme=Theme(_STYLES))
    linked = _LINK.sub(r"\1 (`llmproxy docs \2`)", text)
    page = Markdown(_LANGUAGE.sub("```", linked), code_theme="ansi_light", hyperlinks=False)
    console.print(page, width=min(console.width, _MAX_COLUMNS))

"""Find dead links in Markdown: files that do not exist, headings that no page has, pages that nothing links to.

Addresses of other hosts are left alone. Begin reading at `problems`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)|(?:href|src)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def problems(texts: Mapping[str, str], root: Path) -> Iterator[str]:
    """List the dead links of the pages, which are Markdown by path below `root`."""
    linked = set()
    for name, text in texts.items():
        for target in _targets(text):
            file, _, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
            linked.add(path)
            if not (root / path).exists():
                yield f"{name}: the link {target} is dead: there is no file {path}"
            elif anchor and anchor not in anchors(texts.get(path, "")):
                yield f"{name}: the link {target} is dead: {path} has no heading of that name"
    for name in texts:
        if name not in linked and name != "README.md":
            yield f"{name}: no page links to it"


def anchors(text: str) -> set[str]:
    """Return what links to the headings of a page end with, as GitHub makes it: lower case, hyphens, no punctuation."""
    titles = (heading.replace("`", "").lower() for heading in _HEADING.findall(_FENCED.sub("", text)))
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def _targets(text: str) -> Iterator[str]:
    for markdown, html in _LINK.findall(_FENCED.sub("", text)):
        target = markdown or html
        if not re.match(r"[a-z]+:", target):
            yield target

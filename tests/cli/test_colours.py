"""The colours of every screen, which people read on dark and on light terminals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import llmproxy

# Red, green, yellow, blue, magenta and cyan as terminals draw them: xterm, VS Code (dark, light), Windows Terminal
# (Campbell), GNOME (Tango), Terminal of macOS (Basic), iTerm2.
PALETTES = (
    "cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd",
    "cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd",
    "cd3131 107c10 949800 0451a5 bc05bc 0598bc",
    "c50f1f 13a10e c19c00 0037da 881798 3a96dd",
    "cc0000 4e9a06 c4a000 3465a4 75507b 06989a",
    "990000 00a600 999900 0000b2 b200b2 00a6b2",
    "c91b00 00c200 c7c400 0225c7 c930c7 00c5c7",
)
COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")
READABLE = 3.0  # WCAG 2.2, 1.4.11


def contrast(colour: str, ground: float) -> float:
    """Return the contrast of a colour (six hexadecimal digits) with a ground of that luminance, as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (max(light, ground) + 0.05) / (min(light, ground) + 0.05)


def hard_to_read(place: int) -> int:
    """Return in how many palettes a colour is hard to read on white or on black."""
    colours = [palette.split()[place] for palette in PALETTES]
    return sum(min(contrast(each, 0.0), contrast(each, 1.0)) < READABLE for each in colours)


def styles_in(path: Path) -> Iterator[str]:
    """Yield the strings of a source file that are styles of rich with a colour, or codes of colours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = set(node.value.split())
            if not words & set(COLOURS) or not words <= {*COLOURS, "bold", "dim", "underline", "italic", "not", "on"}:
                words = {COLOURS[int(code) - 1] for code in re.findall(r"\x1b\[3([1-6])m", node.value)}
            if words:
                yield " ".join(sorted(words))


def test_every_colour_can_be_read_on_white_and_on_black() -> None:
    readable = {colour for place, colour in enumerate(COLOURS) if hard_to_read(place) <= 1}
    assert readable == {"red", "magenta"}
    source = Path(llmproxy.__file__).parent
    files = [path for folder in ("cli", "console", "middleware") for path in (source / folder).rglob("*.py")]
    used = {style: path.name for path in files for style in styles_in(path)}
    assert {"red", "magenta", "bold red"} <= used.keys()
    assert not {style for style in used if "dim" in style.split() or not set(style.split()) & readable}, used
    assert not [style for style in used if set(style.split()) & (set(COLOURS) - readable)], used

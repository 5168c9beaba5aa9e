"""Prints JSON on a console: the same value, with every character escaped that a terminal obeys or cannot show."""

from __future__ import annotations

import json
import re
import sys

_NOT_PLAIN = re.compile("[^\n -~]")


def escape_json(text: str, encoding: str | None) -> str:
    """Escape JSON `text` for an output in `encoding`."""
    unicode = (encoding or "").lower().replace("-", "").startswith("utf")
    return (
        text
        if text.isascii() and text.isprintable()
        else _NOT_PLAIN.sub(lambda match: _escape(match[0], unicode), text)
    )


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(escape_json(json.dumps(value, indent=2, ensure_ascii=False), sys.stdout.encoding))


def _escape(character: str, unicode: bool) -> str:
    return character if unicode and character.isprintable() else json.dumps(character)[1:-1]

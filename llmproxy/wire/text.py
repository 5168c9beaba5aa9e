"""Text from outside that may hold surrogates: the bytes of a path or header that were not UTF-8."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"[\s,;\"'<>(){}\[\]]")


def cut_text(text: str, length: int) -> str:
    """Return `text` as it is, or its first words with an ellipsis, `length` characters in all. A word is not cut where
    there is another: half a secret, or half a URL, would not be recognised as one."""
    if len(text) <= length:
        return text
    breaks = [match.start() for match in _BREAKS.finditer(text, 0, length)]
    return text[: breaks[-1] if breaks else length - 1] + "…"


def replace_surrogates(text: str) -> str:
    """Return `text` as it can be encoded in UTF-8: pairs of surrogates joined, lone ones replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

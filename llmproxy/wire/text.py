"""Text from outside that may hold surrogates: the bytes of a path or header that were not UTF-8."""

from __future__ import annotations


def replace_surrogates(text: str) -> str:
    """Return `text` as it can be encoded in UTF-8: pairs of surrogates joined, lone ones replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

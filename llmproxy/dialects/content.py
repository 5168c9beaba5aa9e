"""What all dialects have in common in the content of a message: a string, or an array of parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Text


def decode_parts(content: object, path: str, decode_part: Callable[[Members], Block]) -> list[Block]:
    """Return the blocks of a content at the JSON path `path`. Raises BadRequest for what is no content."""
    if isinstance(content, str):
        return [Text(path=path, text=content)]
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be a string or an array, not {name_of(content)}")
    return [decode_part(Members(part, f"{path}[{index}]")) for index, part in enumerate(content)]


def only_texts(blocks: Sequence[Block]) -> list[Text]:
    """Return the blocks of a content where only text may stand, as in system messages. Raises BadRequest for others."""
    texts = []
    for block in blocks:
        if not isinstance(block, Text):
            wrong(block.path, "must be text")
        texts.append(block)
    return texts

"""What all dialects have in common in the content of a message: a string, or an array of parts with a type each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Opaque, Text

PartDecoders: TypeAlias = Mapping[str, Callable[[Members], Block]]
"""What decodes the parts of a dialect, by their type."""


def decode_parts(content: object, path: str, decoders: PartDecoders, dialect: str) -> list[Block]:
    """Return the blocks of a content at the JSON path `path`. Raises BadRequest for what is no content."""
    if isinstance(content, str):
        return [Text(path=path, text=content)]
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be a string or an array, not {name_of(content)}")
    return [decode_part(Members(part, f"{path}[{index}]"), decoders, dialect) for index, part in enumerate(content)]


def decode_part(part: Members, decoders: PartDecoders, dialect: str) -> Block:
    """Return one part; `Opaque` if `dialect` has no decoder for its type."""
    kind = part.needed_text("type")
    decode = decoders.get(kind)
    return opaque(part, kind, dialect) if decode is None else decode(part)


def opaque(part: Members, kind: str, dialect: str) -> Opaque:
    """Return a part, item, call or tool that only `dialect` has; `type` was taken out of it already."""
    return Opaque(path=part.path, dialect=dialect, kind=kind, value={"type": kind, **part.rest})


def only_texts(blocks: Sequence[Block]) -> list[Text]:
    """Return the blocks of a content where only text may stand, as in system messages. Raises BadRequest for others."""
    texts = []
    for block in blocks:
        if not isinstance(block, Text):
            wrong(block.path, "must be text")
        texts.append(block)
    return texts

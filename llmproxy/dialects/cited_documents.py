"""Documents that texts are to cite, in the dialects that have them: what a request says of them, and places in them.

Begin reading at `put_document_options` and `place_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Media, Place, PlaceKind


def put_document_options(block: dict[str, Any], media: Media, context: EncodeContext) -> Media:
    """Write whether a document is to be cited, and what the client says of it. Return `media` without that.

    Both members have one name in all dialects that have them.
    """
    if context.own or media.kind != "document" or not media.extra:
        return media
    extra = dict(media.extra)
    if _is_switch(extra.get("citations")):
        block["citations"] = extra.pop("citations")
    if isinstance(extra.get("context"), str):
        block["context"] = extra.pop("context")
    return msgspec.structs.replace(media, extra=extra)


def _is_switch(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"enabled"} and isinstance(value["enabled"], bool)


def place_of(kind: PlaceKind | None, members: Mapping[str, Any], document: str, start: str, end: str) -> Place | None:
    """Return the place that `members` tell under these names; None where one is missing."""
    numbers = [members.get(name) for name in (document, start, end)]
    if kind is None or not _whole(numbers):
        return None
    return Place(kind=kind, document=numbers[0], start=numbers[1], end=numbers[2])


def _whole(numbers: list[Any]) -> TypeGuard[list[int]]:
    return all(type(number) is int for number in numbers)

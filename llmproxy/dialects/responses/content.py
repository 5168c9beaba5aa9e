"""The parts of a message's content, decoded and encoded: texts with citations, refusals, images, files, sounds.

Source: the SDK's `response_input_text_param`, `response_input_image_param`, `response_input_file_param`,
`response_output_text_param` and `response_output_refusal_param`. Begin reading at `decode_content`, `encode_content`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmproxy.dialects.cache_marks import take_mark
from llmproxy.dialects.content import PartDecoders, decode_parts
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.media_data import decode_sound, encode_data_url, encode_sound, file_name, set_file_data, set_url
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Text
from llmproxy.dialects.responses.logprobs import with_bytes

_LINK = "url_citation"
_TITLES = {_LINK: "title"}
# Where an annotation of this dialect keeps its type.
_TYPE = "~type"


def decode_content(content: object, path: str) -> list[Block]:
    """Return the blocks of a content, which is a string or an array of parts."""
    return decode_parts(content, path, DECODERS, "responses")


def _decode_text(part: Members) -> Block:
    return Text(
        path=part.path,
        annotations=[decode_citation(each) for each in part.objects("annotations")],
        logprobs=with_bytes(part.items("logprobs") or []) or None,
        text=part.needed_text("text"),
        cache=take_mark(part),
        extra=part.left(),
    )


def decode_citation(annotation: Members) -> Citation:
    """Return one of `annotations`. A file's name is its title."""
    kind = annotation.text("type") or _LINK
    return Citation(
        path=annotation.path,
        url=annotation.text("url"),
        title=annotation.text(_TITLES.get(kind, "filename")),
        start=annotation.whole("start_index"),
        end=annotation.whole("end_index"),
        file_id=annotation.text("file_id"),
        extra=annotation.left() | {_TYPE: kind},
    )


def _decode_refusal(part: Members) -> Block:
    return Refusal(path=part.path, text=part.needed_text("refusal"), extra=part.left())


def _decode_image(part: Members) -> Block:
    url, file_id = part.text("image_url"), part.text("file_id")
    detail = part.text("detail")
    # `auto` is required here, and the same as no detail.
    media = Media(path=part.path, kind="image", file_id=file_id, detail=None if detail == "auto" else detail)
    media.cache = take_mark(part)
    if url is not None:
        set_url(media, url, part.at("image_url"))
    elif file_id is None:
        wrong(part.path, "must have image_url or file_id")
    media.extra = part.left()
    return media


def _decode_file(part: Members) -> Block:
    data, name = part.text("file_data"), part.text("filename")
    media = Media(path=part.path, kind="document", name=name, file_id=part.text("file_id"))
    media.cache = take_mark(part)
    url = part.text("file_url")
    if url is not None:
        set_url(media, url, part.at("file_url"))
    if data is not None:
        if not set_file_data(media, data, part.at("file_data")):
            part.rest["~file_data"] = data  # without its type, as it stood
    elif media.file_id is None and url is None:
        wrong(part.path, "must have file_data, file_url or file_id")
    media.extra = part.left()
    return media


DECODERS: PartDecoders = {
    "input_text": _decode_text,
    "output_text": _decode_text,
    "text": _decode_text,
    "refusal": _decode_refusal,
    "input_image": _decode_image,
    "input_file": _decode_file,
    "input_audio": decode_sound,
}


def encode_content(blocks: Sequence[Block], context: EncodeContext) -> str | list[dict[str, Any]]:
    """Return the content of a message that is not the model's: a string where one text is all, otherwise parts."""
    parts = [encode_part(block, context) for block in blocks]
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def encode_part(block: Block, context: EncodeContext) -> dict[str, Any]:
    match block:
        case Text():
            part: dict[str, Any] = {"type": "input_text", "text": block.text}
            context.drop_annotations(block)
            context.put_cache(part, block)
        case Media():
            part = _encode_media(block, context)
            context.put_cache(part, block)
        case Opaque(dialect="responses"):
            return block.value
        case _:
            kind = block.kind if isinstance(block, Opaque) else type(block).__name__
            context.refuse(block.path, f"A block of kind {kind!r} cannot be sent in this message of the Responses API")
    context.put_extra(part, block)
    return part


def encode_output_part(block: Text | Refusal, context: EncodeContext) -> dict[str, Any]:
    """Return one part of a message of the model."""
    if isinstance(block, Refusal):
        part: dict[str, Any] = {"type": "refusal", "refusal": block.text}
    else:
        context.drop_cache(block)
        annotations = [encode_citation(each, block.text, context.losses) for each in block.annotations]
        part = {"type": "output_text", "text": block.text, "annotations": [each for each in annotations if each]}
        if block.logprobs is not None:
            part["logprobs"] = with_bytes(block.logprobs)
    context.put_extra(part, block)
    return part


def encode_citation(citation: Citation, text: str, losses: Losses) -> dict[str, Any] | None:
    """Return one of `annotations`. A citation without a position cites with its whole text."""
    if _TYPE in citation.extra:
        return _own_citation(citation)
    in_request = bool(citation.path) and not citation.path.startswith("reply")
    if in_request:
        losses.drop_extra(citation)
    if citation.url is None and citation.file_id is None:
        losses.drop(citation.path if in_request else "reply.citation")
        return None
    if citation.url is not None:
        annotation: dict[str, Any] = {
            "type": _LINK,
            "url": citation.url,
            "title": citation.title or "",
            "start_index": 0 if citation.start is None else citation.start,
            "end_index": len(text) if citation.end is None else citation.end,
        }
    else:
        name = citation.title or ""
        annotation = {"type": "file_citation", "file_id": citation.file_id, "filename": name, "index": 0}
    if citation.quote is not None:
        losses.drop(citation.path if in_request else "reply.citation.quote")
    return annotation


def _own_citation(citation: Citation) -> dict[str, Any]:
    """Return an annotation as it was decoded."""
    kind = citation.extra[_TYPE]
    members = {
        "type": kind,
        "url": citation.url,
        "file_id": citation.file_id,
        _TITLES.get(kind, "filename"): citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }
    annotation = {name: value for name, value in members.items() if value is not None}
    return annotation | {name: value for name, value in citation.extra.items() if name != _TYPE}


def _encode_media(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.kind == "image":
        return _encode_image(media, context)
    if media.kind == "document":
        return _encode_file(media, context)
    if media.kind == "audio" and media.data is not None and context.own:
        return encode_sound(media)  # the SDK has the part, but no message that may hold it (openai 3.57)
    context.refuse(media.path, f"A block of kind {media.kind} cannot be sent to the Responses API")


def _encode_image(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.name is not None:
        context.drop(f"{media.path}.name")
    part: dict[str, Any] = {"type": "input_image", "detail": media.detail or "auto"}
    if media.file_id is not None:
        part["file_id"] = context.file_id_of(media)
    if media.url is not None:
        part["image_url"] = media.url
    elif media.data is not None:
        part["image_url"] = encode_data_url(media.media_type, media.data)
    return part


def _encode_file(media: Media, context: EncodeContext) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "input_file"}
    name = media.name
    if media.detail is not None:
        part["detail"] = media.detail
    if media.file_id is not None:
        part["file_id"] = context.file_id_of(media)
    elif media.url is not None:
        part["file_url"] = media.url
    elif media.text is not None:
        return {"type": "input_text", "text": f"{name}\n\n{media.text}" if name else media.text}
    elif media.data is not None:
        part["file_data"] = encode_data_url(media.media_type, media.data)
        if name is None and not context.own:
            name = file_name(media.media_type)
    if name is not None:
        part["filename"] = name
    return part

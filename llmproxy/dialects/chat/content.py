"""The parts of a message's content, decoded and encoded: text, images, sounds, files, refusals.

Source: the SDK's `chat_completion_content_part_*` types; `cache_control` and `video_url` are extensions that gateways
and local servers share. Begin reading at `decode_content` and `encode_content`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from llmproxy.dialects.cache_marks import take_mark
from llmproxy.dialects.content import PartDecoders, decode_parts
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.media_data import (
    SOUND,
    decode_sound,
    encode_data_url,
    encode_sound,
    file_name,
    set_file_data,
    set_url,
)
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Text, Thinking

_BETWEEN = "\n\n"
_PLAIN = {"type", "text"}
_IMAGE_NAMES = {"detail": "image_url.detail"}


def decode_content(content: object, path: str) -> list[Block]:
    """Return the blocks of a content, which is a string or an array of parts."""
    return decode_parts(content, path, DECODERS, "chat")


def _decode_text(part: Members) -> Block:
    return Text(path=part.path, text=part.needed_text("text"), cache=take_mark(part), extra=part.left())


def _decode_refusal(part: Members) -> Block:
    return Refusal(path=part.path, text=part.needed_text("refusal"), extra=part.left())


def _decode_image(part: Members) -> Block:
    image = _link(part, "image_url")
    media = Media(path=part.path, kind="image", detail=image.text("detail"), cache=take_mark(part))
    if media.detail is not None:
        media.names = _IMAGE_NAMES
    return _set_link(media, part, image)


def _decode_video(part: Members) -> Block:
    video = _link(part, "video_url")
    return _set_link(Media(path=part.path, kind="video", cache=take_mark(part)), part, video)


def _decode_document(part: Members) -> Block:
    """Return a document of Mistral's chat."""
    document = _link(part, "document_url")
    name = part.text("document_name")
    media = Media(path=part.path, kind="document", name=name, cache=take_mark(part))
    return _set_link(media, part, document)


def _decode_thinking(part: Members) -> Block:
    """Return thinking as Mistral writes it, in texts below the part."""
    texts = [each.text("text") or "" for each in part.objects("thinking")]
    return Thinking(path=part.path, text="".join(texts), dialect="chat", extra=part.left())


def _link(part: Members, name: str) -> Members:
    """Return the object that holds a URL; some clients send the URL alone."""
    value = part.any(name)
    return Members({"url": value} if isinstance(value, str) else value, part.at(name))


def _set_link(media: Media, part: Members, link: Members) -> Media:
    set_url(media, link.needed_text("url"), link.at("url"))
    media.extra = nested_extra(part, link)
    return media


def _decode_file(part: Members) -> Block:
    """Return a file; Mistral has its id in the part itself."""
    if part.rest.get("file") is None and part.rest.get("file_id") is not None:
        file_id = part.text("file_id")
        return Media(path=part.path, kind="document", file_id=file_id, extra=part.left())
    file = Members(part.any("file"), part.at("file"))
    data, name, file_id = file.text("file_data"), file.text("filename"), file.text("file_id")
    media = Media(path=part.path, kind="document", name=name, file_id=file_id, cache=take_mark(part))
    if data is not None:
        set_file_data(media, data, file.at("file_data"))
    elif file_id is None:
        wrong(file.path, "must have file_data or file_id")
    media.extra = nested_extra(part, file)
    return media


DECODERS: PartDecoders = {
    "text": _decode_text,
    "image_url": _decode_image,
    "video_url": _decode_video,
    "input_audio": decode_sound,
    "file": _decode_file,
    "refusal": _decode_refusal,
    "document_url": _decode_document,
    "thinking": _decode_thinking,
}


def encode_content(
    blocks: Sequence[Block], context: EncodeContext, *, joined: bool = False
) -> str | list[dict[str, Any]]:
    """Return a string where one text is all, otherwise parts. With `joined` the texts of another dialect become one,
    as many services accept parts in user messages alone."""
    parts = [_encode_part(block, context) for block in blocks]
    plain = all([part.keys() == _PLAIN and part["type"] == "text" for part in parts])
    if plain and (len(parts) < 2 or (joined and not context.own)):
        return _BETWEEN.join([part["text"] for part in parts])
    return parts


def _encode_part(block: Block, context: EncodeContext) -> dict[str, Any]:
    match block:
        case Text():
            part: dict[str, Any] = {"type": "text", "text": block.text}
            context.drop_annotations(block)  # clients of chat send text alone
            if block.logprobs is not None:
                context.drop(f"{block.path}.logprobs")
            context.put_cache(part, block)
        case Media():
            part = _encode_media(block, context)
            context.put_cache(part, block)
        case Refusal():
            part = {"type": "refusal", "refusal": block.text}
        case Opaque(dialect="chat"):
            return block.value
        case _:
            kind = block.kind if isinstance(block, Opaque) else type(block).__name__
            context.refuse(block.path, f"A block of kind {kind!r} cannot be sent in this message of chat")
    context.put_extra(part, block)
    return part


def _encode_media(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.kind == "document":
        if context.options.document_url and not context.own:
            return _encode_document(media)
        return {"type": "file", "file": _encode_file(media, context)}
    if media.name is not None:
        context.drop(f"{media.path}.name")
    return _encode_sound(media, context) if media.kind == "audio" else _encode_picture(media, context)


def _encode_sound(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.data is None:
        context.refuse(media.path, "Audio must be sent as base64 in chat")
    bare = context.options.document_url and not context.own
    return {"type": SOUND, SOUND: media.data} if bare else encode_sound(media)


def _encode_picture(media: Media, context: EncodeContext) -> dict[str, Any]:
    """Return an image or a video."""
    if media.kind == "video" and not (context.own or context.options.video):
        context.refuse(media.path, "A video cannot be sent to this provider's chat")
    name = "image_url" if media.kind == "image" else "video_url"
    if media.file_id is not None:
        context.refuse(
            media.path, f"A block of kind {media.kind} cannot be sent as a file id in chat. Send a URL or base64"
        )
    url = media.url if media.url is not None else encode_data_url(media.media_type, media.data or "")
    link: dict[str, Any] = {"url": url}
    if media.detail is not None:
        link["detail"] = media.detail
    return {"type": name, name: link}


def _encode_document(media: Media) -> dict[str, Any]:
    """Return a document of Mistral's chat. Plain text needs no file there."""
    if media.text is not None:
        return {"type": "text", "text": f"{media.name}\n\n{media.text}" if media.name else media.text}
    if media.file_id is not None:
        return {"type": "file", "file_id": media.file_id}
    url = media.url if media.url is not None else encode_data_url(media.media_type, media.data or "")
    part = {"type": "document_url", "document_url": url}
    if media.name is not None:
        part["document_name"] = media.name
    return part


def _encode_file(media: Media, context: EncodeContext) -> dict[str, Any]:
    if media.url is not None:
        context.refuse(media.path, "A document cannot be sent as a URL in chat. Send base64 or a file id")
    name = media.name
    file: dict[str, Any] = {}
    if media.file_id is not None:
        file["file_id"] = context.file_id_of(media)
    if media.text is not None:
        data = base64.b64encode(media.text.encode("utf-8", "surrogatepass")).decode()
        file["file_data"] = encode_data_url(media.media_type or "text/plain", data)
    elif media.data is not None:
        as_url = media.media_type or not context.own
        file["file_data"] = encode_data_url(media.media_type, media.data) if as_url else media.data
    if name is None and "file_data" in file and not context.own:
        name = file_name(media.media_type or "text/plain")
    if name is not None:
        file["filename"] = name
    return file

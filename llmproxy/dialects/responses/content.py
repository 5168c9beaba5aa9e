"""The parts of a message's content, read and written: texts with citations, refusals, images, files, sounds.

Source: the SDK's `response_input_text_param`, `response_input_image_param`, `response_input_file_param`,
`response_output_text_param` and `response_output_refusal_param`. Begin reading at `read_content`, `write_parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from mimetypes import guess_extension, guess_type
from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.data_url import read_data_url, write_data_url
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Text
from llmproxy.dialects.responses.extras import drop_cache, nested_extra, put_extra
from llmproxy.dialects.responses.logprobs import spelled

_SOUNDS = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_FORMATS = {media_type: name for name, media_type in _SOUNDS.items()} | {"audio/x-wav": "wav", "audio/mp3": "mp3"}
_LINK = "url_citation"
_TITLES = {_LINK: "title"}
# Where an annotation of this dialect keeps its type.
_TYPE = "~type"


def read_content(content: object, path: str) -> list[Block]:
    """The blocks of a content, which is a string or an array of parts."""
    if isinstance(content, str):
        return [Text(path=path, text=content)]
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be a string or an array, not {name_of(content)}")
    return [read_part(Members(part, f"{path}[{index}]")) for index, part in enumerate(content)]


def read_part(part: Members) -> Block:
    """One part."""
    kind = part.needed_text("type")
    reader = _READERS.get(kind)
    if reader is None:
        return Opaque(path=part.path, dialect="responses", kind=kind, value={"type": kind, **part.rest})
    return reader(part)


def _read_text(part: Members) -> Block:
    citations = [read_citation(each) for each in part.objects("annotations")]
    logprobs = spelled(part.items("logprobs") or []) or None
    return Text(
        path=part.path,
        text=part.needed_text("text"),
        annotations=citations,
        logprobs=logprobs,
        cache=part.any("cache_control"),
        extra=part.left(),
    )


def read_citation(cited: Members) -> Citation:
    """One of `annotations`. A file's name is its title."""
    kind = cited.text("type") or _LINK
    return Citation(
        path=cited.path,
        url=cited.text("url"),
        title=cited.text(_TITLES.get(kind, "filename")),
        start=cited.whole("start_index"),
        end=cited.whole("end_index"),
        file_id=cited.text("file_id"),
        extra=cited.left() | {_TYPE: kind},
    )


def _read_refusal(part: Members) -> Block:
    return Refusal(path=part.path, text=part.needed_text("refusal"), extra=part.left())


def _read_image(part: Members) -> Block:
    url, file_id = part.text("image_url"), part.text("file_id")
    detail = part.text("detail")
    # `auto` must be said here, and says nothing.
    media = Media(path=part.path, kind="image", file_id=file_id, detail=None if detail == "auto" else detail)
    media.cache = part.any("cache_control")
    if url is not None and url[:5].lower() == "data:":
        media.media_type, media.data = read_data_url(url, part.at("image_url"))
    elif url is None and file_id is None:
        wrong(part.path, "must have image_url or file_id")
    else:
        media.url = url
    media.extra = part.left()
    return media


def _read_file(part: Members) -> Block:
    data, name = part.text("file_data"), part.text("filename")
    media = Media(path=part.path, kind="document", name=name, file_id=part.text("file_id"), url=part.text("file_url"))
    media.cache = part.any("cache_control")
    if data is not None and data[:5].lower() == "data:":
        media.media_type, media.data = read_data_url(data, part.at("file_data"))
    elif data is not None:
        media.media_type, media.data = guess_type(name or "")[0], data
        part.rest["~file_data"] = data  # without its type, as it stood
    elif media.file_id is None and media.url is None:
        wrong(part.path, "must have file_data, file_url or file_id")
    media.extra = part.left()
    return media


def _read_audio(part: Members) -> Block:
    sound = Members(part.any("input_audio"), part.at("input_audio"))
    kind = sound.needed_text("format")
    return Media(
        path=part.path,
        kind="audio",
        data=sound.needed_text("data"),
        media_type=_SOUNDS.get(kind, f"audio/{kind}"),
        extra=nested_extra(part, sound),
    )


_READERS: dict[str, Callable[[Members], Block]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
}


def write_content(blocks: Sequence[Block], *, own: bool, losses: Losses) -> str | list[dict[str, Any]]:
    """What the user says: a string where one text is all, otherwise parts."""
    parts = [write_part(block, own=own, losses=losses) for block in blocks]
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def write_part(block: Block, *, own: bool, losses: Losses) -> dict[str, Any]:
    """One part of what the user says."""
    match block:
        case Text():
            written: dict[str, Any] = {"type": "input_text", "text": block.text}
            for each in block.annotations:
                losses.drop(each.path or f"{block.path}.annotations")
            drop_cache(block, losses)
        case Media():
            written = _media(block, own=own, losses=losses)
            drop_cache(block, losses)
        case Opaque(dialect="responses"):
            return block.value
        case _:
            kind = block.kind if isinstance(block, Opaque) else type(block).__name__
            losses.refuse(block.path, f"A block of kind {kind!r} cannot be sent here in the Responses API")
    put_extra(written, block, own=own, losses=losses)
    return written


def write_said(block: Text | Refusal, *, own: bool, losses: Losses) -> dict[str, Any]:
    """One part of what the model said."""
    if isinstance(block, Refusal):
        written: dict[str, Any] = {"type": "refusal", "refusal": block.text}
    else:
        drop_cache(block, losses)
        annotations = [note for each in block.annotations if (note := write_citation(each, block.text, losses))]
        written = {"type": "output_text", "text": block.text, "annotations": annotations}
        if block.logprobs is not None:
            written["logprobs"] = spelled(block.logprobs)
    put_extra(written, block, own=own, losses=losses)
    return written


def write_citation(citation: Citation, text: str, losses: Losses) -> dict[str, Any] | None:
    """One of `annotations`. What cites without saying where cites with its whole text."""
    if _TYPE in citation.extra:
        return _own_citation(citation)
    asked = bool(citation.path) and not citation.path.startswith("reply")
    if asked:
        losses.drop_extra(citation)
    if citation.url is None and citation.file_id is None:
        losses.drop(citation.path if asked else "reply.citation")
        return None
    if citation.url is not None:
        written: dict[str, Any] = {
            "type": _LINK,
            "url": citation.url,
            "title": citation.title or "",
            "start_index": 0 if citation.start is None else citation.start,
            "end_index": len(text) if citation.end is None else citation.end,
        }
    else:
        written = {"type": "file_citation", "file_id": citation.file_id, "filename": citation.title or "", "index": 0}
    if citation.quote is not None:
        losses.drop(citation.path if asked else "reply.citation.quote")
    return written


def _own_citation(citation: Citation) -> dict[str, Any]:
    """An annotation as it was read."""
    kind = citation.extra[_TYPE]
    known = {
        "type": kind,
        "url": citation.url,
        "file_id": citation.file_id,
        _TITLES.get(kind, "filename"): citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }
    written = {name: value for name, value in known.items() if value is not None}
    return written | {name: value for name, value in citation.extra.items() if name != _TYPE}


def _media(media: Media, *, own: bool, losses: Losses) -> dict[str, Any]:
    if media.kind == "image":
        return _image(media, losses)
    if media.kind == "document":
        return _file(media, losses, own=own)
    if media.kind == "audio" and media.data is not None:
        kind = (media.media_type or "audio/wav").lower()
        sound = {"data": media.data, "format": _FORMATS.get(kind, kind.rpartition("/")[2])}
        return {"type": "input_audio", "input_audio": sound}
    losses.refuse(media.path, f"A block of kind {media.kind} cannot be sent to the Responses API in this form")


def _image(media: Media, losses: Losses) -> dict[str, Any]:
    if media.name is not None:
        losses.drop(f"{media.path}.name")
    written: dict[str, Any] = {"type": "input_image", "detail": media.detail or "auto"}
    if media.file_id is not None:
        written["file_id"] = media.file_id
    if media.url is not None or media.data is not None:
        url = media.url
        written["image_url"] = write_data_url(media.media_type, media.data or "") if url is None else url
    return written


def _file(media: Media, losses: Losses, *, own: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "input_file"}
    name = media.name
    if media.detail is not None:
        written["detail"] = media.detail
    if media.file_id is not None:
        written["file_id"] = media.file_id
    elif media.url is not None:
        written["file_url"] = media.url
    elif media.text is not None:
        return {"type": "input_text", "text": f"{name}\n\n{media.text}" if name else media.text}
    elif media.data is not None:
        written["file_data"] = write_data_url(media.media_type, media.data)
        if name is None and not own:
            # The API wants a name beside the data.
            name = f"document{guess_extension(media.media_type or '') or ''}"
    if name is not None:
        written["filename"] = name
    return written

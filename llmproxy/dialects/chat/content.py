"""Reading the parts of a chat message's content: text, images, sounds, files, refusals.

Source: the SDK's `chat_completion_content_part_*` types; `cache_control` and `video_url` are extensions that gateways
and local servers share. Begin reading at `read_content`.
"""

from __future__ import annotations

from collections.abc import Callable
from mimetypes import guess_type

from llmproxy.dialects.chat.extras import nested_extra
from llmproxy.dialects.data_url import read_data_url
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Text

SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The formats of `input_audio` whose media type is not `audio/` and their name."""


_IMAGE_NAMES = {"detail": "image_url.detail"}


def read_content(content: object, path: str) -> list[Block]:
    """The blocks of a content, which is a string or an array of parts."""
    if isinstance(content, str):
        return [Text(path=path, text=content)]
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be a string or an array, not {name_of(content)}")
    return [read_part(Members(part, f"{path}[{index}]")) for index, part in enumerate(content)]


def read_texts(content: object, path: str) -> list[Text]:
    """The same where only text may stand, as in system messages."""
    texts = []
    for block in read_content(content, path):
        if not isinstance(block, Text):
            wrong(block.path, "must be a text part")
        texts.append(block)
    return texts


def read_part(part: Members) -> Block:
    """One part."""
    kind = part.needed_text("type")
    reader = _READERS.get(kind)
    if reader is None:
        return Opaque(path=part.path, dialect="chat", kind=kind, value={"type": kind, **part.rest})
    return reader(part)


def _read_text(part: Members) -> Block:
    return Text(path=part.path, text=part.needed_text("text"), cache=part.any("cache_control"), extra=part.left())


def _read_refusal(part: Members) -> Block:
    return Refusal(path=part.path, text=part.needed_text("refusal"), extra=part.left())


def _read_image(part: Members) -> Block:
    image = _link(part, "image_url")
    media = Media(path=part.path, kind="image", detail=image.text("detail"), cache=part.any("cache_control"))
    if media.detail is not None:
        media.names = _IMAGE_NAMES
    return _linked(media, part, image)


def _read_video(part: Members) -> Block:
    video = _link(part, "video_url")
    media = Media(path=part.path, kind="video", cache=part.any("cache_control"))
    return _linked(media, part, video)


def _link(part: Members, name: str) -> Members:
    """The object that holds a URL; some clients send the URL alone."""
    value = part.any(name)
    return Members({"url": value} if isinstance(value, str) else value, part.at(name))


def _linked(media: Media, part: Members, link: Members) -> Media:
    url = link.needed_text("url")
    if url[:5].lower() == "data:":
        media.media_type, media.data = read_data_url(url, link.at("url"))
    else:
        media.url = url
    media.extra = nested_extra(part, link)
    return media


def _read_audio(part: Members) -> Block:
    sound = Members(part.any("input_audio"), part.at("input_audio"))
    kind = sound.needed_text("format")
    return Media(
        path=part.path,
        kind="audio",
        data=sound.needed_text("data"),
        media_type=SOUNDS.get(kind, f"audio/{kind}"),
        cache=part.any("cache_control"),
        extra=nested_extra(part, sound),
    )


def _read_file(part: Members) -> Block:
    file = Members(part.any("file"), part.at("file"))
    data, name, file_id = file.text("file_data"), file.text("filename"), file.text("file_id")
    media = Media(path=part.path, kind="document", name=name, file_id=file_id, cache=part.any("cache_control"))
    if data is not None and data[:5].lower() == "data:":
        media.media_type, media.data = read_data_url(data, file.at("file_data"))
    elif data is not None:
        media.media_type, media.data = guess_type(name or "")[0], data
    elif file_id is None:
        wrong(file.path, "must have file_data or file_id")
    media.extra = nested_extra(part, file)
    return media


_READERS: dict[str, Callable[[Members], Block]] = {
    "text": _read_text,
    "image_url": _read_image,
    "video_url": _read_video,
    "input_audio": _read_audio,
    "file": _read_file,
    "refusal": _read_refusal,
}

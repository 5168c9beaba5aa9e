"""Every kind of media of every client onto every target: in the vendor's types, or refused with its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Options
from llmproxy.errors import Untranslatable
from llmproxy.providers.compatible import Compatible
from llmproxy.providers.openai import OpenAI
from llmproxy.translation.translation import Translation
from tests.support.sdk_types import misfits
from tests.support.strict_mistral import judge_mistral

PNG, PDF, WAV = "data:image/png;base64,iVBORw0KGgo=", "data:application/pdf;base64,JVBERg==", "UklGRg=="
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "chat": {
        "image": {"type": "image_url", "image_url": {"url": PNG}},
        "image by url": {"type": "image_url", "image_url": "https://h/a.png"},
        "file": {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        "file id": {"type": "file", "file": {"file_id": "file-1"}},
        "file id of mistral": {"type": "file", "file_id": "file-1"},
        "document": {"type": "document_url", "document_url": PDF},
        "document by url": {"type": "document_url", "document_url": "https://h/a.pdf", "document_name": "a.pdf"},
        "sound": {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        "sound of mistral": {"type": "input_audio", "input_audio": WAV},
        "sound by url": {"type": "input_audio", "input_audio": "https://h/a.wav"},
        "video": {"type": "video_url", "video_url": {"url": "https://h/a.mp4"}},
    },
    "responses": {
        "image": {"type": "input_image", "image_url": PNG, "detail": "auto"},
        "image id": {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        "file": {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        "file id": {"type": "input_file", "file_id": "file-1"},
        "file by url": {"type": "input_file", "file_url": "https://h/a.pdf"},
        "file in a url": {"type": "input_file", "file_url": PDF},
        "sound": {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
    },
    "messages": {
        "image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        "image by url": {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        "image id": {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        "document": {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        },
        "document by url": {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
        "text": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
    },
}
OPENAI = OpenAI(OpenAI.Config(name="o", type="openai")).options
MISTRAL = Compatible.Config.services["mistral"].options
TARGETS: dict[str, tuple[str, Options]] = {
    "chat": ("chat", OPENAI),
    "responses": ("responses", OPENAI),
    "messages": ("messages", Options()),
    "mistral": ("chat", MISTRAL),
}
REFUSED = {
    ("chat", "document by url", "chat"),
    ("chat", "sound", "messages"),
    ("chat", "sound", "responses"),
    ("chat", "sound of mistral", "messages"),
    ("chat", "sound of mistral", "responses"),
    *(("chat", "sound by url", target) for target in TARGETS),
    *(("chat", "video", target) for target in TARGETS),
    ("responses", "image id", "chat"),
    ("responses", "image id", "mistral"),
    ("responses", "file by url", "chat"),
    ("responses", "sound", "messages"),
    ("messages", "image id", "chat"),
    ("messages", "image id", "mistral"),
    ("messages", "document by url", "chat"),
}
CASES = [
    (client, kind, target)
    for client, parts in PARTS.items()
    for kind in parts
    for target in TARGETS
    if target != client  # relayed
]


@pytest.mark.parametrize(("client", "kind", "target"), CASES)
def test_a_part_is_carried_in_the_target_s_types_or_refused(client: str, kind: str, target: str) -> None:
    turns = [{"role": "user", "content": [PARTS[client][kind]]}]
    members = {"input": turns} if client == "responses" else {"messages": turns, "max_tokens": 50}
    dialect, options = TARGETS[target]
    codec = codecs()[client]
    request = codec.decode_request({"model": "m", **members})
    request.dialect = request.dialect if dialect != client else "another"
    translation = Translation(request, codec, codecs()[dialect], options=options, strict=False)
    if (client, kind, target) in REFUSED:
        with pytest.raises(Untranslatable) as caught:
            translation.request("m")
        assert caught.value.param == f"{'input' if client == 'responses' else 'messages'}[0].content[0]"
        return
    body = msgspec.json.decode(translation.request("m"))
    assert (list(judge_mistral(body)) if target == "mistral" else misfits(dialect, body)) == []


def test_the_only_sounds_of_responses_are_its_own() -> None:
    """The SDK has the part, but no message that may hold it; it is relayed, and comes back as it stood."""
    from openai.types.responses import ResponseInputContentParam, ResponseInputMessageContentListParam

    assert "Audio" not in f"{ResponseInputContentParam} {ResponseInputMessageContentListParam}"

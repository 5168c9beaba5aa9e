from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.codec import Losses, Options
from llmproxy.dialects.codecs import CODECS
from llmproxy.dialects.model import Media
from llmproxy.dialects.responses import CODEC, DIALECT
from llmproxy.errors import Untranslatable
from tests.support.full_responses_request import read, write


def test_the_codec_has_the_name_of_its_dialect() -> None:
    assert CODEC.name == DIALECT.name and CODECS["responses"] is CODEC
    assert CODEC.credential("k") == ("Authorization", "Bearer k")


@pytest.mark.parametrize(("kind", "taken"), [("image", True), ("document", True), ("audio", False), ("video", False)])
def test_images_and_documents_are_taken_by_url(kind: str, taken: bool) -> None:
    assert CODEC.takes_url(Media(kind=kind, url="https://h")) is taken  # type: ignore[arg-type]  # pytest gives a str


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search_preview"},
        {"type": "mcp", "server_label": "s"},
        {"type": "shell"},
        {"type": "apply_patch"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "image_generation"}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["chat", "messages"])
def test_a_choice_among_hosted_tools_stays_here(choice: dict[str, Any], target: str) -> None:
    request = read(tool_choice=choice)
    assert write(request)[0]["tool_choice"] == choice
    with pytest.raises(Untranslatable, match=choice["type"]) as refused:
        CODECS[target].encode_request(request, Options(), Losses())
    assert refused.value.param == "tool_choice"

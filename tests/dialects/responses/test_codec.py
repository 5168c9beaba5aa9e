from __future__ import annotations

import pytest

from llmproxy.dialects.codecs import CODECS
from llmproxy.dialects.model import Media
from llmproxy.dialects.responses import CODEC, DIALECT


def test_the_codec_has_the_name_of_its_dialect() -> None:
    assert CODEC.name == DIALECT.name and CODECS["responses"] is CODEC
    assert CODEC.credential("k") == ("Authorization", "Bearer k")


@pytest.mark.parametrize(("kind", "taken"), [("image", True), ("document", True), ("audio", False), ("video", False)])
def test_images_and_documents_are_taken_by_url(kind: str, taken: bool) -> None:
    assert CODEC.takes_url(Media(kind=kind, url="https://h")) is taken  # type: ignore[arg-type]  # pytest gives a str

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.responses import CODEC, DIALECT
from llmproxy.errors import Untranslatable
from tests.support.full_responses_request import read, write


def test_the_codec_has_the_name_of_its_dialect() -> None:
    assert CODEC.name == DIALECT.name and codecs()["responses"] is CODEC
    assert (CODEC.key_header, CODEC.key_scheme) == ("Authorization", "Bearer ")


def test_images_and_documents_are_taken_by_url() -> None:
    assert CODEC.takes_url == {"image", "document"}


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search_preview"},
        {"type": "mcp", "server_label": "s"},
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["chat", "messages"])
def test_a_choice_among_hosted_tools_stays_here(choice: dict[str, Any], target: str) -> None:
    request = read(tool_choice=choice)
    assert write(request)[0]["tool_choice"] == choice
    with pytest.raises(Untranslatable, match=choice["type"]) as refused:
        codecs()[target].encode_request(request, codecs()[target].context(request.dialect, Losses()))
    assert refused.value.param == "tool_choice"

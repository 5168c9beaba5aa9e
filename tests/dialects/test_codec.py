"""What a codec adds to its functions."""

from __future__ import annotations

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses


def test_values_of_its_own_dialect_are_encoded_as_such() -> None:
    chat, losses = codecs()["chat"], Losses()
    assert chat.context("chat", losses).own and not chat.context("messages", losses).own
    assert chat.context("chat", losses).losses is losses

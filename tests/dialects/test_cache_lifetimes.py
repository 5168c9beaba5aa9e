"""How long written cache is kept is told by two APIs, each in its words."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse import usage as converse
from llmproxy.dialects.messages import usage as messages

MESSAGES: Any = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 16,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 12},
    "cache_read_input_tokens": 0,
    "output_tokens": 7,
}
CONVERSE: Any = {
    "inputTokens": 5,
    "outputTokens": 7,
    "totalTokens": 28,
    "cacheReadInputTokens": 0,
    "cacheWriteInputTokens": 16,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 12}, {"ttl": "5m", "inputTokens": 4}],
}


@pytest.mark.parametrize(
    ("read", "write", "given", "written"),
    [
        (messages.decode_usage, converse.encode_usage, MESSAGES, CONVERSE),
        (converse.decode_usage, messages.encode_usage, CONVERSE, MESSAGES),
        (messages.decode_usage, messages.encode_usage, MESSAGES, MESSAGES),
        (converse.decode_usage, converse.encode_usage, CONVERSE, CONVERSE),
    ],
)
def test_an_hour_stays_an_hour(read: Any, write: Any, given: Any, written: Any) -> None:
    assert write(read(given)) == written

"""Events of the Responses API over a WebSocket."""

from __future__ import annotations

import pytest

from llmproxy.dialects.responses.socket import SOCKET
from llmproxy.dialects.socket_calls import EventFacts
from llmproxy.dialects.usage import Usage


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_the_usage_of_a_response_that_has_ended(kind: str) -> None:
    usage = '{"input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 2}}'
    event = f'{{"type": "response.{kind}", "response": {{"model": "gpt-5.5", "usage": {usage}}}}}'
    facts = EventFacts(usage=Usage(input=5, output=7, cache_read=2), model="gpt-5.5")
    assert SOCKET.read_event(event.encode()) == facts


def test_deltas_are_not_decoded_and_the_first_message_names_the_model() -> None:
    assert SOCKET.read_event(b'{"type": "response.output_text.delta", "delta": "hi"}') is None
    assert SOCKET.read_first(b'{"type": "response.create", "model": "gpt-5.5"}') == "gpt-5.5"
    assert SOCKET.read_first(b"[") is None

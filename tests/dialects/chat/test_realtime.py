"""Events of the Realtime API that report usage, against the SDK's own type."""

from __future__ import annotations

import json

from openai.types.realtime import RealtimeResponseUsage

from llmproxy.dialects.chat.realtime import REALTIME
from llmproxy.dialects.socket_calls import EventFacts
from llmproxy.dialects.usage import Usage, UsageDetails

USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


def test_the_usage_of_an_answer() -> None:
    RealtimeResponseUsage.model_validate(USAGE, strict=True)
    event = json.dumps({"type": "response.done", "response": {"status": "completed", "usage": USAGE}}).encode()
    details = UsageDetails(input_audio=13, output_audio=91, cache_read_audio=4)
    assert REALTIME.read_event(event) == EventFacts(usage=Usage(input=132, output=121, cache_read=64, details=details))


def test_the_model_of_a_session_and_odd_events() -> None:
    created = b'{"type": "session.created", "session": {"model": "gpt-realtime"}}'
    assert REALTIME.read_event(created) == EventFacts(model="gpt-realtime")
    for odd in (b'{"type": "response.done"}', b'{"type": "response.done", "response": {"usage": []}}'):
        assert REALTIME.read_event(odd) == EventFacts()

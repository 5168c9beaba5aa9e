"""Messages of the Live API, against the SDK's own type."""

from __future__ import annotations

import json

from google.genai.types import LiveServerMessage

from llmproxy.dialects.gemini.live import LIVE
from llmproxy.dialects.socket_calls import EventFacts
from llmproxy.dialects.usage import Usage, UsageDetails

MESSAGE = {
    "serverContent": {"turnComplete": True},
    "usageMetadata": {
        "promptTokenCount": 522,
        "responseTokenCount": 42,
        "totalTokenCount": 564,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}],
        "thoughtsTokenCount": 136,
    },
}


def test_the_usage_of_a_turn() -> None:
    LiveServerMessage.model_validate(MESSAGE)
    details = UsageDetails(input_audio=165, output_audio=42)
    usage = Usage(input=522, output=178, reasoning=136, details=details)
    assert LIVE.read_event(json.dumps(MESSAGE).encode()) == EventFacts(usage=usage)


def test_the_setup_names_the_model() -> None:
    for name in ("models/gemini-live", "projects/p/locations/l/publishers/google/models/gemini-live", "gemini-live"):
        assert LIVE.read_first(json.dumps({"setup": {"model": name}}).encode()) == "gemini-live"
    assert LIVE.read_first(b'{"setup": {"model": 3}}') is None

"""The event that ends a stream of responses with an error; `test_responses.py` shows it to the official SDK."""

from __future__ import annotations

import json

from llmproxy.dialects.responses.error_event import write_error_event
from llmproxy.errors import BadRequest


def test_an_error_stands_flat_and_nested() -> None:
    frame = write_error_event(BadRequest("why", param="model", code="wrong"), number=7)
    assert frame.startswith(b"event: error\ndata: ")
    event = json.loads(frame.partition(b"data: ")[2])
    assert (event["type"], event["sequence_number"]) == ("error", 7)
    assert (event["code"], event["message"], event["param"]) == ("wrong", "why", "model")
    assert event["error"]["message"] == "why"

from __future__ import annotations

from unittest.mock import Mock

import pytest
from multidict import CIMultiDict

from llmproxy.answer import Answer, framing_of, list_dropped
from llmproxy.dialects.catalog import find
from llmproxy.wire.sse import SSE
from tests.support.json_lines import JSON_LINES
from tests.support.pieces import Pieces


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [
        ("text/event-stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("Text/Event-Stream", True),
        ("application/json", False),
        ("text/event", False),
        (None, False),
    ],
)
def test_server_sent_events_are_known_by_their_content_type(content_type: str | None, streams: bool) -> None:
    headers = CIMultiDict({} if content_type is None else {"content-type": content_type})

    assert framing_of(headers, None) is (SSE if streams else None)
    assert framing_of(headers, find("POST", "/v1/chat/completions")) is (SSE if streams else None)


def test_a_stream_in_the_framing_of_its_dialect_is_known_by_its_content_type() -> None:
    endpoint = Mock(dialect=Mock(framing=JSON_LINES, other_framing=None))

    assert framing_of(CIMultiDict({"Content-Type": "application/jsonl; charset=utf-8"}), endpoint) is JSON_LINES
    assert framing_of(CIMultiDict({"Content-Type": "text/event-stream"}), endpoint) is SSE
    assert framing_of(CIMultiDict({"Content-Type": "application/json"}), endpoint) is None
    assert framing_of(CIMultiDict({"Content-Type": "application/jsonl"}), None) is None


def test_closing_an_answer_closes_what_is_still_to_come() -> None:
    stream = Pieces(b"more")

    Answer(status=200, headers=CIMultiDict(), stream=stream).close()
    Answer(status=200, headers=CIMultiDict(), body=b"all").close()

    assert stream.closed == 1


def test_fields_that_the_target_did_not_get_are_listed_as_far_as_they_fit() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    list_dropped(headers, [])
    assert not headers
    list_dropped(headers, ["a", "b[0]"])
    assert headers["x-llmproxy-dropped"] == "a, b[0]"
    list_dropped(headers, [str(number) for number in range(60)])
    assert headers["x-llmproxy-dropped"].endswith("49, ...")
    list_dropped(headers, ["x" * 1000] * 9)
    assert len(headers["x-llmproxy-dropped"]) < 4200 and headers["x-llmproxy-dropped"].endswith("x, ...")

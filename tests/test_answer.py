from __future__ import annotations

import pytest
from multidict import CIMultiDict

from llmproxy.answer import Answer
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
def test_an_event_stream_is_known_by_its_content_type(content_type: str | None, streams: bool) -> None:
    headers = CIMultiDict({} if content_type is None else {"content-type": content_type})

    assert Answer(status=200, headers=headers).event_stream is streams


def test_closing_an_answer_closes_what_is_still_to_come() -> None:
    stream = Pieces(b"more")

    Answer(status=200, headers=CIMultiDict(), stream=stream).close()
    Answer(status=200, headers=CIMultiDict(), body=b"all").close()

    assert stream.closed == 1

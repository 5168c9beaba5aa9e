from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import BrokenStream
from llmproxy.exchange import MemoryBudget
from llmproxy.failover.commit_point import CommitPoint
from llmproxy.wire.sse import SSE
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces

ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
WORD = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
ERROR = b'data: {"error": {"message": "no"}}\n\n'


async def held(*pieces: bytes, content: bool, breaks: bool = False) -> tuple[bytes, bool]:
    """Return what is held of a stream of these reads, and whether more may come."""
    stream = Pieces(*pieces, breaks=breaks)
    answer = Answer(status=200, headers=Headers(), stream=stream, framing=SSE)
    budget = MemoryBudget(1 << 20)
    exchange = new_exchange(body={"model": "m"})
    await CommitPoint(budget).hold(exchange, answer, stream, content=content)
    assert exchange.held_bytes == len(answer.body)
    return answer.body, answer.stream is not None


async def test_a_stream_is_certain_with_its_first_event_or_its_first_content() -> None:
    assert await held(ROLE, ROLE, WORD, content=False) == (ROLE, True)
    assert await held(ROLE, ROLE, WORD, WORD, content=True) == (ROLE + ROLE + WORD, True)


@pytest.mark.parametrize("end", [ERROR, b"data: [DONE]\n\n"])
async def test_an_error_or_the_end_is_not_waited_through(end: bytes) -> None:
    assert await held(ROLE, end, WORD, content=True) == (ROLE + end, True)


async def test_a_stream_that_ends_without_content_is_whole_and_one_that_breaks_is_closed() -> None:
    assert await held(ROLE, content=True) == (ROLE, False)
    with pytest.raises(BrokenStream):
        await held(ROLE, content=True, breaks=True)

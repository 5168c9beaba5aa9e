"""Ask the workers of a server, each within a bounded time, and remember what those counted that are gone.

Counters never fall: the last ones that a worker has sent, five times a second and whenever they were shown, stay when
it dies. Begin reading at `Gathering.ask`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.sample import Sample, merge_samples
from llmproxy.metrics.transfer import add_state, state_of
from llmproxy.server.peers import Counters
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.link import Link
from llmproxy.workers.operations import ANSWER_QUESTION, COUNTERS, packed

ANSWER_S = 2.0
"""The longest time in seconds for which an answer is waited for."""


@dataclass(slots=True, eq=False)
class Answering:
    """A worker that can be asked. `silent` says that it did not answer in time. `counters` are the last ones that it
    has sent, packed, and `activity` the last ones with the counters of clients."""

    number: int
    link: Link
    silent: bool = False
    counters: bytes = b""
    activity: bytes = b""

    async def ask(self, question: str, argument: bytes) -> bytes | None:
        """Return its answer; None when there is none in time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self.link.call(ANSWER_QUESTION, question, argument)
        except TimeoutError:
            self.silent = True
            return None
        except StoreFault:
            return None
        self.silent = False
        return answer

    async def ask_counters(self, argument: bytes, *, activity: bool) -> None:
        """Get its counters, and keep them at once: it may be gone before another one has answered."""
        answer = await self.ask(COUNTERS, argument)
        if answer is not None:
            self.counters = answer
            self.activity = answer if activity else self.activity


class Gathering:
    """Asks `workers()`, those that have ended too, until they are forgotten. `own_samples` returns what the parent
    itself adds to the metrics."""

    def __init__(self, workers: Callable[[], Sequence[Answering]], own_samples: Callable[[], Iterable[Sample]]) -> None:
        self._workers = workers
        self._own_samples = own_samples
        self._gone = Metrics()
        self._gone_samples: list[Sample] = []

    async def ask(self, asking: Answering, question: str, argument: bytes) -> list[bytes]:
        """Return the answers of all but the one that is `asking`; of the counters those of all, with what is gone."""
        if question != COUNTERS:
            others = [each for each in self._workers() if each is not asking]
            answers = await asyncio.gather(*(each.ask(question, argument) for each in others))
            return [answer for answer in answers if answer is not None]
        activity = msgspec.msgpack.decode(argument, type=bool)
        workers = self._workers()
        await asyncio.gather(*(each.ask_counters(argument, activity=activity) for each in workers))
        known = [worker.counters for worker in workers if worker.counters]
        own = Counters(
            metrics=state_of(self._gone, activity=activity), samples=[*self._gone_samples, *self._own_samples()]
        )
        return [*known, packed(own)]

    def forget(self, worker: Answering) -> None:
        """Keep what a worker counted that is gone: what only grows, not what it had under way."""
        if not worker.counters:
            return
        last = msgspec.msgpack.decode(worker.counters, type=Counters)
        clients = msgspec.msgpack.decode(worker.activity, type=Counters).metrics.activity if worker.activity else None
        last.metrics.websockets.open = 0
        add_state(self._gone, msgspec.structs.replace(last.metrics, in_flight=0, activity=clients))
        grown = [each for each in last.samples if each.counter]
        self._gone_samples = merge_samples([self._gone_samples, grown])
        worker.counters = b""

"""The attempts for one exchange: passes over the targets of its route, waits between them, and a place in line.

A pass calls each target at most once. Nothing here is sent to the client: an answer that comes out is certain up to its
commit point. `target_order.py` says which target comes next, `attempt.py` makes the single calls, `verdict.py` judges
them, `health_notes.py` notes how they went. Begin reading at `AttemptSeries.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from llmproxy.answer import Answer
from llmproxy.body import StreamedBody
from llmproxy.deadline import deadline_of
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.failover.attempt import Attempts
from llmproxy.failover.health_notes import enter_probe, note_health, note_rest
from llmproxy.failover.target_order import order_targets
from llmproxy.failover.verdict import Attempted, AttemptOutcome, judge_answer, judge_error
from llmproxy.limiting.answers import too_many
from llmproxy.limiting.target_quotas import Taking, TargetQuotas
from llmproxy.route import Route
from llmproxy.routing.conditions import fitting
from llmproxy.routing.health import Health
from llmproxy.routing.limit_line import LinePlace
from llmproxy.target import Target

Sleep = Callable[[float], Awaitable[None]]
Pause = Callable[[float, asyncio.Event], Awaitable[None]]


async def pause(seconds: float, event: asyncio.Event) -> None:
    """Wait until the event is set, for at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class FailoverContext:
    """The parts with which calls are made. `now`, `sleep`, `pause` and `jitter` are the clock, `quotas` the configured
    limits of targets."""

    def __init__(
        self,
        attempts: Attempts,
        health: Health,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        pause: Pause = pause,
        jitter: Callable[[], float] = random.random,
        quotas: TargetQuotas | None = None,
    ) -> None:
        self.attempts = attempts
        self.quotas = quotas or TargetQuotas()
        self.health = health
        self.now = now
        self.sleep = sleep
        self.pause = pause
        self.jitter = jitter


class AttemptSeries:
    """The attempts for one exchange, one after the other."""

    __slots__ = (
        "_deadline",
        "_exchange",
        "_failed_targets",
        "_failover",
        "_full_until_s",
        "_last",
        "_line_until_s",
        "_once",
        "_pass_began_s",
        "_place",
        "_policy",
        "_rest_s",
        "_route",
        "_unable",
    )

    def __init__(self, failover: FailoverContext, exchange: Exchange, route: Route) -> None:
        self._failover = failover
        self._exchange = exchange
        self._route = route
        self._policy = route.policy
        self._pass_began_s = failover.now()
        self._deadline = deadline_of(exchange, route.policy.timeout_s, self._pass_began_s)
        self._once = isinstance(exchange.body, StreamedBody)  # a body that streams can be sent only once
        self._last: Attempted | None = None
        self._unable: set[int] = set()
        self._failed_targets: set[int] = set()
        self._rest_s: dict[int, float] = {}
        self._full_until_s: dict[int, float] = {}
        self._line_until_s: float | None = None
        self._place: LinePlace | None = None

    async def run(self) -> Answer:
        """Call each target once, then some of them again, as the policy of the route says."""
        failover, route = self._failover, self._route
        failover.health.budget.count(failover.now())
        try:
            targets = route.targets if not route.conditional else await fitting(route, self._exchange)
            await self._turn(targets, 1 if self._once else len(targets))
            if not self._once and self._failed():
                await self._repeat(targets)
            if self._last is None:
                raise self._none_left(targets)
            return self._last.result()
        except BaseException:
            if self._last is not None:  # the client may have left while a refusal was kept for it
                self._last.discard(self._exchange)
            raise

    async def _repeat(self, targets: Sequence[Target]) -> None:
        """Call targets that failed again, after growing waits."""
        failover, policy = self._failover, self._policy
        left, delay_s = policy.retries, policy.delay_s
        while left > 0 and self._failed():
            at_s, again = self._next_calls(targets, delay_s)
            if at_s >= self._deadline.at_s:
                return
            await self._sleep_until(at_s)
            made = await self._turn(again, left)
            if not made and self._admitted(again, failover.now()):
                return  # refused by the retry budget, or still at their limit
            left -= made or 1
            delay_s = min(delay_s * 2, policy.max_delay_s)

    async def _sleep_until(self, at_s: float) -> None:
        """Sleep until the time has come: timers may be early by a millisecond."""
        while (left_s := at_s - self._failover.now()) > 0:
            await self._failover.sleep(left_s)

    def _admitted(self, targets: Sequence[Target], at_s: float) -> list[Target]:
        """Return those of `targets` that may be called at that time as far as their breakers are concerned, and that
        can take the content."""
        return [
            each
            for each in targets
            if id(each) not in self._unable and (each.health is None or each.health.breaker.admits(at_s))
        ]

    async def _turn(self, targets: Sequence[Target], most: int) -> int:
        """Make a pass. Where all healthy targets are at their limit, or others wait for that, wait in line."""
        lines, route = self._failover.health.lines, self._route.name
        if not lines.waiting or lines.is_empty(route):
            made = await self._pass(targets, most)
            if made or self._limited_s(targets) is None:
                return made
        self._place = lines.enter(route, self._exchange.client.label)
        if self._place is None:
            lines.refused += 1
            return 0
        try:
            return await self._wait_in_line(self._place, targets, most)
        finally:
            self._place.leave()

    async def _wait_in_line(self, place: LinePlace, targets: Sequence[Target], most: int) -> int:
        """Make passes when it is this request's turn, until one makes a call or the time is over."""
        failover = self._failover
        until_s = self._line_until_s = self._line_until_s or failover.now() + self._policy.max_wait_s
        until_s = min(until_s, self._deadline.at_s)
        while not place.first.is_set() and failover.now() < until_s:
            await failover.pause(until_s - failover.now(), place.first)
        while place.first.is_set():
            freed = failover.health.lines.freed_event(self._route.name)
            made = await self._pass(targets, most)
            wait_s = self._limited_s(targets)
            if made or wait_s is None:
                return made
            if failover.now() + wait_s > until_s:
                break
            await failover.pause(wait_s, freed)
        failover.health.lines.refused += 1
        return 0

    def _ready_at_s(self, target: Target) -> float:
        """Return when a target may be called again, which said how long to wait, or of whose limits nothing is left."""
        rest_until_s = 0.0 if target.health is None else target.health.limits.rest_until_s
        return max(rest_until_s, self._rest_s.get(id(target), 0.0))

    def _limited_s(self, targets: Sequence[Target]) -> float | None:
        """Return how long the first of the healthy targets was at its limit when the last pass began; None where none
        was. A target that is free since was not called by that pass, and must not look like one that failed."""
        began_s = self._pass_began_s
        waits = [
            max(target.health.limits.rest_until_s, self._full_until_s.get(id(target), 0.0)) - began_s
            for target in targets
            if target.health is not None and target.health.breaker.admits(began_s) and id(target) not in self._unable
        ]
        return min((wait_s for wait_s in waits if wait_s > 0), default=None)

    def _failed(self) -> bool:
        """Return whether there is no answer yet and a target that failed, the last one or one before those that cannot
        take the content."""
        if self._last is None or not self._failed_targets:
            return False
        return self._last.verdict in ("failed", "unable")

    async def _pass(self, targets: Sequence[Target], most: int) -> int:
        """Call each healthy one of `targets`, in the order of the strategy, until one answers; at most so many. Return
        the number of calls."""
        failover = self._failover
        self._pass_began_s = failover.now()
        made = 0
        called: set[int] = set()  # strategies of users may name a target twice
        for target in order_targets(self._exchange, self._route, targets, failover.health, failover.now):
            if id(target) in called or not self._may_go_on(target):
                continue
            called.add(id(target))
            if (verdict := await self._call(target)) is None:
                continue
            made += 1
            while verdict == "refused" and not self._once and self._may_go_on(target):
                verdict = await self._call(target)
            if verdict == "done" or made >= most:
                break
        return made

    def _may_go_on(self, target: Target) -> bool:
        """Return whether `target` may be called now, after what has been tried before."""
        failover, last = self._failover, self._last
        if last is None and not failover.health.out:
            return True
        now_s = failover.now()
        if target.health is not None and not target.health.breaker.admits(now_s):
            return False
        if last is None:
            return True
        if now_s >= self._deadline.at_s:
            return False
        return not last.failed_by_load or failover.health.budget.take(now_s)

    async def _call(self, target: Target) -> AttemptOutcome | None:
        """Make one attempt, and take note of how it went. Return None where it cannot be made now: the target is at its
        limit, or others are finding out whether it is healthy."""
        health, taking, probe = target.health, None, False
        if target.limit is not None and (taking := await self._take(target)) is None:
            return None
        if health is not None and health.breaker.state != "closed":
            try:
                probe = await enter_probe(self._failover.health, health, self._failover.now)
            finally:
                if not probe:
                    self._failover.quotas.give_back(taking)
            if not probe:
                return None
        if self._place is not None:
            self._place.leave()
        try:
            attempted = self._last = await self._make(target, probe=probe)
        finally:
            if taking is not None:
                self._failover.quotas.attach(self._exchange.calls[-1], taking)
        self._note(target, attempted, probe=probe)
        return attempted.verdict

    async def _take(self, target: Target) -> Taking | None:
        """Take what a call needs from the configured limits of its target; None where they do not have it now."""
        wait_s, taking = await self._failover.quotas.take(self._exchange, target)
        if taking is None:
            self._full_until_s[id(target)] = self._failover.now() + wait_s
        return taking

    async def _make(self, target: Target, *, probe: bool) -> Attempted:
        """Make one attempt within its time, in place of the one before, and judge it."""
        exchange, route = self._exchange, self._route
        if self._last is not None:
            self._last.discard(exchange)
        limit_s = self._limit_s()
        try:
            if limit_s is None:
                answer = await self._failover.attempts.make(exchange, route, target)
            else:
                answer = await self._limited(target, limit_s)
        except ProxyError as error:
            call = exchange.calls[-1]
            return Attempted(verdict=judge_error(self._policy, call, error), call=call, error=error)
        except BaseException:
            if target.health is not None:
                target.health.breaker.abandon(self._failover.now(), probe=probe)
            raise
        call = exchange.calls[-1]
        return Attempted(verdict=judge_answer(exchange, route, call, answer), call=call, answer=answer)

    def _note(self, target: Target, attempted: Attempted, *, probe: bool) -> None:
        """Take note of how an attempt went: for the rest of the series, and for the health of the target."""
        call, health, now_s = attempted.call, target.health, self._failover.now()
        if attempted.verdict == "unable":
            self._unable.add(id(target))
            self._failed_targets.discard(id(target))
        elif attempted.verdict == "failed":
            self._failed_targets.add(id(target))
            if call.retry_after_s is not None:
                self._rest_s[id(target)] = now_s + call.retry_after_s
        if call.settle is not None and attempted.verdict != "done":
            call.settle_once(0)
            self._failover.health.lines.freed()
        if health is not None:
            if call.limits or attempted.at_limit:
                note_rest(self._failover.health, target, attempted, now_s)
            note_health(health, self._exchange, attempted, now_s, probe=probe)

    def _limit_s(self) -> float | None:
        """Return how long the next attempt may take; None for as long as it takes."""
        limit_s = self._deadline.at_s - self._failover.now()
        if (token_s := self._policy.first_token_s) is not None and self._exchange.stream:
            return min(limit_s, token_s)
        return limit_s if limit_s < math.inf else None

    async def _limited(self, target: Target, limit_s: float) -> Answer:
        """Make one attempt. Raises UpstreamError when there is no answer, or no content of a stream, in time."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._failover.attempts.make(self._exchange, self._route, target)
        except TimeoutError as error:
            message = f"{target.provider.name} did not answer within {max(limit_s, 0.0):.3g} s"
            call = self._exchange.calls[-1]
            call.error = "timeout"
            call.given_up = self._deadline.impatient and limit_s != self._policy.first_token_s
            raise UpstreamError(message, status=504, code="timeout") from error

    def _next_calls(self, targets: Sequence[Target], delay_s: float) -> tuple[float, list[Target]]:
        """Return when which of `targets` are called again: those that are ready first, after a random delay of at most
        `delay_s`. The time is math.inf where none will be ready soon."""
        now_s = self._failover.now()
        soonest_s = now_s + self._failover.jitter() * delay_s
        latest_s = now_s + self._policy.max_retry_after_s
        ready = [(self._ready_at_s(each), each) for each in self._admitted(targets, soonest_s)]
        first_s = min((ready_s for ready_s, _ in ready if ready_s <= latest_s), default=math.inf)
        at_s = max(soonest_s, first_s)
        return at_s, [each for ready_s, each in ready if ready_s <= at_s]

    def _none_left(self, targets: Sequence[Target]) -> ProxyError:
        """Return the error for a route none of whose targets may be called at present."""
        limited_s = self._limited_s(targets)
        if limited_s is None:
            return self._all_out(targets)
        return self._all_full(max(self._pass_began_s + limited_s - self._failover.now(), 0.0))

    def _all_out(self, targets: Sequence[Target]) -> ProxyError:
        """Return the error for a route all of whose targets failed too often."""
        now_s = self._failover.now()
        waits = [target.health.breaker.retry_s - now_s for target in targets if target.health is not None]
        retry_after_s = max(math.ceil(min(waits, default=1.0)), 1)
        return ProxyError(
            f"No target of the model {self._route.name!r} can be called now: each failed too often. Try again later",
            status=503,
            code="no_target_available",
            headers=(("Retry-After", str(retry_after_s)),),
        )

    def _all_full(self, wait_s: float) -> ProxyError:
        """Return the error for a route all of whose targets are at their limit."""
        message = (
            f"All targets of the model {self._route.name!r} are at their limit. Try again in {math.ceil(wait_s)} s"
        )
        return too_many(message, wait_s)

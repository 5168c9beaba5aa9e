"""What an attempt says of the health of its target: whether it is healthy, and what is left of its limits.

Begin reading at `note_health`.
"""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.exchange import Exchange
from llmproxy.failover.verdict import Attempted
from llmproxy.routing.health import Health
from llmproxy.target import Target
from llmproxy.target_health import TargetHealth

_OTHERS_PROBE_S = 1.0


async def enter_probe(health: Health, target: TargetHealth, now: Callable[[], float]) -> bool:
    """Return whether a call may find out whether a target is healthy again: one at a time, of all processes."""
    breaker = target.breaker
    if not breaker.enter(now()):
        return False
    if health.shared is None:
        return True
    try:
        may_probe = await health.shared.may_probe(target)
    except BaseException:
        breaker.abandon(now(), probe=True)  # which all others are told, too
        raise
    if not may_probe:
        breaker.wait(now(), _OTHERS_PROBE_S)
    return may_probe


def note_rest(health: Health, target: Target, attempted: Attempted, now_s: float) -> None:
    """Take note of what the provider says of its limits, and leave the target alone while nothing is left; unless they
    are those of a client, or of one of several keys."""
    own, call = target.health, attempted.call
    assert own is not None, "only targets with health are noted"
    own.limits.note(call.limits, now_s)
    rest_s = call.retry_after_s if attempted.at_limit else call.used_up_s
    if rest_s is not None and not call.other_credential and not target.provider.forwards_credentials:
        health.rest(own, min(rest_s, call.credentials_rest_s), now_s)


def note_health(target: TargetHealth, exchange: Exchange, attempted: Attempted, now_s: float, *, probe: bool) -> None:
    """Tell the health of a target how an attempt went. One at its limit, which says until when, is healthy."""
    if attempted.verdict == "failed" and not attempted.at_limit and not attempted.call.given_up:
        target.breaker.fail(now_s, probe=probe)
    elif not attempted.answered:
        target.breaker.abandon(now_s, probe=probe)
    else:
        target.breaker.succeed(now_s, probe=probe)
        call = attempted.call
        if call.status == 200:
            took_s = now_s - exchange.started_s - call.started_s
            target.note_first_token(took_s, now_s, stream=exchange.stream)

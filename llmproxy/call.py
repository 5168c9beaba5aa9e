"""One call to one target on behalf of an exchange: what belongs to one try.

An exchange makes one call after another (failover); the last one counts. Exchanges that share an answer (cache) share
the call, which is one value. Begin reading at `Call`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from llmproxy.dialects.limit_readings import LimitReading
from llmproxy.dialects.summary import Summary
from llmproxy.target import Target


class Call(msgspec.Struct, kw_only=True):
    """One try to answer an exchange.

    `model` is the name that the target is asked for, `url` the address without credentials and query. `status` is the
    provider's, `error` the code of the error that ended the call before an answer was certain. `started_s` and
    `ended_s` are seconds since the exchange began, `translate_s` is how many of them translation took, `first_byte_s`
    is `time.monotonic()`. `dropped` lists what the translation of the request and its answer could not carry, each as a
    JSON path; `cache_marks` counts the prompt-cache marks that it added. `summary` is what the translation knows of the
    answer, which grows while that streams, in the words of the client's dialect; None for an answer that is passed on
    as it came.
    `cost_usd` is what the call costs, None while that is unknown. `left` says that the client for
    which it was made left. `code` is the machine-readable one of an error that
    was translated. `retry_after_s` is how long the provider asked to wait. `other_credential` is set where it refused
    ours: True when the same call may succeed with another one, False when none is left, which is so for
    `credentials_rest_s`. `given_up` says that a client in a hurry ended it, not its target. `span_id` is its span,
    where it is traced. `running` says that the call counts as under way at its target. `held_bytes` are those of what
    the exchange holds in memory that belong to this call alone. `limits` is what the provider said of its limits.
    `credential` is the mark of the one that was used, where the provider has several.
    `settle` is set for a call that took from the configured limits of its target: it is called at the end, once, with
    the tokens that were used.
    """

    target: Target
    model: str | None
    url: str = ""
    status: int | None = None
    error: str | None = None
    started_s: float = 0.0
    ended_s: float | None = None
    translate_s: float = 0.0
    first_byte_s: float | None = None
    dropped: list[str] = msgspec.field(default_factory=list)
    cache_marks: int = 0
    summary: Summary | None = None
    cost_usd: float | None = None
    retry_after_s: float | None = None
    code: str | None = None
    other_credential: bool | None = None
    credentials_rest_s: float = math.inf
    given_up: bool = False
    span_id: str | None = None
    running: bool = False
    held_bytes: int = 0
    credential: str = ""
    left: bool = False
    limits: Sequence[LimitReading] = ()
    settle: Callable[[int | None], None] | None = None

    @property
    def used_up_s(self) -> float | None:
        """Return for how long nothing is left of one of the provider's limits, None where something is of all."""
        if not self.limits:
            return None
        return max((seconds for each in self.limits if (seconds := each.used_up_s)), default=None)

    def settle_once(self, tokens: int | None) -> None:
        """Give back what the call took from the limits of its target, but for the tokens that it used. Called again it
        does nothing."""
        settle, self.settle = self.settle, None
        if settle is not None:
            settle(tokens)

    @property
    def upstream_s(self) -> float:
        """Return how many seconds it took until its answer was certain, or it failed, translation not counted."""
        if self.ended_s is None:
            return 0.0
        took_s = self.ended_s - self.started_s - self.translate_s
        return took_s if took_s > 0.0 else 0.0

    def end_running(self) -> None:
        """Count the call as over at its target. Called again it does nothing."""
        if self.running:
            self.running = False
            if self.target.health is not None:
                self.target.health.running -= 1

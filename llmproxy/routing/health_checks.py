"""Active health checks: request the list of models from targets that are out, which costs nothing.

One that answers gets the next request as its probe, before its recovery time is over. Begin reading at
`HealthChecks.check`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from llmproxy.errors import ProxyError
from llmproxy.target import OpenUpstream, Provider, Target

log = logging.getLogger(__name__)

_LONGEST_S = 10.0
_AT_LIMIT = 429


class HealthChecks:
    """Checks the `targets` that are out, every `interval_s` seconds; never with None."""

    def __init__(self, targets: Callable[[], Iterable[Target]], open_: OpenUpstream, interval_s: float | None) -> None:
        self._targets = targets
        self._open = open_
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to check, if that is configured."""
        if self._interval_s is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(self._interval_s))

    async def close(self) -> None:
        """End checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self.check()

    async def check(self) -> None:
        """Check each provider with a target that is out, once."""
        out: dict[Provider, list[Target]] = {}
        for target in self._targets():
            if target.health is not None and target.health.breaker.state == "open":
                out.setdefault(target.provider, []).append(target)
        answered = await asyncio.gather(*(self._answers(provider) for provider in out))
        for targets, well in zip(out.values(), answered, strict=True):
            for target in targets if well else ():
                assert target.health is not None
                target.health.breaker.retry_now(time.monotonic())

    async def _answers(self, provider: Provider) -> bool:
        """Return whether the provider answers a request for its models."""
        try:
            async with asyncio.timeout(_LONGEST_S):
                if provider.refreshes:
                    await provider.ready()
                request = provider.list_models(None)
                if request is None:
                    return False
                if request.complete is not None:
                    await request.complete()
                answer = await self._open(request)
        except (ProxyError, TimeoutError) as error:
            log.debug("health check of %s failed: %s", provider.name, error)
            return False
        answer.close()
        return answer.status < 500 and answer.status != _AT_LIMIT

"""What clients call a model, and the strategy that chooses among the targets behind it.

Values and one interface; the strategies themselves are in `routing/`. Begin reading at `Route`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.errors import ProxyError
from llmproxy.target import Target
from llmproxy.user_code import log_failure

log = logging.getLogger(__name__)


class Strategy:
    """Decides which targets of a route are called, in which order. One instance serves one route.

    This base tries them as they stand in the configuration. `order` must return at least one target; `report` gets each
    call at its end, whether it failed or its answer was certain, and must not block.
    """

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        """Return the targets to try for `request`, first to last."""
        return targets

    def report(self, target: Target, outcome: Call) -> None:
        """Take note of how a call went: its `status`, `error` and times."""


_AS_CONFIGURED = Strategy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What clients call a model (a name, or a pattern for several), and the targets behind it, first to last.

    `relay` says that the client chose the provider by its path, and gets its dialects as they are. `why` says in a few
    words for log lines how a request comes to it.
    """

    name: str
    targets: tuple[Target, ...]
    relay: bool = False
    strategy: Strategy = _AS_CONFIGURED
    why: str = field(default="", compare=False)

    def order(self, request: ClientRequest) -> Sequence[Target]:
        """Return the targets to try for `request`, first to last; at least one.

        Raises ComponentFailed when the strategy fails or returns anything else.
        """
        try:
            targets = self.strategy.order(self.targets, request)
        except ProxyError:
            raise
        except BaseException as error:
            raise log_failure(self._who("order"), request.id, error) from error
        if targets is not self.targets:
            if not isinstance(targets, (tuple, list)) or not all(isinstance(each, Target) for each in targets):
                raise log_failure(self._who("order"), request.id, "returned no list of targets")
            if not targets:
                raise log_failure(self._who("order"), request.id, "returned no target; it must return at least one")
        return targets

    def report(self, target: Target, outcome: Call) -> None:
        """Tell the strategy how a call to `target` went. It only watches, so its errors are logged."""
        try:
            self.strategy.report(target, outcome)
        except BaseException as error:
            log.error("%s failed with %s", self._who("report"), type(error).__name__, exc_info=error)

    def _who(self, method: str) -> str:
        return f"{method} of strategy {type(self.strategy).__name__!r} of the model {self.name!r}"

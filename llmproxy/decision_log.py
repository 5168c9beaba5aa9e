"""Log the decisions on each exchange, a line each, at level debug: route, targets, retries, and why.

A pipeline that writes them is built only where somebody reads them, so that they cost nothing otherwise. Secrets are
masked. Begin reading at `DecisionLog`.
"""

from __future__ import annotations

import logging

from llmproxy.answer import Answer
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.redaction.secrets import mask_text, secrets_of
from llmproxy.route import Route
from llmproxy.target import Target
from llmproxy.wire.http import RETRYABLE_STATUSES
from llmproxy.wire.text import replace_surrogates

log = logging.getLogger("llmproxy.decisions")

_NAME_LENGTH, _LINE_LENGTH = 100, 1000


def is_enabled() -> bool:
    """Return whether somebody reads the lines."""
    return log.isEnabledFor(logging.DEBUG)


class DecisionLog:
    """Writes the lines. Each begins with the id of its exchange, as traces and printed lines show it."""

    def routed(self, exchange: Exchange, route: Route) -> None:
        """Log which route was chosen, and why."""
        targets = ", ".join(_target(target) for target in route.targets)
        model = "no model" if exchange.model is None else f"model {_quote(exchange.model)}"
        why = f" ({route.why})" if route.why else ""
        self._write(exchange, f"{exchange.method} {exchange.full_path}, {model}: route {route.name}{why}: {targets}")

    def recognised(self, exchange: Exchange) -> None:
        """Log the session that a middleware recognised."""
        if exchange.session is not None:
            thread = "" if (name := exchange.thread_id) is None else f", thread {name}"
            self._write(exchange, f"session {exchange.session}{thread}")

    def called(self, exchange: Exchange, target: Target, dialect: str | None) -> None:
        """Log the target that is called now, and why another one than before; `dialect` is the one that the request is
        translated into."""
        again = ""
        if exchange.calls:
            last = exchange.calls[-1]
            reason = last.status if last.error is None else last.error
            again = f", since {last.target.provider.name} gave {reason} and the client has got nothing yet"
        how = "as it is" if dialect is None else f"translated into {dialect}"
        self._write(exchange, f"call {len(exchange.calls) + 1}: {_target(target, exchange.model)}, {how}{again}")

    def returned(self, exchange: Exchange, status: int) -> None:
        """Log the answer to the last call, and what translation could not carry."""
        call = exchange.calls[-1]
        took = 0.0 if call.ended_s is None else call.ended_s - call.started_s
        dropped = f"; dropped: {', '.join(call.dropped)}" if call.dropped else ""
        retryable = " (another target may be tried)" if status in RETRYABLE_STATUSES else ""
        self._write(exchange, f"{call.target.provider.name} answered {status}{retryable} after {took:.3f} s{dropped}")

    def failed(self, exchange: Exchange, error: ProxyError) -> None:
        """Log why the last call gave no answer."""
        retryable = "another target may be tried" if error.retryable else "no other target is tried"
        name = exchange.calls[-1].target.provider.name
        self._write(exchange, f"{name} failed with {error.code} ({retryable}): {error.message}")

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Log what the client gets."""
        cache = "" if exchange.cache is None else f", cache {exchange.cache}"
        calls = "" if exchange.calls else ", no call was made"
        self._write(exchange, f"the client gets {answer.status}{cache}{calls}")

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        """Log the error that the client gets from us."""
        self._write(exchange, f"the client gets {error.status} {error.code}: {error.message}")

    def _write(self, exchange: Exchange, line: str) -> None:
        line = mask_text(replace_surrogates(line), secrets_of(exchange))
        line = line if len(line) <= _LINE_LENGTH else f"{line[: _LINE_LENGTH - 1]}…"
        log.debug("%s %s", exchange.id[:8], "".join(each if each.isprintable() else " " for each in line))


def _target(target: Target, model: str | None = None) -> str:
    name = target.model or model
    return target.provider.name if name is None else f"{target.provider.name} with {_quote(name)}"


def _quote(text: str) -> str:
    return repr(text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}...")

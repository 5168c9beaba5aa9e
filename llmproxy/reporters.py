"""Make those who tell somebody outside of every exchange: the request log, OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from llmproxy.config.schema import Config
from llmproxy.console.request_log import RequestLog
from llmproxy.middleware.hooks import Reporter
from llmproxy.server.reuse import Reuse
from llmproxy.server.runtime import Startable


class StartedReporter(Reporter, Startable, Protocol):
    """Reports every exchange, is started and closed with its runtime, and says how it does."""

    def describe(self) -> Mapping[str, object]:
        """Return its state for `/health`."""


Reporters = Sequence[tuple[str, StartedReporter]]


def build_reporters(config: Config, reuse: Reuse, version: str) -> Reporters:
    """Return the reporters of a configuration with their names."""
    reporters: list[tuple[str, StartedReporter]] = []
    if config.logging.requests:
        reporters.append(("request log", reuse.take(RequestLog, lambda stores: RequestLog())))
    exported = config.telemetry.exported
    if exported is not None:
        from llmproxy.telemetry.otlp import OtlpReporter  # the SDK takes 0.2 s to import

        settings = exported.settings()
        made = reuse.take((OtlpReporter, settings), lambda stores: OtlpReporter(settings, version))
        reporters.append(("telemetry", made))
    return reporters

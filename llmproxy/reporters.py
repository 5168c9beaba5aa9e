"""Make those who tell somebody outside what happens: the log, the request log, OpenTelemetry."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from llmproxy.config.observability import LoggingConfig
from llmproxy.config.schema import Config
from llmproxy.console.log_output import LogHandler, set_up_logging
from llmproxy.console.request_log import RequestLog
from llmproxy.middleware.hooks import Reporter
from llmproxy.server.reuse import Reuse
from llmproxy.server.runtime import Startable


class StartedReporter(Reporter, Startable, Protocol):
    """Reports every exchange, is started and closed with its runtime, and says how it does."""

    def describe(self) -> Mapping[str, object]:
        """Return its state for `/health`."""


Reporters = Sequence[tuple[str, StartedReporter]]


def build_reporters(config: Config, reuse: Reuse, version: str, worker: int | None = None) -> Reporters:
    """Return the reporters of a configuration with their names. `worker` is the number of a worker."""
    reporters: list[tuple[str, StartedReporter]] = []
    if config.logging.requests:
        reporters.append(("request log", reuse.take(RequestLog, lambda stores: RequestLog())))
    otlp = config.telemetry.enabled_otlp
    if otlp is not None:
        from llmproxy.telemetry.otlp import OtlpReporter  # the SDK takes 0.2 s to import

        settings = otlp.settings()
        made = reuse.take((OtlpReporter, settings), lambda stores: OtlpReporter(settings, version, worker))
        reporters.append(("telemetry", made))
    return reporters


def start_logging(settings: LoggingConfig) -> LogHandler | None:
    """Set up the log messages of the process, and return the handler; None where the process has its own.

    Raises ProxyError and OSError for a file that cannot be written.
    """
    return set_up_logging(
        level=settings.level,
        form=settings.format,
        file=None if settings.file is None else os.path.abspath(os.path.expanduser(settings.file)),
        max_bytes=settings.max_size,
        backups=settings.backups,
    )

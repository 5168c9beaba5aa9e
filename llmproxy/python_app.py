"""The proxy as a Python object, for those who start it from their own program: `llmproxy.create_app`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from llmproxy.app import run
from llmproxy.config.load import Loaded
from llmproxy.reporters import start_logging

log = logging.getLogger(__name__)


class App:
    """The proxy as a Python object: `llmproxy.create_app(...).run(host, port)`."""

    def __init__(self, loaded: Loaded) -> None:
        loaded.checked()
        self.loaded = loaded

    def run(self, host: str | None = None, port: int | None = None, *, debug: bool = False) -> None:
        """Serve until a signal comes. `host` and `port` win over the configuration; `debug` logs every decision, as the
        log level debug does.

        Messages go to standard error, or to `logging.file`; where the program has set up logging for itself, to its own
        handlers. Raises as `serve` does.
        """
        options = {"host": host, "port": port}
        server = {name: value for name, value in options.items() if value is not None}
        loaded = _with(self.loaded, server, {"level": "debug"} if debug else {})
        handler = start_logging(loaded.checked().logging)
        try:
            for warning in self.loaded.warnings:
                log.warning("%s", warning)
            run(loaded, lambda address: print(f"llmproxy serves {address}", flush=True))
        finally:
            if handler is not None:
                logging.getLogger().removeHandler(handler)
                handler.close()


def _with(loaded: Loaded, server: Mapping[str, object], logging_: Mapping[str, object]) -> Loaded:
    """Return `loaded` with these fields of `server` and `logging`, also when it is loaded again."""
    config, again, source = loaded.config, loaded.again, loaded.source
    if config is None:
        return loaded
    changed = {
        "server": config.server.model_copy(update=server),
        "logging": config.logging.model_copy(update=logging_),
    }
    return replace(
        loaded,
        config=config.model_copy(update=changed),
        again=None if again is None else partial(_made, again, server, logging_),
        source=None if source is None else partial(_made, source, server, logging_),
    )


def _made(make: Callable[[], Loaded], server: Mapping[str, object], logging_: Mapping[str, object]) -> Loaded:
    return _with(make(), server, logging_)

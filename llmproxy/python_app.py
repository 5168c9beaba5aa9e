"""The proxy as a Python object, for those who start it from their own program: `llmproxy.create_app`."""

from __future__ import annotations

import logging
from dataclasses import replace

from llmproxy.app import run, start_logging
from llmproxy.config.load import Loaded

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
        config = self.loaded.checked()
        changed = {"host": host, "port": port}
        server = config.server.model_copy(update={name: value for name, value in changed.items() if value is not None})
        logging_ = config.logging.model_copy(update={"level": "debug"} if debug else {})
        config = config.model_copy(update={"server": server, "logging": logging_})
        handler = start_logging(logging_)
        try:
            for warning in self.loaded.warnings:
                log.warning("%s", warning)
            run(replace(self.loaded, config=config), lambda address: print(f"llmproxy serves {address}", flush=True))
        finally:
            if handler is not None:
                logging.getLogger().removeHandler(handler)
                handler.close()

"""llmproxy: one program between LLM clients and LLM providers. From Python: `llmproxy.create_app(...).run()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from llmproxy.python_app import App

__version__ = "0.1.0"


def create_app(config: str | PathLike[str] | Mapping[str, object] | None = None, **overrides: object) -> App:
    """Return the proxy as an object: `create_app("llmproxy.yaml", port=5000).run()`.

    `config` is a file, a mapping in the shape of the file, or None, which looks for a file as `llmproxy serve` does.
    `overrides` are sections (`logging={"level": "debug"}`), keys of `server` (`port=5000`), `enable_telemetry` or
    `prometheus_port`; they win over the file and the environment. Raises ConfigError, a ValueError, with everything
    that is wrong, and TypeError for an unknown override.
    """
    from llmproxy.config.load import load_from_python
    from llmproxy.python_app import App

    return App(load_from_python(config, overrides))

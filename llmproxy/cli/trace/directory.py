"""Where the traces are: the directory that was named, else that of a running server, of a configuration, or `./traces`.

Begin reading at `find`.
"""

from __future__ import annotations

import os
import sys

HINT = (
    "turn tracing on with `llmproxy serve --trace`, or with `- type: trace` under `middlewares:` in the configuration"
)
_DEFAULT = "traces"


class TracesNotFound(Exception):
    """There is nothing to read; the text says why and what to do."""


def find_directory(given: str | None, *, waits: bool = False) -> str:
    """The directory to read, absolute. Raises NoTraces; with `waits` one may be named that does not exist yet."""
    return _known() if given is None else _named(given, waits=waits)


def server_writing_to(directory: str) -> str | None:
    """The address of a running server that writes into `directory`. Asks servers: takes a moment."""
    from llmproxy.discovery import running_servers

    real = os.path.realpath(directory)
    return next((server.url for server in running_servers() if real in map(os.path.realpath, server.traces)), None)


def _named(given: str, *, waits: bool) -> str:
    from llmproxy.console.formatting import sanitize

    directory = os.path.abspath(os.path.expanduser(given))
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise TracesNotFound(
            f"{sanitize(given)} is no directory; `llmproxy trace show {sanitize(given)}` shows a single record"
        )
    if not waits and not os.path.isdir(directory):
        raise TracesNotFound(f"directory not found: {sanitize(given)}; {HINT}")
    return directory


def _known() -> str:
    from llmproxy.console.formatting import sanitize
    from llmproxy.discovery import running_servers

    servers = running_servers()
    written = list(dict.fromkeys(directory for server in servers for directory in server.traces))
    if len(written) > 1:
        others = ", ".join(written[1:])
        print(f"llmproxy: showing {sanitize(written[0])}; servers also write {sanitize(others)}", file=sys.stderr)
    if written:
        return written[0]
    configured = _configured()
    for directory in (configured, os.path.abspath(_DEFAULT)):
        if directory is not None and os.path.isdir(directory):
            return directory
    if configured is not None:
        raise TracesNotFound(
            f"there are no traces yet: {sanitize(configured)}, which the configuration names, does not exist"
        )
    found = (
        f"the server at {servers[0].url} writes no traces"
        if servers
        else f"directory {os.path.join('.', _DEFAULT)} does not exist"
    )
    raise TracesNotFound(f"no traces found: {found}; {HINT}, or pass the directory")


def _configured() -> str | None:
    """The directory of the trace middleware in the configuration that `serve` would take, if there is one."""
    from llmproxy.config.load import load
    from llmproxy.middleware.trace import Trace

    # What keeps a server from starting, such as a missing key, keeps nobody from reading.
    config = load().config or load(no_env=True).config
    for block in config.middlewares if config else ():
        if block.enabled and isinstance(block.config, Trace.Config):
            return os.path.abspath(os.path.expanduser(block.config.directory))
    return None

"""Finds the directory of traces: the given one, else that of a running server, of the configuration, or `./traces`.

Begin reading at `find_directory`.
"""

from __future__ import annotations

import os
import sys

from llmproxy.records.sqlite_schema import DATABASE

HINT = "enable tracing with `llmproxy serve --trace`, or with `- type: trace` under `middlewares:` in the configuration"
_DEFAULT = "traces"


class TracesNotFound(Exception):
    """Raised when there is nothing to read; the text says why and what to do."""


def find_directory(name: str | None, *, waits: bool = False) -> str:
    """Return the directory to read, absolute. Raises TracesNotFound; with `waits` the directory given may not exist
    yet.
    """
    return _search() if name is None else _named(name, waits=waits)


def server_writing_to(directory: str) -> str | None:
    """Return the address of a running server that writes into `directory`. Asks servers: takes a moment."""
    from llmproxy.discovery import running_servers

    real = os.path.realpath(directory)
    return next((server.url for server in running_servers() if real in map(os.path.realpath, server.traces)), None)


def explain_empty(directory: str) -> str:
    """Return why there is no record in `directory`, and what to do. Asks servers: takes a moment."""
    from llmproxy.console.formatting import sanitize

    url = server_writing_to(directory)
    if url is not None:
        return f"tracing is on, but {url} has recorded nothing yet in {sanitize(directory)}; send it a request"
    return f"no records in {sanitize(directory)}; {HINT}"


def _named(name: str, *, waits: bool) -> str:
    from llmproxy.console.formatting import sanitize

    directory = os.path.abspath(os.path.expanduser(name))
    if os.path.basename(directory) == DATABASE and os.path.isfile(directory):
        directory = os.path.dirname(directory)
    if os.path.exists(directory) and not os.path.isdir(directory):
        file = sanitize(name)
        raise TracesNotFound(f"{file} is a file, not a directory; `llmproxy trace show {file}` shows a single record")
    if not waits and not os.path.isdir(directory):
        raise TracesNotFound(f"directory not found: {sanitize(name)}; {HINT}")
    return directory


def _search() -> str:
    from llmproxy.console.formatting import sanitize
    from llmproxy.discovery import candidates

    servers = candidates()
    written = list(dict.fromkeys(directory for server in servers for directory in server.traces))
    if len(written) > 1:
        others = ", ".join(written[1:])
        print(f"llmproxy: showing {sanitize(written[0])}; other servers write to {sanitize(others)}", file=sys.stderr)
    if written:
        return written[0]
    configured = _configured()
    for directory in (configured, os.path.abspath(_DEFAULT)):
        if directory is not None and os.path.isdir(directory):
            return directory
    if configured is not None:
        raise TracesNotFound(f"no traces yet: the configured directory {sanitize(configured)} does not exist")
    reason = (
        f"the server at {servers[0].url} writes no traces"
        if servers
        else f"directory {os.path.join('.', _DEFAULT)} does not exist"
    )
    raise TracesNotFound(f"no traces found: {reason}; {HINT}, or pass the directory")


def _configured() -> str | None:
    """Return the directory of the trace middleware in the configuration that `serve` would load, if there is one."""
    from llmproxy.config.load import load
    from llmproxy.middleware.trace import Trace

    # Traces can be read even when the server cannot start, such as for a missing key.
    config = load().config or load(no_env=True).config
    for block in config.middlewares if config else ():
        if block.enabled and isinstance(block.config, Trace.Config):
            return os.path.abspath(os.path.expanduser(block.config.directory))
    return None

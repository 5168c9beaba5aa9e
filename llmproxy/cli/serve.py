"""`serve`: loads the configuration, prints its errors or what is served, and runs until a signal."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import fail, print_error, print_problems, print_text

if TYPE_CHECKING:
    from llmproxy.config.load import Loaded
    from llmproxy.config.overrides import Override


class LogLevel(StrEnum):
    """Levels of log messages."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
    critical = "critical"


# Windows has its own numbers.
_IN_USE = (errno.EADDRINUSE, 10048)
_FORBIDDEN = (errno.EACCES, errno.EPERM, 10013)
_NOT_OURS = (errno.EADDRNOTAVAIL, 10049)

# The field of the configuration that each flag sets.
_FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--workers": "server.workers",
    "--log-level": "logging.level",
    "--base-url": "llm.base_url",
    "--type": "llm.type",
    "--api-key": "llm.api_key",
    "--print": "middlewares.printer",
    "--trace": "middlewares.trace",
}


def serve_command(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Configuration; default: ./llmproxy.yaml, ./config.yaml."),
    ] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", metavar="FILE", help="The same as FILE.")] = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; default 3000; 0 takes a free one."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Processes that serve requests; default 1; auto: one per processor."),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            metavar="LEVEL", case_sensitive=False, help="debug, info (the default), warning, error, critical."
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="One upstream for all requests; needs no configuration.")
    ] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="Type of that upstream: openai, ollama ...")] = None,
    api_key: Annotated[str | None, typer.Option(metavar="KEY", help="API key of that upstream.")] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Record each exchange in a file; default ./traces; see `llmproxy trace tail`."
        ),
    ] = None,
    print_: Annotated[bool, typer.Option("--print", help="Print a line for each exchange.")] = False,
) -> None:
    """Run the proxy."""
    from llmproxy.cli.deferred_certificates import import_aiohttp

    if file is not None and config is not None:
        fail(f"one configuration file is enough: {file} or --config {config}", code=2)
    gc.disable()  # until all is loaded: 3 % of the time to start
    import_aiohttp()
    from llmproxy.config.load import load

    level = log_level.value if log_level else None
    values = [host, port, workers, level, base_url, type, api_key, {} if print_ else None, _tracing(trace)]
    loaded = load(file or config, overrides=_overrides(values))
    print_problems(loaded.problems)
    if loaded.config is None:
        mistakes = {each.mark.source for each in loaded.problems if each.severity == "error"}
        raise typer.Exit(2 if mistakes <= _FLAGS.keys() else 1)
    raise typer.Exit(_run(loaded))


def _tracing(directory: str | None) -> dict[str, str] | None:
    """Return the settings of the trace middleware for `--trace`; "" is the flag alone."""
    if directory is None:
        return None
    return {"directory": os.path.abspath(os.path.expanduser(directory))} if directory else {}


def _overrides(values: list[str | int | dict[str, str] | None]) -> list[Override]:
    from llmproxy.config.overrides import Override

    return [
        Override(path=path, value=value, source=flag)
        for (flag, path), value in zip(_FLAGS.items(), values, strict=True)
        if value is not None
    ]


def _run(loaded: Loaded) -> int:
    from llmproxy.app import run
    from llmproxy.cli.banner import banner
    from llmproxy.config.problems import ConfigError
    from llmproxy.errors import ProxyError
    from llmproxy.registry import RegistryError
    from llmproxy.reload import export_dotenv
    from llmproxy.reporters import start_logging

    config = loaded.checked()
    export_dotenv({}, loaded.dotenv)
    try:
        start_logging(config.logging)
        return run(loaded, lambda address: _announce(banner(loaded, address, _columns())), whole_process=True)
    except (OSError, ProxyError, ConfigError, RegistryError) as error:
        print_error(f"llmproxy: {describe_start_error(error, config.server.host, config.server.port)}")
        if isinstance(error, OSError) and error.errno in _IN_USE:
            _print_owner(config.server.port)
        return 1
    except KeyboardInterrupt:
        return 0


def _print_owner(port: int) -> None:
    """Say so when the port in use is that of a running server of this user."""
    from llmproxy.discovery import running_servers

    owner = next((each for each in running_servers() if each.port == port), None)
    if owner is not None:
        print_error(f"llmproxy: it belongs to your running llmproxy, process {owner.pid} ({owner.config or 'no file'})")


def _columns() -> int | None:
    """Return the width of standard output; None where it is no terminal."""
    from llmproxy.console.terminal import Console

    return Console(sys.stdout).width()


def _announce(text: str) -> None:
    """Print a text; the proxy serves even when standard output is closed."""
    try:
        print_text(text)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the rest of the process)


def describe_start_error(error: Exception, host: str, port: int) -> str:
    """Explain in one line why listening failed."""
    if isinstance(error, socket.gaierror):
        return f"unknown host {host!r}; use 127.0.0.1 for this machine, 0.0.0.0 for all its addresses"
    code = error.errno if isinstance(error, OSError) else None
    if code in _IN_USE:
        return f"port {port} of {host} is in use; choose another one with --port"
    if code in _FORBIDDEN:
        hint = "ports below 1024 need special rights, choose another one" if port < 1024 else "choose another one"
        return f"no permission to listen on port {port} of {host}; {hint} with --port"
    if code in _NOT_OURS:
        return f"{host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its addresses"
    return str(error)

"""A registry of this user's running servers, one small file each, so that commands find a server by themselves.

A server writes its file when it listens and removes it when it stops. A killed server leaves its file behind, so
`running_servers` checks every file against the process and its `/health` page. A failure here never stops a server: it
then runs unregistered. All functions touch files and sockets, so none of them belongs on an event loop. Begin reading
at `running_servers`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from platformdirs import user_state_dir

from llmproxy.private_files import open_regular

log = logging.getLogger(__name__)

_HEALTH_TIMEOUT_S = 3.0
_HEALTH_BYTES = 1024 * 1024
_MAX_PARALLEL = 16
_FILE_BYTES = 1024 * 1024


class RunningServer(msgspec.Struct, kw_only=True, frozen=True):
    """One running server. `started` is UTC (RFC 3339), `config` the path of its file, None without one.

    `url` is its base address for clients on this machine, `host` and `port` its listening address; `traces` are the
    directories (absolute) of its trace middlewares. `machine` is the host's name: several machines may share a home
    directory, each with its own processes.
    """

    pid: int
    url: str
    version: str
    started: str
    host: str
    port: int
    config: str | None = None
    traces: list[str] = []
    machine: str = msgspec.field(default_factory=platform.node)


class _Health(msgspec.Struct):
    """The part of a health page that identifies a server."""

    pid: int


def register(server: RunningServer) -> Path | None:
    """Write the file of a server that begins to serve, and return its path for `unregister`; None when it cannot be
    written.

    Files of servers of this machine that no longer run are removed.
    """
    try:
        directory = _directory()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        path = directory / f"{server.pid}-{server.port}.json"
        _write(path, msgspec.json.format(msgspec.json.encode(server)) + b"\n")
        for other, content in _files():
            if content.machine == platform.node() and _gone(content.pid):
                _remove(other)
    except OSError as error:
        log.debug("commands cannot find this server without --url: %s", error)
        return None
    return path


def unregister(path: Path | None) -> None:
    """Remove the file that `register` wrote."""
    if path is not None:
        _remove(path)


def running_servers() -> list[RunningServer]:
    """Return the running servers of this user, newest first, and remove the files of others.

    Asks every server for its health page: takes up to three seconds when one hangs.
    """
    try:
        files = list(_files())
    except OSError:
        return []
    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        verdicts = list(pool.map(_runs, (server for _, server in files)))
    here = platform.node()
    for (path, server), runs in zip(files, verdicts, strict=True):
        # Servers of other machines cannot be checked from here; the name of a laptop changes with its network.
        if not runs and server.machine == here:
            _remove(path)
    alive = [server for (_, server), runs in zip(files, verdicts, strict=True) if runs]
    return sorted(alive, key=lambda server: server.started, reverse=True)


def runs_here(server: RunningServer) -> bool:
    """Return whether the configuration of `server` is a file of the current directory."""
    return server.config is not None and os.path.dirname(os.path.realpath(server.config)) == os.path.realpath(".")


def candidates() -> list[RunningServer]:
    """Return the running servers in the order in which commands choose: those of the current directory first."""
    return sorted(running_servers(), key=runs_here, reverse=True)


def _directory() -> Path:
    """Return the directory of the files. Raises OSError when the user has no home directory."""
    try:
        path = Path(user_state_dir("llmproxy", appauthor=False), "servers")
    except ValueError as error:  # Windows has no such folder
        raise FileNotFoundError(str(error)) from error
    if not path.is_absolute():
        raise FileNotFoundError("the user has no home directory")
    return path


def _files() -> Iterator[tuple[Path, RunningServer]]:
    """Yield the readable files with their content; other files are ignored."""
    for path in _directory().glob("*.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError), open(open_regular(str(path)), "rb") as file:
            yield path, msgspec.json.decode(file.read(_FILE_BYTES), type=RunningServer)


def _write(path: Path, text: bytes) -> None:
    """Write `path` as a whole or not at all, readable for its owner only."""
    beside = path.with_suffix(".new")
    with open(open_regular(str(beside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as out:
        out.write(text)
    beside.replace(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.debug("cannot remove %s: %s", path, error)


def _runs(server: RunningServer) -> bool:
    """Return whether the process of `server` runs and its address answers as this server. A server that hangs runs."""
    elsewhere = server.machine != platform.node()
    if not elsewhere and _gone(server.pid):
        return False
    try:
        return _health_pid(server.url) == server.pid
    except (ConnectionRefusedError, ValueError):
        return False
    except OSError:
        return not elsewhere
    except HTTPException:
        return False


def _gone(pid: int) -> bool:
    """Return whether the process does not exist. Always False on Windows, where `os.kill` would end the process."""
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # a process of another user
        return False
    return pid <= 0


def _health_pid(url: str) -> int | None:
    """Return the process id on the health page at `url`; None when the page is not one of llmproxy.

    Raises OSError and HTTPException without an answer, ValueError for an invalid `url`.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"no host in {url!r}")
    with contextlib.closing(HTTPConnection(parts.hostname, parts.port, timeout=_HEALTH_TIMEOUT_S)) as connection:
        connection.request("GET", "/health", headers={"Connection": "close"})
        body = connection.getresponse().read(_HEALTH_BYTES)
    try:
        return msgspec.json.decode(body, type=_Health).pid
    except (ValueError, RecursionError):
        return None

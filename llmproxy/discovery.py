"""The servers that this user runs: a small file for each, so that commands find one without being told its address.

A server writes its file once it listens and removes it when it stops. One that was killed leaves its file behind, so
`running` checks every file against the process and its `/health` page. Nothing here may keep a server from serving:
without a place to write to it runs unannounced. Files and sockets are touched, so none of it belongs on an event loop.
Begin reading at `running`.
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

log = logging.getLogger(__name__)

_HEALTH_TIMEOUT_S = 3.0
_HEALTH_BYTES = 1024 * 1024
_AT_ONCE = 16


class RunningServer(msgspec.Struct, kw_only=True, frozen=True):
    """One running server. `started` is UTC (RFC 3339), `config` the path of its file, None where it has none.

    `url` is its base address as a client on this machine calls it, `host` and `port` what it listens on; `traces` are
    the directories (absolute) that its trace middlewares write to. `machine` is the host's name: a home directory may
    be shared by several, each with processes of its own.
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
    """The part of a health page that tells one server from another."""

    pid: int


def register(server: RunningServer) -> Path | None:
    """Write the file of a server that begins to serve, for `withdraw`; None when that is not possible.

    Files of servers of this machine that ended without removing theirs are cleared away.
    """
    try:
        directory = _directory()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        path = directory / f"{server.pid}-{server.port}.json"
        _write(path, msgspec.json.format(msgspec.json.encode(server)) + b"\n")
        for other, known in _files():
            if known.machine == platform.node() and _gone(known.pid):
                _remove(other)
    except OSError as error:
        log.debug("commands will not find this server by themselves: %s", error)
        return None
    return path


def unregister(path: Path | None) -> None:
    """Remove what `announce` wrote."""
    if path is not None:
        _remove(path)


def running_servers() -> list[RunningServer]:
    """The servers of this user that run now, newest first. Files of those that do not are removed.

    Asks every one for its health: takes up to three seconds when one hangs.
    """
    try:
        files = list(_files())
    except OSError:
        return []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        verdicts = list(pool.map(_runs, (server for _, server in files)))
    here = platform.node()
    for (path, server), runs in zip(files, verdicts, strict=True):
        # What another machine's servers do cannot be seen from here; a laptop's own name changes with its network.
        if not runs and server.machine == here:
            _remove(path)
    alive = [server for (_, server), runs in zip(files, verdicts, strict=True) if runs]
    return sorted(alive, key=lambda server: server.started, reverse=True)


def _directory() -> Path:
    """Where the files are. Raises OSError when the user has no home."""
    try:
        path = Path(user_state_dir("llmproxy", appauthor=False), "servers")
    except ValueError as error:  # Windows knows no folder
        raise FileNotFoundError(str(error)) from error
    if not path.is_absolute():
        raise FileNotFoundError("there is no home directory")
    return path


def _files() -> Iterator[tuple[Path, RunningServer]]:
    """The files that can be read, with what they say; anything else that lies there is passed over."""
    for path in _directory().glob("*.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            yield path, msgspec.json.decode(path.read_bytes(), type=RunningServer)


def _write(path: Path, text: bytes) -> None:
    """Write `path` whole or not at all, for its owner alone."""
    beside = path.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(text)
    beside.replace(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s could not be removed: %s", path, error)


def _runs(server: RunningServer) -> bool:
    """Whether `server` is there: its process, and behind its address no other. One that hangs is there."""
    elsewhere = server.machine != platform.node()
    if not elsewhere and _gone(server.pid):
        return False
    try:
        return _asked_pid(server.url) == server.pid
    except (ConnectionRefusedError, ValueError):
        return False
    except OSError:
        return not elsewhere
    except HTTPException:
        return False


def _gone(pid: int) -> bool:
    """Whether there is no such process. Windows cannot say it that way (`os.kill` ends processes there): False."""
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # somebody else's process
        return False
    return pid <= 0


def _asked_pid(url: str) -> int | None:
    """What the health page at `url` gives as its process; None when it is none of ours.

    Raises OSError and HTTPException when nobody answers, ValueError when `url` is none.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    with contextlib.closing(HTTPConnection(parts.hostname, parts.port, timeout=_HEALTH_TIMEOUT_S)) as connection:
        connection.request("GET", "/health", headers={"Connection": "close"})
        body = connection.getresponse().read(_HEALTH_BYTES)
    try:
        return msgspec.json.decode(body, type=_Health).pid
    except (ValueError, RecursionError):
        return None

"""Checks of this machine: proxy settings, trust store, clock, ports, places on the disk, open files, stores.

Nothing is created that was not there. Begin reading at `check_machine`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import getproxies

from llmproxy.cli.doctor.diagnosis import Diagnosis
from llmproxy.config.schema import Config
from llmproxy.console.formatting import format_duration, sanitize
from llmproxy.discovery import RunningServer
from llmproxy.middleware.audit import Audit
from llmproxy.middleware.trace import Trace
from llmproxy.redaction.secrets import mask_text
from llmproxy.registry import find_component
from llmproxy.server.process import file_limit, files_needed, raise_file_limit
from llmproxy.settings import format_size
from llmproxy.stores.base import Store
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryStore
from llmproxy.system_errors import explain_fault
from llmproxy.upstream.egress import trust, trust_store

_LEAST_FREE_BYTES = 1024**3
# Tokens (JWT) have a leeway of about a minute; AWS refuses signatures that are five minutes off.
_DRIFT_S, _REFUSED_DRIFT_S = 30.0, 300.0


def check_machine(config: Config, running: Sequence[RunningServer]) -> Iterator[Diagnosis]:
    """Yield what is found without the network. `running` are the user's servers, which hold their ports rightly."""
    yield _proxies()
    yield _certificates()
    yield from _ports(config, running)
    for what, path in _places(config):
        yield _place(what, path)
    yield _open_files(config)


def _proxies() -> Diagnosis:
    """Show the outgoing proxies of the environment, without their passwords."""
    proxies = {name: value for name, value in getproxies().items() if name in ("http", "https", "all", "no") and value}
    listed = ", ".join(f"{name.upper()}_PROXY={_without_login(value)}" for name, value in proxies.items())
    return Diagnosis(check="proxy", detail=listed or "no outgoing proxy is set")


def _without_login(value: str) -> str:
    scheme, separator, rest = value.rpartition("://")
    return sanitize(f"{scheme}{separator}{rest.rpartition('@')[2]}")


def _certificates() -> Diagnosis:
    try:
        context = trust(None)
    except OSError as error:
        return Diagnosis(
            check="trust store",
            status="error",
            detail=f"{trust_store(None)} cannot be read: {explain_fault(error)}",
            fix="let SSL_CERT_FILE name a readable file with trusted certificates (PEM)",
        )
    count = context.cert_store_stats()["x509_ca"]
    return Diagnosis(check="trust store", detail=trust_store(None) + (f", {count} authorities" if count else ""))


def check_clock(drifts_s: Sequence[float]) -> Diagnosis:
    """Compare the clock with the providers' by how far it is ahead of each: the nearest counts, as one may be wrong."""
    if not drifts_s:
        return Diagnosis(check="clock", status="skipped", detail="no provider answered with its time")
    drift_s = min(drifts_s, key=abs)
    if abs(drift_s) <= _DRIFT_S:
        return Diagnosis(check="clock", detail="agrees with the providers'")
    side = "ahead of" if drift_s > 0 else "behind"
    return Diagnosis(
        check="clock",
        status="error" if abs(drift_s) > _REFUSED_DRIFT_S else "warning",
        detail=f"{abs(drift_s):.0f} s {side} the providers': signatures and tokens will be refused",
        fix="synchronise the clock (NTP)",
    )


def _ports(config: Config, running: Sequence[RunningServer]) -> Iterator[Diagnosis]:
    server, telemetry = config.server, config.telemetry
    ours = next((each for each in running if each.port == server.port), None)
    yield _port("port", server.host, server.port, ours, "choose another one with server.port or --port")
    if telemetry.metrics_port:
        host = telemetry.prometheus_host or server.host
        fix = "choose another one with telemetry.prometheus_port"
        yield _port("metrics port", host, telemetry.metrics_port, ours, fix)


def _port(check: str, host: str, port: int, ours: RunningServer | None, fix: str) -> Diagnosis:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if ours is not None:
            return Diagnosis(check=check, detail=f"{host}:{port} belongs to your running llmproxy, process {ours.pid}")
        return Diagnosis(check=check, status="error", detail=f"{host}:{port}: {explain_fault(error)}", fix=fix)
    return Diagnosis(check=check, detail=f"{host}:{port} is free" if port else "any free one")


def _places(config: Config) -> Iterator[tuple[str, Path]]:
    """Yield what is written to the disk: a name for it, and the file or directory."""
    for entry in config.middlewares:
        settings = entry.config if entry.enabled else None
        if isinstance(settings, Trace.Config):
            yield "traces", Path(settings.directory).expanduser()
        elif isinstance(settings, Audit.Config):
            yield "audit", Path(settings.path).expanduser()
    if config.logging.file:
        yield "log", Path(config.logging.file).expanduser()
    for store in config.stores.values():
        if isinstance(store, DiskStore.Config):
            yield "store", DiskStore(store).path


def _place(what: str, path: Path) -> Diagnosis:
    """Find out whether a file can be written below the nearest folder that exists, by writing one without a name."""
    path = path.absolute()
    folder = next(each for each in (path, *path.parents) if each.is_dir())
    fix = "choose another place, or let this user write there"
    try:
        if path.is_file() and not os.access(path, os.W_OK):
            raise PermissionError(0, "permission denied")
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"llmproxy")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        detail = f"{what}: cannot write to {path}: {explain_fault(error)}"
        return Diagnosis(check="disk", status="error", detail=detail, fix=fix)
    low = free < _LEAST_FREE_BYTES
    return Diagnosis(
        check="disk",
        status="warning" if low else "ok",
        detail=f"{what}: {path} can be written, {format_size(free)} free",
        fix="make room, or limit them with max_total_size and max_age" if low else "",
    )


def _open_files(config: Config) -> Diagnosis:
    raise_file_limit()  # as `serve` does
    limit, needed = file_limit(), files_needed(config.server.max_connections)
    if limit is None or limit >= needed:
        return Diagnosis(check="open files", detail="no limit" if limit is None else f"{limit} at once")
    return Diagnosis(
        check="open files",
        status="warning",
        detail=f"only {limit} at once, and a request needs two; {needed} are enough",
        fix="raise the limit with `ulimit -Hn`, or LimitNOFILE= of systemd",
    )


async def check_stores(config: Config, timeout_s: float) -> list[Diagnosis]:
    """Read a value from each store that is not on this machine."""
    elsewhere: list[Store] = []
    for settings in config.stores.values():
        component: type[Store] = find_component("stores", settings.type, config.directory)
        if not issubclass(component, MemoryStore | DiskStore):
            elsewhere.append(component(settings))
    return await asyncio.gather(*(_answering(store, timeout_s) for store in elsewhere))


async def _answering(store: Store, timeout_s: float) -> Diagnosis:
    blobs = store.blobs(1)
    began_s = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            await store.start()
            await blobs.start()
            await blobs.get("doctor")
    except TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
    except (StoreFault, OSError) as error:
        reason = sanitize(mask_text(str(error), ()), 300)
    else:
        took = format_duration((time.perf_counter() - began_s) * 1000)
        return Diagnosis(check="store", detail=f"{store} answers after {took}")
    finally:
        await asyncio.gather(blobs.close(), store.close(), return_exceptions=True)
    return Diagnosis(
        check="store",
        status="error",
        detail=f"{store} does not answer: {reason}",
        fix="start it, or correct its address and password; meanwhile requests are served without it",
    )

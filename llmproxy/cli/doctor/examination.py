"""All checks of one configuration; what waits for the network does so side by side. Begin reading at `examine`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from llmproxy.cli.doctor.diagnosis import Diagnosis
from llmproxy.cli.doctor.machine import check_clock, check_machine, check_stores
from llmproxy.cli.doctor.providers import check_provider
from llmproxy.config.load import Loaded
from llmproxy.discovery import running_servers
from llmproxy.errors import ProxyError
from llmproxy.registry import RegistryError
from llmproxy.reload import export_dotenv
from llmproxy.routes import build_routing
from llmproxy.upstream.pool import Upstream

T = TypeVar("T")


def examine(loaded: Loaded, timeout_s: float) -> list[Diagnosis]:
    """Return what was found: of the configuration alone when that cannot be used. No wait for the network takes longer
    than `timeout_s`.
    """
    findings = _configuration(loaded)
    return findings if loaded.config is None else [*findings, *asyncio.run(_all(loaded, timeout_s))]


def _configuration(loaded: Loaded) -> list[Diagnosis]:
    findings = [
        Diagnosis(
            check="configuration",
            status=each.severity,
            detail=": ".join(part for part in (str(each.mark), each.key, each.message) if part),
        )
        for each in loaded.problems
    ]
    if loaded.config is None:
        return [
            *findings,
            Diagnosis(check="all else", status="skipped", detail="not checked until the configuration is valid"),
        ]
    source = loaded.path or "no file"
    detail = f"{source} is valid" if loaded.path else f"no file ({loaded.implicit})"
    return [*findings, Diagnosis(check="configuration", detail=detail)]


async def _all(loaded: Loaded, timeout_s: float) -> list[Diagnosis]:
    """Check everything but the configuration itself; all providers at the same time."""
    config = loaded.checked()
    asyncio.get_running_loop().set_default_executor(DaemonThreads())
    export_dotenv({}, loaded.dotenv)
    try:
        _, providers = build_routing(loaded)
    except (ProxyError, RegistryError) as error:
        return [Diagnosis(check="configuration", status="error", detail=str(error))]
    upstream = Upstream()
    try:
        # First, since loading a client library would count as latency of providers.
        running, stores = await asyncio.gather(asyncio.to_thread(running_servers), check_stores(config, timeout_s))
        sources = [loaded.key_sources.get(each.name, "none") for each in providers]
        checks = (check_provider(*each, upstream.open, timeout_s) for each in zip(providers, sources, strict=True))
        checked = await asyncio.gather(*checks)
    finally:
        await asyncio.gather(upstream.close(), *(each.close() for each in providers), return_exceptions=True)
    findings = [*check_machine(config, running), *stores]
    findings.append(check_clock([each.drift_s for each in checked if each.drift_s is not None]))
    reached = [each.reached for each in checked if each.reached is not None]
    if reached and not any(reached):
        findings.append(
            Diagnosis(
                check="network",
                status="error",
                detail="no provider can be reached: this machine seems to be offline",
                fix="check the network; behind a company's proxy set HTTPS_PROXY",
            )
        )
    return [*findings, *(finding for each in checked for finding in each.findings)]


class DaemonThreads(ThreadPoolExecutor):
    """Runs each piece of work in a thread of its own, for which nobody waits at the end: a resolver without a network
    may take half a minute."""

    def submit(self, work: Callable[..., T], /, *args: object, **options: object) -> Future[T]:
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()  # it cannot be cancelled

        def run() -> None:
            try:
                result = work(*args, **options)
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        threading.Thread(target=run, name="llmproxy doctor", daemon=True).start()
        return outcome

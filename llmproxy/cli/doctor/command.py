"""`doctor`: checks the configuration, this machine and every provider, and says how to fix what is wrong.

Nothing that costs money is called. Begin reading at `doctor`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from llmproxy.cli.output import QuietExit, print_line, stdout_console

if TYPE_CHECKING:
    from llmproxy.cli.doctor.diagnosis import Diagnosis
    from llmproxy.config.load import Loaded

T = TypeVar("T")


def doctor(
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration; default as for serve.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="SECONDS", help="How long each check may wait for the network.")
    ] = 5.0,
) -> None:
    """Check configuration, keys, network, clock, port, disk, stores and providers, and say how to fix what is wrong.

    It makes no call that costs money. Exit code 1 when anything is an error.
    """
    from llmproxy.cli.deferred_certificates import import_aiohttp

    import_aiohttp()
    from llmproxy.cli.doctor.diagnosis import worst
    from llmproxy.cli.doctor.view import as_object, render_diagnoses
    from llmproxy.cli.trace.json_output import print_json
    from llmproxy.config.load import load

    with QuietExit():
        loaded = load(config)
        findings = _configuration(loaded)
        if loaded.config is not None:
            findings += asyncio.run(_all(loaded, timeout))
        if as_json:
            print_json(as_object(findings, loaded.path))
        else:
            console = stdout_console()
            for line in render_diagnoses(findings, console.width):
                print_line(console, line)
        if worst(findings) == "error":
            raise typer.Exit(1)


def _configuration(loaded: Loaded) -> list[Diagnosis]:
    from llmproxy.cli.doctor.diagnosis import Diagnosis

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
            Diagnosis(
                check="all else", status="skipped", detail="not checked until the configuration is valid", fix=""
            ),
        ]
    source = loaded.path or "no file"
    detail = f"{source} is valid" if loaded.path else f"no file ({loaded.implicit})"
    return [*findings, Diagnosis(check="configuration", detail=detail)]


async def _all(loaded: Loaded, timeout_s: float) -> list[Diagnosis]:
    """Check everything but the configuration itself; all providers at the same time."""
    from llmproxy.cli.doctor.diagnosis import Diagnosis
    from llmproxy.cli.doctor.machine import check_clock, check_machine, check_stores
    from llmproxy.cli.doctor.providers import check_provider
    from llmproxy.discovery import running_servers
    from llmproxy.errors import ProxyError
    from llmproxy.registry import RegistryError
    from llmproxy.reload import export_dotenv
    from llmproxy.routes import build_routing
    from llmproxy.upstream.pool import Upstream

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

"""The parent of several workers: it listens, hands them the connections, keeps them alive, and speaks for all of them.

For the operating system, the service manager and the commands it is the server: it has the process id, the
registration, the port of the metrics. It serves no request itself. Begin reading at `supervise`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from llmproxy.config.load import Loaded
from llmproxy.config.schema import ServerConfig
from llmproxy.errors import ProxyError
from llmproxy.metrics.process_samples import process_samples
from llmproxy.metrics.sample import Sample
from llmproxy.reload import check_reloaded, export_dotenv, load_again, watch_files
from llmproxy.server.peers import ReloadReport, ServerHealth
from llmproxy.server.process import check_file_limit
from llmproxy.server.registration import Registration
from llmproxy.server.reloading import Reloaded, Reloader
from llmproxy.server.service_manager import ServiceManager
from llmproxy.server.shutdown import GRACE_S, Shutdown, stop_signals
from llmproxy.serving import own_metrics_port, registration_of
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.store_server import StoreServer
from llmproxy.system_errors import explain_fault
from llmproxy.workers.gathering import Answering, Gathering
from llmproxy.workers.handover import Acceptor, listen
from llmproxy.workers.operations import RENDER_METRICS, Answers
from llmproxy.workers.order import Order
from llmproxy.workers.process import WorkerProcess
from llmproxy.workers.worker_place import WorkerPlace

log = logging.getLogger(__name__)

_METRICS_S = 4.0  # two workers are asked within the 10 s that Prometheus waits; one asks the others for up to 2 s
_MARGIN_S = 1.0
_STARTS_AGAIN = 3


class Supervisor:
    """Keeps `count` workers, and their memory stores. Created in the loop."""

    def __init__(self, loaded: Loaded, count: int) -> None:
        self.loaded = loaded
        self.reloader = Reloader()
        self.started_s = time.monotonic()
        self.failure: asyncio.Future[ProxyError] = asyncio.get_running_loop().create_future()
        self.all_ready = asyncio.Event()
        self.acceptor: Acceptor | None = None
        self._stores = StoreServer()
        self._places = [WorkerPlace(number) for number in range(1, count + 1)]
        self._gathering = Gathering(self._answering, self._samples)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._not_reloaded: list[str] = []
        self.read = loaded.files

    def start(self, acceptor: Acceptor) -> None:
        """Start the workers; connections come from `acceptor`."""
        self.acceptor = acceptor
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep(place), name=f"keep worker {place.number}") for place in self._places
        ]

    async def wait_ready(self, stop: asyncio.Event) -> None:
        """Wait until all workers serve, one of them cannot, or `stop` is set."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(each.wait()) for each in (self.all_ready, stop)]
        waiting: list[asyncio.Future[Any]] = [*tasks, self.failure]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    async def stop(self, timeout_s: float) -> bool:
        """Let the workers finish their exchanges and end; end them after so long. Return whether all ended well."""
        self._stopping = True
        processes = [each for each in self._processes() if not each.ended.done()]
        for each in processes:
            each.stop()
        if processes:
            await asyncio.wait([each.ended for each in processes], timeout=timeout_s)
        late = [each for each in processes if not each.ended.done()]
        for each in late:
            log.error("worker %d does not end, and is killed", each.answering.number)
            each.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in processes:
            await each.close()
        return not late and all(each.ended.done() and each.ended.result() == 0 for each in processes)

    def cut(self) -> None:
        """Let the workers end their exchanges at once."""
        for each in self._processes():
            each.cut()

    def left(self) -> list[str]:
        """Return the workers that still run, in words. Called in another thread."""
        return [f"worker {each.answering.number} (process {each.pid})" for each in self._processes()]

    def traces(self) -> list[str]:
        """Return the directories of traces."""
        return list(dict.fromkeys(path for each in self._serving() for path in each.traces))

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of all workers, for an Accept header, and their content type."""
        for each in sorted(self._serving(), key=lambda worker: worker.answering.silent):
            with contextlib.suppress(StoreFault, TimeoutError):
                async with asyncio.timeout(_METRICS_S):
                    return await each.link.call(RENDER_METRICS, accept)
        return b"# no worker answers\n", "text/plain; charset=utf-8"

    async def apply(self) -> Reloaded:
        """Load the configuration again here, then in one worker after the other. Raises as `Reloader.apply` does.

        A file that is bad here changes nothing anywhere. Nor does one that the first worker cannot use.
        """
        again = await load_again(self.loaded)
        self.read = again.files
        loaded, ignored = check_reloaded(self.loaded, again)
        reports: list[ReloadReport] = []
        not_reloaded: list[str] = []
        asked: set[WorkerProcess] = set()
        while (each := next((one for one in self._serving() if one not in asked), None)) is not None:
            asked.add(each)
            try:
                report = await each.reload("its parent")
                if not reports:
                    report.check()
            except StoreFault as fault:
                if not each.link.closed:  # one that has ended is followed by one with the new file
                    not_reloaded.append(f"worker {each.answering.number} has not reloaded: {fault}")
                continue
            if report.error is not None:
                not_reloaded.append(f"worker {each.answering.number} has not reloaded: {report.error[0]}")
            each.traces = report.traces or each.traces
            reports.append(report)
        for fault_text in not_reloaded:
            log.error("%s", fault_text)
        if not reports:
            raise ProxyError("No worker serves now", status=503, code="stopping")
        before, self.loaded, self._not_reloaded = self.loaded, loaded, not_reloaded
        export_dotenv(before.dotenv, loaded.dotenv)
        logging.getLogger("llmproxy").setLevel(loaded.checked().logging.level.upper())
        return Reloaded(
            changes=reports[0].changes,
            ignored=ignored,
            warnings=[str(each) for each in loaded.warnings if each not in before.warnings],
            replaced=_Nothing(),
            release=lambda: None,
        )

    @contextlib.asynccontextmanager
    async def watched(self, silence_s: float | None) -> AsyncIterator[None]:
        """End workers that do not answer for so many seconds, within the block; another one takes the place of each."""

        async def watch(silence_s: float) -> None:
            while True:
                await asyncio.gather(*(each.kill_if_silent(silence_s) for each in self._serving()))
                await asyncio.sleep(silence_s / 2)

        watching = [asyncio.get_running_loop().create_task(watch(silence_s))] if silence_s is not None else []
        try:
            yield
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def _processes(self) -> list[WorkerProcess]:
        return [each.process for each in self._places if each.process is not None]

    def _serving(self) -> list[WorkerProcess]:
        return [process for each in self._places if (process := each.serving) is not None]

    def _answering(self) -> Sequence[Answering]:
        return [each.answering for each in self._processes() if each.ready.is_set()]

    def _samples(self) -> Iterable[Sample]:
        yield from process_samples()
        yield Sample(name="llmproxy_workers", help="Workers that serve requests.", value=len(self._serving()))
        yield Sample(
            name="llmproxy_worker_restarts_total",
            help="How often a worker ended and was started again.",
            counter=True,
            value=sum(each.restarts for each in self._places),
        )

    async def _keep(self, place: WorkerPlace) -> None:
        """Start the worker of a place, again and again."""
        while not self._stopping:
            process = place.process = WorkerProcess(place.number, self._stores)
            await self._run(place, process)
            if self._stopping:
                return
            reason = process.failed.message if process.failed is not None else process.describe_end()
            if not self.all_ready.is_set() and not self._may_start_again(place, process):
                self._fail(f"worker {place.number} {reason}" if process.failed is None else reason)
                return
            place.fault = reason
            pause_s = place.next_pause_s(time.monotonic() - process.started_s)
            log.error("worker %d %s; it is started again in %g s", place.number, reason, pause_s)
            await asyncio.sleep(pause_s)
            place.restarts += 1

    def _may_start_again(self, place: WorkerPlace, process: WorkerProcess) -> bool:
        """Return whether a worker that ended before all served may get another try: one that was killed from outside or
        had served says nothing against the configuration. What kills each of them in turn ends the server."""
        return (process.killed or process.ready.is_set()) and place.restarts < _STARTS_AGAIN

    async def _run(self, place: WorkerPlace, process: WorkerProcess) -> None:
        """Start a process, give it connections while it serves, and return after its end."""
        loaded = self.loaded
        try:
            await process.start(self._order(place.number), self._ask, self._reload)
        except OSError as error:
            process.cannot_start(f"cannot be started: {explain_fault(error)}")
            return
        except ProxyError as error:
            process.cannot_start(error.message)
            return
        if self._stopping:  # while it was started, and could not hear of it
            process.stop()
        ready = asyncio.get_running_loop().create_task(self._give_connections(place, process, loaded))
        try:
            await process.ended
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            if process.ended.done():
                await process.close()
                self._gathering.forget(process.answering)

    async def _give_connections(self, place: WorkerPlace, process: WorkerProcess, loaded: Loaded) -> None:
        acceptor = self.acceptor
        assert acceptor is not None
        await process.ready.wait()
        place.fault = ""
        if loaded is not self.loaded:  # it may have read the files before they changed, and nobody asked it to reload
            await self._reload_late(process)
        try:
            acceptor.add(process.channel)
            if len(self._serving()) == len(self._places):
                self.all_ready.set()
            await process.leaving.wait()
        finally:
            acceptor.remove(process.channel)

    async def _reload_late(self, process: WorkerProcess) -> None:
        """Let a worker reload that was starting when all others did."""
        try:
            report = await process.reload("its parent")
        except StoreFault as fault:
            log.error("worker %d has not reloaded: %s", process.answering.number, fault)
            return
        process.traces = report.traces or process.traces
        if report.error is not None:
            log.error("worker %d has not reloaded: %s", process.answering.number, report.error[0])

    def _order(self, number: int) -> Order:
        source = self.loaded.source
        assert source is not None
        return Order(
            number=number,
            count=len(self._places),
            pid=os.getpid(),
            started_s=self.started_s,
            source=source,
            dotenv=self.loaded.dotenv,
            path=[os.path.abspath(each) for each in sys.path],
        )

    def _fail(self, message: str) -> None:
        if not self.failure.done():
            self.failure.set_result(ProxyError(message, code="worker_failed"))

    async def _ask(self, asking: Answering, question: str, argument: bytes) -> Answers:
        parts = await self._gathering.ask(asking, question, argument)
        faults = [fault for each in self._places if (fault := each.describe_fault())]
        server = ServerHealth(
            workers=[each.row() for each in self._places],
            faults=[*faults, *self._not_reloaded, *self.reloader.faults()],
            reload=dict(self.reloader.describe()),
        )
        return Answers(parts=parts, server=server)

    async def _reload(self, reason: str) -> ReloadReport:
        try:
            done = await self.reloader.reload(reason)
        except ProxyError as error:
            return ReloadReport(changes=[], ignored=[], error=(error.message, error.status, error.code))
        return ReloadReport(changes=list(done.changes), ignored=list(done.ignored))


class _Nothing:
    """Hold what the parent retires after a reload: its workers retire their own."""

    def __init__(self) -> None:
        self.late: list[str] = []
        self.closing = ""

    async def retire(self) -> None:
        pass


async def supervise(
    loaded: Loaded,
    announce: Callable[[str], None],
    sock: socket.socket | None,
    shutdown: Shutdown,
) -> int:
    """Serve with several workers until a signal comes, as `app.serve` does with none, and return the exit code.

    Raises ProxyError when one cannot start, OSError when the address cannot be listened on.
    """
    server = loaded.checked().server
    check_file_limit(server.max_connections)
    _check_shares(server)
    listeners = [sock] if sock is not None else await asyncio.to_thread(listen, server.host, server.port)
    acceptor = Acceptor(listeners)
    supervisor = Supervisor(loaded, server.worker_count)
    shutdown.left = supervisor.left

    def timeout_s() -> float:
        return supervisor.loaded.checked().server.shutdown_timeout

    def on_hangup() -> None:
        supervisor.reloader.begin("SIGHUP")

    ended_well = True
    with stop_signals(shutdown, timeout_s, supervisor.cut, on_hangup) as stop:
        try:
            supervisor.start(acceptor)
            await supervisor.wait_ready(stop)
            if supervisor.failure.done():
                raise supervisor.failure.result()
            if not stop.is_set():
                registration = registration_of(supervisor.loaded, listeners[0], inherited=sock is not None)
                await _serve_until(stop, supervisor, registration, announce)
        finally:
            acceptor.close()
            # The thread of `shutdown` would end this process alone: workers are killed a moment before.
            limit_s = timeout_s() + GRACE_S - _MARGIN_S if stop.is_set() else GRACE_S
            ended_well = await supervisor.stop(limit_s)
    return 0 if ended_well else 1


def _check_shares(server: ServerConfig) -> None:
    """Warn where a worker's share of the memory is too small for what a client may send."""
    share_bytes = server.max_held_bytes // server.worker_count
    if share_bytes < (server.max_body_size or 0):
        log.warning(
            "each of %d workers may hold %d MB (server.max_held_bytes), which is less than one request may have "
            "(server.max_body_size); raise the former",
            server.worker_count,
            share_bytes >> 20,
        )


async def _serve_until(
    stop: asyncio.Event,
    supervisor: Supervisor,
    registration: Registration,
    announce: Callable[[str], None],
) -> None:
    """Be the server for everybody else until `stop` is set."""
    metrics = own_metrics_port(supervisor.loaded, supervisor.metrics)
    service = ServiceManager(os.environ)
    async with registration.kept(supervisor.traces()), metrics, _reloading(supervisor, registration, service):
        announce(registration.url)
        async with service.serving(registration.url), supervisor.watched(service.watchdog_s):
            await stop.wait()
    log.info(
        "stopping: no new connections; waiting up to %g s for running exchanges",
        supervisor.loaded.checked().server.shutdown_timeout,
    )


@contextlib.asynccontextmanager
async def _reloading(
    supervisor: Supervisor, registration: Registration, service: ServiceManager
) -> AsyncIterator[None]:
    """Reload on demand, and when files change, within the block."""
    reloader = supervisor.reloader

    async def apply() -> Reloaded:
        with service.reloading():
            return await supervisor.apply()

    async def applied() -> None:
        await registration.write(supervisor.traces())

    def watches() -> bool:
        return supervisor.loaded.checked().server.reload_on_change

    reloader.apply, reloader.applied = apply, applied
    try:
        async with watch_files(lambda: supervisor.read, watches, reloader):
            yield
    finally:
        await reloader.stop()

"""One worker of a server: the same as a server alone, but for its connections, its pages and its stop, which come from
its parent process. Begin reading at `run_worker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys

from llmproxy.app import started
from llmproxy.config.access import server_tls
from llmproxy.config.load import Loaded
from llmproxy.config.problems import ConfigError
from llmproxy.errors import ProxyError
from llmproxy.log_context import repeated
from llmproxy.registry import RegistryError
from llmproxy.reload import export_dotenv
from llmproxy.reporters import start_logging
from llmproxy.server.peers import ReloadReport
from llmproxy.server.process import loop_factory, prepare_process
from llmproxy.server.registration import trace_directories
from llmproxy.server.shutdown import GRACE_S, Shutdown
from llmproxy.server.tls import ServerTls, renewed
from llmproxy.serving import Serving
from llmproxy.stores.facet import StoreFault
from llmproxy.workers.handover import Taker
from llmproxy.workers.order import receive_order
from llmproxy.workers.parent_link import ParentLink

log = logging.getLogger(__name__)


def run_worker(link: int, channel: int) -> int:
    """Serve until the parent says otherwise or is gone, and return the exit code. The arguments are descriptors of this
    worker's ends of two sockets."""
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGHUP):  # those of a terminal are for the parent
            signal.signal(number, signal.SIG_IGN)
    ends = [socket.socket(fileno=descriptor) for descriptor in (link, channel)]
    for each in ends:
        each.set_inheritable(False)
    try:
        order = receive_order(ends[0])
    except (EOFError, OSError):
        return 0
    prepare_process()
    shutdown = Shutdown()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve_as_worker(ParentLink(order, *ends), shutdown))


async def serve_as_worker(worker: ParentLink, shutdown: Shutdown) -> int:
    """Load the configuration, serve, and return the exit code. What prevents that is for the parent to say."""
    await worker.connect()
    try:
        loaded = await asyncio.to_thread(worker.order.source)
        export_dotenv(worker.order.dotenv, loaded.dotenv)
        start_logging(loaded.checked().logging)
        await _serve(loaded, worker, shutdown)
    except (OSError, ProxyError, ConfigError, RegistryError) as error:
        await worker.fail(str(error))
        return 1
    except BaseException:
        shutdown.end_within(GRACE_S)
        raise
    finally:
        worker.channel.close()
    return 0


async def _serve(loaded: Loaded, worker: ParentLink, shutdown: Shutdown) -> None:
    tls = await asyncio.to_thread(server_tls, loaded.checked().server)
    async with contextlib.AsyncExitStack() as until_end:
        with repeated(worker.order.number > 1):
            serving = await until_end.enter_async_context(started(loaded, shutdown, worker))

        taker = Taker(worker.channel, serving.edge, None if tls is None else tls.context)
        serving.edge.closed = taker.closed

        def stop_within() -> None:
            taker.stop()  # before the parent hears of it, and gives what is not taken to others
            shutdown.end_within(serving.shutdown_timeout_s() + GRACE_S)

        with worker.stop_signals(stop_within, serving.edge.cut) as stop:
            try:
                await _serve_until(stop, serving, worker, taker, tls)
            finally:
                await serving.retire(shutdown)


async def _serve_until(
    stop: asyncio.Event, serving: Serving, worker: ParentLink, taker: Taker, tls: ServerTls | None
) -> None:
    """Serve what the parent accepts until `stop` is set, then wait for the running exchanges."""
    edge, reloader = serving.edge, serving.reloader
    reloader.quiet = True

    async def reload(reason: str) -> ReloadReport:
        traces = []
        try:
            with repeated(worker.order.number > 1):
                done = await reloader.reload(reason)
            traces = trace_directories(serving.runtime.middlewares)
        except ProxyError as error:
            return ReloadReport(changes=[], ignored=[], error=(error.message, error.status, error.code))
        return ReloadReport(changes=list(done.changes), ignored=list(done.ignored), traces=traces)

    async with worker.answering(lambda: serving.runtime.admin, reload):
        try:
            async with serving.reloading(None, tls), renewed(tls):
                taker.start()
                worker.ready(trace_directories(serving.runtime.middlewares))
                log.debug("worker %d serves (process %d)", worker.order.number, os.getpid())
                await stop.wait()
        except StoreFault as fault:
            log.error("the parent process cannot be reached, so this worker ends: %s", fault)
        finally:
            taker.stop()
            await edge.stop(serving.shutdown_timeout_s() if stop.is_set() else 0)
            await worker.send_counters(serving.runtime.admin)

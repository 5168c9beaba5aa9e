"""Keep the runtime in effect while the process serves: reloads, the end, the service manager, how others find it.

Begin reading at `Serving.reloading`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from llmproxy import __version__
from llmproxy.config.load import Loaded
from llmproxy.reload import Replacement
from llmproxy.server.edge import Edge
from llmproxy.server.loop_watch import LoopWatch
from llmproxy.server.metrics_listener import RenderMetrics, metrics_listener
from llmproxy.server.registration import Registration, announced_host, trace_directories
from llmproxy.server.reloading import Reloaded, Reloader
from llmproxy.server.runtime import Runtime
from llmproxy.server.service_manager import ServiceManager
from llmproxy.server.shutdown import AT_ONCE_S, Shutdown
from llmproxy.server.tls import ServerTls
from llmproxy.server.user_frames import UserFrames


def registration_of(loaded: Loaded, listener: socket.socket, *, inherited: bool) -> Registration:
    """Return the entry of the server that listens on `listener`, which is not bound to the configured host where it
    was `inherited`."""
    server = loaded.checked().server
    host, port = listener.getsockname()[:2]
    scheme = "http" if server.tls is None else "https"
    url = f"{scheme}://{announced_host(host if inherited else server.host, host)}:{port}"
    return Registration(version=__version__, file=loaded.path, url=url, host=host, port=port)


def own_metrics_port(loaded: Loaded, render: RenderMetrics) -> AbstractAsyncContextManager[str | None]:
    """Serve the metrics at the port of their own that is configured, within the block."""
    config = loaded.checked()
    return metrics_listener(
        config.telemetry.prometheus_host or config.server.host, config.telemetry.metrics_port, render
    )


class Serving:
    """One serving process. Created in its main loop."""

    def __init__(self, edge: Edge, reloader: Reloader, replacement: Replacement, runtime: Runtime) -> None:
        self.service = ServiceManager(os.environ)
        self.edge = edge
        self.reloader = reloader
        self.replacement = replacement
        self.frames = UserFrames((each.who, each.part) for each in runtime.components)
        self.watch = LoopWatch(self.frames)
        self.watch.start()
        self._loop_thread = threading.get_ident()

    @property
    def runtime(self) -> Runtime:
        """Return the runtime in effect."""
        runtime = self.edge.shared.runtime
        assert isinstance(runtime, Runtime)
        return runtime

    def shutdown_timeout_s(self) -> float:
        """Return how long running exchanges may continue after a signal."""
        return self.replacement.loaded.checked().server.shutdown_timeout

    def on_hangup(self) -> None:
        """Reload: the operator has sent SIGHUP."""
        self.reloader.begin("SIGHUP")

    @contextlib.asynccontextmanager
    async def reloading(self, registration: Registration | None, tls: ServerTls | None) -> AsyncIterator[None]:
        """Reload on demand, and when files change, within the block. What has no registration is a worker: its parent
        watches the files."""

        async def applied() -> None:
            runtime = self.runtime
            self.frames.add((each.who, each.part) for each in runtime.components)
            self.watch.start()
            if registration is not None:
                await registration.write(trace_directories(runtime.middlewares))
            if tls is not None:
                await tls.reload()

        self.reloader.applied = applied

        async def apply() -> Reloaded:
            with self.service.reloading():
                return await self.replacement.apply()

        self.reloader.apply = apply
        try:
            if registration is None:
                yield
            else:
                async with self.replacement.watching(self.reloader):
                    yield
        finally:
            await self.reloader.stop()

    async def retire(self, shutdown: Shutdown) -> None:
        """Close the components. What did not end by then would never let the loop end."""
        late = await self.reloader.close(shutdown.remaining_s() / 2)
        await self.runtime.retire(shutdown.remaining_s)
        if self.edge.abandoned or self.runtime.late or late:
            shutdown.end_within(AT_ONCE_S)

    def left(self) -> list[str]:
        """Return the parts that still run when the time is over. Called in another thread."""
        busy = self.frames.running(self._loop_thread)
        runtimes = [*self.reloader.retiring.values(), self.runtime]
        late = [
            f"{who}, which does not close"
            for each in runtimes
            for who in dict.fromkeys((*each.late, each.closing))
            if who
        ]
        return [*self.edge.left(self.frames), *([f"the event loop, blocked by {busy}"] if busy else []), *late]

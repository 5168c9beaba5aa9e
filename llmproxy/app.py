"""Wire everything, here and nowhere else: a configuration and the State of the process become a Runtime.

`State` outlives configurations (pool, metrics, listeners); a `Runtime` is everything built from one configuration and
is replaced whole: exchanges keep the one they began with, and the last one out closes it. Begin reading at `serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

from llmproxy import __version__, decision_log
from llmproxy import discovery as servers
from llmproxy.access.admission import Admission
from llmproxy.config.load import Loaded
from llmproxy.config.schema import Config
from llmproxy.exchange import MemoryBudget
from llmproxy.metrics.counters import Metrics
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.hooks import Hooks
from llmproxy.pipeline import LoggedPipeline, Pipeline
from llmproxy.registry import find_component
from llmproxy.route import Route
from llmproxy.routing.router import Router
from llmproxy.server.edge import Edge
from llmproxy.server.pages.admin import Admin
from llmproxy.server.pages.models import ModelList
from llmproxy.server.request_body import Limits
from llmproxy.server.request_handler import Shared
from llmproxy.settings import Secret, Strict
from llmproxy.stores.open_stores import StorePool, Stores
from llmproxy.target import Provider, Target
from llmproxy.translation.translator import Translator
from llmproxy.upstream.media import MediaFetcher
from llmproxy.upstream.pool import Upstream
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp

log = logging.getLogger(__name__)

BACKLOG = 1024
# The young generation is collected after so many new objects: an exchange makes some twenty that outlive it briefly,
# and the default of 700 costs 7 % of the CPU time for nothing, since they go without the collector.
YOUNG_OBJECTS = 10_000
RESPONSE_BYTES = 128 * 1024 * 1024  # of what the Responses API stores, and of reasoning


class State:
    """Everything that outlives a configuration. Created inside the running loop."""

    def __init__(self, max_held_bytes: int) -> None:
        self.started_s = time.monotonic()
        self.budget = MemoryBudget(max_held_bytes)
        self.metrics = Metrics(lambda: self.budget.used_bytes)
        self.upstream = Upstream()
        self.stores = StorePool()
        self.shared: Shared | None = None

    @property
    def stopping(self) -> bool:
        """Return whether the server is about to end."""
        return self.shared is not None and self.shared.stopping

    async def close(self) -> None:
        """Close the connections."""
        await self.upstream.close()


Component = Provider | Middleware | Stores


class Runtime:
    """Everything built from one configuration. Immutable but for the count of exchanges that use it."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        admin: Admin,
        limits: Limits,
        admission: Admission,
        stores: Stores,
        providers: Sequence[Provider],
        middlewares: Sequence[tuple[str, Middleware]],
    ) -> None:
        self.pipeline = pipeline
        self.admin = admin
        self.limits = limits
        self.admission = admission
        self.middlewares = middlewares
        self._components: list[Component] = [stores, *providers, *(each for _, each in middlewares)]
        self._started: list[Component] = []
        self._running = 0
        self._retired = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Count one more exchange."""
        self._running += 1

    def leave(self) -> None:
        """Count one exchange less."""
        self._running -= 1
        if self._retired and not self._running:
            self._idle.set()

    async def start(self) -> None:
        """Start every component, in order. When one fails, those before it are closed again."""
        try:
            for each in self._components:
                await each.start()
                self._started.append(each)
        except BaseException:
            await self._close_components()
            raise

    async def retire(self) -> None:
        """Wait for the last exchange, then close every component; called when no new exchange comes here."""
        self._retired = True
        if self._running:
            self._idle.clear()
            await self._idle.wait()
        await self._close_components()

    async def _close_components(self) -> None:
        """Close every component, last first, whatever errors the others raise."""
        while self._started:
            each = self._started.pop()
            [outcome] = await asyncio.gather(each.close(), return_exceptions=True)
            if isinstance(outcome, BaseException):
                log.error("%s could not be closed", type(each).__name__, exc_info=outcome)


def build(loaded: Loaded, state: State) -> Runtime:
    """Return the runtime that `loaded` describes, not started. Raises ConfigError, RegistryError."""
    config = loaded.checked()
    stores = _stores(config, state)
    router, everybody = routing(config)
    entries = [entry for entry in config.middlewares if entry.enabled]
    middlewares = [_component("middlewares", each.config, each.type, config) for each in entries]
    for each in middlewares:
        each.use_stores(stores)
    named_middlewares = [(entry.type, each) for entry, each in zip(entries, middlewares, strict=True)]
    pipeline = LoggedPipeline if decision_log.is_enabled() else Pipeline
    return Runtime(
        pipeline=pipeline(
            router,
            Hooks(named_middlewares),
            state.upstream.open,
            state.budget,
            _translator(config, state, stores),
        ),
        admin=_admin(loaded, state, router, everybody, named_middlewares),
        limits=_limits(config),
        admission=Admission(everybody, _secret(config.server.admin_key)),
        stores=stores,
        providers=everybody,
        middlewares=named_middlewares,
    )


def routing(config: Config) -> tuple[Router, list[Provider]]:
    """Return the router and the providers, not started. Raises RegistryError."""
    providers = [_component("providers", each, each.type, config) for each in config.providers if each.enabled]
    named = {provider.name: provider for provider in providers}
    catch_all = None if config.llm is None else _component("providers", config.llm, config.llm.type, config)
    strategy = find_component("strategies", "priority", config.directory)
    routes = [
        Route(name=model.name, targets=targets, strategy=strategy(Strict()))
        for model in config.models
        if (
            targets := tuple(
                Target(provider=named[t.provider], model=t.model) for t in model.targets if t.provider in named
            )
        )
    ]
    default = named.get(config.default_provider) if config.default_provider else None
    router = Router(providers, routes, catch_all, default)
    return router, [*providers, *([catch_all] if catch_all else [])]


def _component(kind: str, settings: Strict, type_: str, config: Config) -> Any:
    """Return an instance of the class that `type_` names; the schema has read `settings` for that class."""
    return find_component(kind, type_, config.directory)(settings)


def _admin(
    loaded: Loaded,
    state: State,
    router: Router,
    providers: Sequence[Provider],
    middlewares: Sequence[tuple[str, Middleware]],
) -> Admin:
    return Admin(
        version=__version__,
        started_s=state.started_s,
        stopping=lambda: state.stopping,
        file=loaded.path,
        config=loaded.checked().model_dump(),
        key_sources=loaded.key_sources,
        providers=providers,
        models=ModelList(router, providers, state.upstream.open),
        metrics=state.metrics,
        middlewares=middlewares,
        running=lambda: state.shared.running if state.shared else {},
    )


def _secret(value: Secret | None) -> str:
    return "" if value is None else value.get_secret_value()


def _stores(config: Config, state: State) -> Stores:
    """Return the stores of `config`, not opened."""
    configured = {
        name: (find_component("stores", each.type, config.directory), each) for name, each in config.stores.items()
    }
    return Stores(state.stores, configured)


def _translator(config: Config, state: State, stores: Stores) -> Translator:
    settings = config.translation
    fetcher = MediaFetcher(settings.max_media_size, settings.media_timeout) if settings.fetch_media else None
    store = stores.open()
    # A conversation goes to a provider as one body; a store that bounds itself may hold larger values of others.
    body_bytes = config.server.max_body_size or RESPONSE_BYTES
    most_bytes = min(RESPONSE_BYTES, body_bytes) if store.bounds_itself else RESPONSE_BYTES
    responses = store.responses(most_bytes)
    return Translator(
        responses, state.budget, strict=settings.strict, fetcher=fetcher, estimates=settings.estimate_tokens
    )


def _limits(config: Config) -> Limits:
    server = config.server
    return Limits(
        max_head_size=server.max_head_size,
        max_body_size=server.max_body_size,
        max_upload_size=server.max_upload_size,
        header_timeout_s=server.header_timeout,
        keepalive_timeout_s=server.keepalive_timeout,
        body_timeout_s=server.body_timeout,
        body_total_timeout_s=server.body_total_timeout,
    )


async def swap(shared: Shared, runtime: Runtime) -> None:
    """Let new exchanges begin with `runtime`, and close the old one once its last exchange is over."""
    await runtime.start()
    old, shared.runtime = shared.runtime, runtime
    assert isinstance(old, Runtime)
    await old.retire()


async def serve(loaded: Loaded, announce: Callable[[str], None], sock: socket.socket | None = None) -> None:
    """Listen until a signal comes, then stop gracefully: exchanges finish, a second signal ends them.

    `announce` is called with the base address once requests are served. With `sock`, which is bound already, that is
    listened on in place of the configured address; it is closed at the end. Raises ConfigError and RegistryError for
    mistakes in the configuration, OSError when the address cannot be listened on.
    """
    server = loaded.checked().server
    state = State(server.max_held_bytes)
    try:
        runtime = build(loaded, state)
        await runtime.start()
        state.shared = shared = Shared(runtime, state.metrics, state.budget)
        edge = Edge(shared)
        try:
            async with _stop_signals(edge) as stop:
                listener = await _listen(edge, server.host, server.port, sock)
                try:
                    host, port = listener.sockets[0].getsockname()[:2]
                    address = f"http://{_announced_host(server.host if sock is None else host, host)}:{port}"
                    async with _registered(_described(loaded, runtime, address, host, port)):
                        announce(address)
                        await stop.wait()
                    log.info(
                        "stopping: no new connections; waiting up to %g s for running exchanges",
                        server.shutdown_timeout,
                    )
                finally:
                    listener.close()
                    await edge.stop(server.shutdown_timeout if stop.is_set() else 0)
        finally:
            assert isinstance(shared.runtime, Runtime)
            await shared.runtime.retire()
    finally:
        await state.close()


async def _listen(edge: Edge, host: str, port: int, sock: socket.socket | None) -> asyncio.Server:
    """Listen on `sock`, or on a new socket at `host` and `port`."""
    loop = asyncio.get_running_loop()
    if sock is not None:
        return await loop.create_server(edge, sock=sock, backlog=BACKLOG)
    return await loop.create_server(edge, host, port, backlog=BACKLOG)


@contextlib.asynccontextmanager
async def _registered(server: servers.RunningServer) -> AsyncIterator[None]:
    """Register this server, so that commands find it."""
    path = await asyncio.to_thread(servers.register, server)
    try:
        yield
    finally:
        await asyncio.to_thread(servers.unregister, path)


def _described(loaded: Loaded, runtime: Runtime, url: str, host: str, port: int) -> servers.RunningServer:
    return servers.RunningServer(
        pid=os.getpid(),
        url=url,
        version=__version__,
        started=format_timestamp(time.time()),
        host=host,
        port=port,
        config=None if loaded.path is None else replace_surrogates(os.path.abspath(os.path.expanduser(loaded.path))),
        traces=_trace_directories(runtime.middlewares),
    )


def _trace_directories(middlewares: Sequence[tuple[str, Middleware]]) -> list[str]:
    """Return the directories of the trace middlewares."""
    directories = [each.describe().get("directory") for type_, each in middlewares if type_ == "trace"]
    return [replace_surrogates(os.path.abspath(each)) for each in directories if isinstance(each, str)]


def _announced_host(configured: str, bound: str) -> str:
    """Return the host to announce: one that a client on this machine can call."""
    if bound in ("0.0.0.0", "::"):
        return "127.0.0.1" if bound == "0.0.0.0" else "[::1]"
    if configured == "localhost":
        return configured
    return f"[{bound}]" if ":" in bound else bound


@contextlib.asynccontextmanager
async def _stop_signals(edge: Edge) -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets; the next such signal cuts running exchanges short."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            edge.cut()
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with _handled(loop, on_signal):
        yield stop


@contextlib.contextmanager
def _handled(loop: asyncio.AbstractEventLoop, on_signal: Callable[[], None]) -> Iterator[None]:
    """Call `on_signal` for signals that ask to stop. Windows has no `add_signal_handler`."""
    if sys.platform == "win32":
        numbers = (signal.SIGINT, signal.SIGBREAK)

        def handler(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(on_signal)

        before = [(number, signal.signal(number, handler)) for number in numbers]
        yield
        for number, previous in before:
            signal.signal(number, previous)
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        yield
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop where it exists; asyncio's own loop on Windows."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _raise_file_limit() -> None:
    """Let as many sockets be open as the system allows: an exchange needs two, and 1,024 is a usual soft limit."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some numbers that it names itself
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(loaded: Loaded, announce: Callable[[str], None], sock: socket.socket | None = None) -> int:
    """Serve in this process until a signal comes, and return the exit code. Raises as `serve` does."""
    _raise_file_limit()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(loaded, announce, sock))
    return 0


class App:
    """The proxy as a Python object: `llmproxy.create_app(...).run(host, port)`."""

    def __init__(self, loaded: Loaded) -> None:
        loaded.checked()
        self.loaded = loaded

    def run(self, host: str | None = None, port: int | None = None) -> None:
        """Serve until a signal comes; `host` and `port` win over the configuration. Raises as `serve` does."""
        config = self.loaded.checked()
        logging.getLogger("llmproxy").setLevel(config.logging.level.upper())
        changed = {"host": host, "port": port}
        server = config.server.model_copy(update={name: value for name, value in changed.items() if value is not None})
        loaded = replace(self.loaded, config=config.model_copy(update={"server": server}))
        run(loaded, lambda address: print(f"llmproxy serves {address}", flush=True))

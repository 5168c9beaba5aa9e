"""Wire everything, here and nowhere else: a configuration and the State of the process become a Runtime.

A `Runtime` is everything built from one configuration and is replaced whole: exchanges keep the one they began with,
and the last one out closes it. What outlives configurations is in `state.py`. Begin reading at `serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from llmproxy import __version__, decision_log
from llmproxy.config.access import build_access, server_tls
from llmproxy.config.client_limits import build_limits, hook_order
from llmproxy.config.load import Loaded
from llmproxy.config.schema import Config, MiddlewareEntry, ServerConfig
from llmproxy.failover.attempt import Attempts, LoggedAttempts
from llmproxy.failover.failover import Failover
from llmproxy.limiting.target_quotas import TargetQuotas
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.hooks import Hooks
from llmproxy.pipeline import LoggedPipeline, Pipeline
from llmproxy.registry import find_component
from llmproxy.reload import Replacement
from llmproxy.reporters import Reporters, build_reporters
from llmproxy.routes import build_affinity, build_routing, file_stamps, make_component, provider_place
from llmproxy.routing.health_checks import HealthChecks
from llmproxy.routing.retry_budget import FLOOR as RETRY_FLOOR
from llmproxy.routing.router import Router
from llmproxy.routing.sealed_history import SealedHistories
from llmproxy.routing.shared_health import SharedHealth
from llmproxy.server.edge import Edge
from llmproxy.server.pages.admin import Admin
from llmproxy.server.pages.models import ModelList
from llmproxy.server.pages.openapi import OpenApi, Protection
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.server.process import check_file_limit, loop_factory, prepare_process
from llmproxy.server.registration import trace_directories
from llmproxy.server.request_body import Limits
from llmproxy.server.reuse import Reuse
from llmproxy.server.runtime import Component, Runtime, start_error
from llmproxy.server.service_manager import passed_socket
from llmproxy.server.shared import Shared
from llmproxy.server.shutdown import GRACE_S, Shutdown, stop_signals
from llmproxy.server.tls import HANDSHAKE_S, ServerTls, renewed
from llmproxy.serving import Serving, own_metrics_port, registration_of
from llmproxy.state import State
from llmproxy.stores.open_stores import Stores
from llmproxy.stores.quotas import MAX_COUNTERS
from llmproxy.target import Provider
from llmproxy.translation.translator import Translator
from llmproxy.upstream.media import MediaFetcher
from llmproxy.workers.handover import BACKLOG

if TYPE_CHECKING:
    from llmproxy.workers.parent_link import ParentLink

log = logging.getLogger(__name__)

RESPONSE_BYTES = 128 * 1024 * 1024  # of what the Responses API stores, and of reasoning


def build(loaded: Loaded, state: State) -> Runtime:
    """Return the runtime that `loaded` describes, not started. Raises ConfigError, RegistryError.

    It goes on with the parts of the runtime in effect that it would make in the same way.
    """
    config = loaded.checked()
    stores = _stores(config, state)
    reuse = Reuse(stores, state.components)
    prices = state.prices(config)
    router, everybody = build_routing(loaded, state.health, prices, reuse)
    configured = _middlewares(loaded, reuse)
    client_limits = build_limits(config, reuse, prices, loaded.file_keys)
    named_middlewares = [*client_limits, *configured]
    access = build_access(loaded, everybody, reuse)
    reporters = build_reporters(config, reuse, __version__, None if state.worker is None else state.worker.order.number)
    state.budget.limit_bytes = state.share(config.server.max_held_bytes)
    state.health.budget.floor = state.share(RETRY_FLOOR)
    affinity, sealed = build_affinity(config, everybody, stores)
    translator = _translator(config, state, stores, sealed)
    pipeline = (LoggedPipeline if decision_log.is_enabled() else Pipeline)(
        router,
        Hooks(hook_order(config, client_limits, configured), [part for _, part in reporters]),
        _failover(config, state, stores, translator),
        translator,
        prices,
        affinity,
        sealed,
    )
    sharing = _sharing(config, state, stores, reuse)
    checks = HealthChecks(router.targets, state.upstream.open, config.routing.health_check)
    models = ModelList(router, everybody, state.upstream.open)
    return Runtime(
        pipeline=pipeline,
        admin=_admin(loaded, state, router, everybody, models, named_middlewares, reporters),
        limits=_limits(config.server, state),
        admission=access.admission,
        components=[
            *_components(loaded, stores, reuse, everybody, configured, client_limits),
            *access.components,
            Component(part=pipeline.shadows, who="the shadow calls"),
            Component(part=checks, who="the health checks"),
            Component(part=models, who="the lists of models"),
            *([reuse.component(sharing, "the shared state of targets")] if sharing else []),
            *(reuse.component(part, f"the {name}") for name, part in reporters),
        ],
        middlewares=named_middlewares,
    )


def _middlewares(loaded: Loaded, reuse: Reuse) -> list[tuple[str, Middleware]]:
    """Return the enabled middlewares with their types, their stores opened."""
    config = loaded.checked()
    made: list[tuple[str, Middleware]] = []
    for index, entry in enumerate(config.middlewares):
        if entry.enabled:
            kind = find_component("middlewares", entry.type, config.directory)
            make = partial(_middleware, loaded, index, entry)
            made.append((entry.type, reuse.take((kind, entry.config, file_stamps(entry.config)), make)))
    return made


def _middleware(loaded: Loaded, index: int, entry: MiddlewareEntry, stores: Stores) -> Middleware:
    who, place = f"middleware {entry.type!r}", loaded.places.get(("middlewares", index), "")
    middleware: Middleware = make_component(loaded, "middlewares", entry.type, entry.config, who, place)
    try:
        middleware.use_stores(stores)
    except BaseException as error:
        raise start_error(who, place, "cannot open its stores", error, type(middleware)) from error
    return middleware


def _components(
    loaded: Loaded,
    stores: Stores,
    reuse: Reuse,
    providers: Sequence[Provider],
    middlewares: Sequence[tuple[str, Middleware]],
    client_limits: Sequence[tuple[str, Middleware]],
) -> list[Component]:
    """Return what is started, in this order."""
    components = [Component(part=stores, who="the stores", place=loaded.places.get(("stores", ""), ""))]
    for provider in providers:
        components.append(reuse.component(provider, *provider_place(loaded, provider.name)))
    components += [reuse.component(part, name) for name, part in client_limits]
    enabled = [index for index, entry in enumerate(loaded.checked().middlewares) if entry.enabled]
    for index, (type_, middleware) in zip(enabled, middlewares, strict=True):
        place = loaded.places.get(("middlewares", index), "")
        components.append(reuse.component(middleware, f"middleware {type_!r}", place))
    return components


def _admin(
    loaded: Loaded,
    state: State,
    router: Router,
    providers: Sequence[Provider],
    models: ModelList,
    middlewares: Sequence[tuple[str, Middleware]],
    reporters: Reporters,
) -> Admin:
    config = loaded.checked()
    process = ProcessState(
        version=__version__,
        started_s=state.started_s,
        metrics=state.metrics,
        health=state.health,
        stopping=lambda: state.stopping,
        running=lambda: state.shared.running if state.shared else {},
        waiting=lambda: state.shared.concurrency.waiting if state.shared else 0,
        reloader=state.reloader,
        peers=state.worker,
        pid=os.getpid() if state.worker is None else state.worker.order.pid,
    )
    effective = EffectiveConfig(
        file=loaded.path,
        values=config.model_dump(),
        key_sources=loaded.key_sources,
        providers=providers,
        middlewares=middlewares,
        reporters=[(name.replace(" ", "_"), part.describe) for name, part in reporters],
    )
    return Admin(process, effective, models, _openapi(config, router))


def _openapi(config: Config, router: Router) -> OpenApi:
    server, auth = config.server, config.auth
    protection = Protection(
        keys=auth.uses_keys,
        tokens=auth.uses_tokens,
        certificates=server.tls is not None and server.tls.client_ca is not None,
        admin_key=server.admin_key is not None,
    )
    estimates = config.translation.estimate_tokens
    return OpenApi(router, version=__version__, protection=protection, estimates=estimates)


def _stores(config: Config, state: State) -> Stores:
    """Return the stores of `config`, not opened."""
    configured = {
        name: (find_component("stores", each.type, config.directory), each) for name, each in config.stores.items()
    }
    return Stores(state.stores, configured)


def _translator(config: Config, state: State, stores: Stores, sealed: SealedHistories | None) -> Translator:
    settings = config.translation
    fetcher = MediaFetcher(settings.max_media_size, settings.media_timeout) if settings.fetch_media else None
    store = stores.open()
    # A conversation goes to a provider as one body; a store that bounds itself may hold larger values of others.
    body_bytes = config.server.max_body_size or RESPONSE_BYTES
    most_bytes = min(RESPONSE_BYTES, body_bytes) if store.bounds_itself else RESPONSE_BYTES
    responses = store.responses(most_bytes)
    return Translator(
        responses,
        state.budget,
        strict=settings.strict,
        fetcher=fetcher,
        estimates=settings.estimate_tokens,
        bind_calls=None if sealed is None else sealed.bind_calls,
    )


def _sharing(config: Config, state: State, stores: Stores, reuse: Reuse) -> SharedHealth | None:
    """Return what shares the state of targets with other processes; None where only this one has it."""
    name = config.routing.store
    if not stores.open(name).shared or not (config.models or len(config.providers) > 1):
        return None
    return reuse.take((SharedHealth, name), lambda stores: SharedHealth(state.health, stores.open(name).breakers()))


def _failover(config: Config, state: State, stores: Stores, translator: Translator) -> Failover:
    attempts = (LoggedAttempts if decision_log.is_enabled() else Attempts)(
        state.upstream.open, state.budget, translator
    )
    return Failover(attempts, state.health, quotas=_target_quotas(config, stores))


def _target_quotas(config: Config, stores: Stores) -> TargetQuotas:
    """Return the configured limits of targets, in the store of `routing`."""
    targets = [target for model in config.models for target in model.targets]
    if not any(target.limited for target in targets):
        return TargetQuotas()
    return TargetQuotas(stores.open(config.routing.store).quotas(MAX_COUNTERS))


def _limits(server: ServerConfig, state: State) -> Limits:
    return Limits(
        max_head_size=server.max_head_size,
        max_body_size=server.max_body_size,
        max_upload_size=server.max_upload_size,
        header_timeout_s=server.header_timeout,
        websocket_idle_s=server.websocket_idle_timeout,
        keepalive_timeout_s=server.keepalive_timeout,
        body_timeout_s=server.body_timeout,
        body_total_timeout_s=server.body_total_timeout,
        max_connections=None if server.max_connections is None else state.share(server.max_connections),
        max_concurrent=None if server.max_concurrent is None else state.share(server.max_concurrent),
        queue_timeout_s=server.queue_timeout,
    )


async def serve(
    loaded: Loaded,
    announce: Callable[[str], None],
    sock: socket.socket | None = None,
    shutdown: Shutdown | None = None,
) -> None:
    """Listen until a signal comes, then stop gracefully: exchanges finish, a second signal ends them.

    `announce` is called with the base address once requests are served. With `sock`, which is bound already, that is
    listened on in place of the configured address; it is closed at the end. `shutdown` ends the process when that does
    not happen in time. Raises ConfigError and RegistryError for mistakes in the configuration and components that do
    not start, OSError when the address cannot be listened on.
    """
    if shutdown is None:
        with contextlib.closing(Shutdown()) as shutdown:
            return await serve(loaded, announce, sock, shutdown)
    server = loaded.checked().server
    tls = await asyncio.to_thread(server_tls, server)
    check_file_limit(server.max_connections)
    async with started(loaded, shutdown) as serving:
        timeout_s, edge = serving.shutdown_timeout_s, serving.edge
        with stop_signals(shutdown, timeout_s, edge.cut, serving.on_hangup) as stop:
            try:
                await _serve_until(stop, serving, announce, sock, tls)
            finally:
                await serving.retire(shutdown)


@contextlib.asynccontextmanager
async def started(loaded: Loaded, shutdown: Shutdown, worker: ParentLink | None = None) -> AsyncIterator[Serving]:
    """Build and start everything that serves requests; who serves them retires it within the block.

    Raises ConfigError and RegistryError as `serve` does.
    """
    state = State(loaded.checked().server.max_held_bytes, worker)
    try:
        runtime = build(loaded, state)
        await runtime.start()
        state.shared = shared = Shared(runtime, state.metrics, state.budget)
        replacement = Replacement(loaded, shared, lambda again: build(again, state), state.release)
        serving = Serving(Edge(shared), state.reloader, replacement, runtime)
        shutdown.left = serving.left
        try:
            yield serving
        finally:
            serving.watch.stop()
    finally:
        await state.close()


async def _serve_until(
    stop: asyncio.Event,
    serving: Serving,
    announce: Callable[[str], None],
    sock: socket.socket | None,
    tls: ServerTls | None,
) -> None:
    """Serve until `stop` is set, then wait for the running exchanges."""
    loaded, edge = serving.replacement.loaded, serving.edge
    server = loaded.checked().server
    listener = await _listen(edge, server.host, server.port, sock, tls)
    try:
        registration = registration_of(loaded, listener.sockets[0], inherited=sock is not None)
        metrics = own_metrics_port(loaded, edge.shared.render_metrics)
        reloading = serving.reloading(registration, tls)
        async with registration.kept(trace_directories(serving.runtime.middlewares)), renewed(tls), metrics, reloading:
            announce(registration.url)
            async with serving.service.serving(registration.url):
                await stop.wait()
        timeout_s = serving.shutdown_timeout_s()
        log.info("stopping: no new connections; waiting up to %g s for running exchanges", timeout_s)
    finally:
        listener.close()
        await edge.stop(serving.shutdown_timeout_s() if stop.is_set() else 0)


async def _listen(
    edge: Edge, host: str, port: int, sock: socket.socket | None, tls: ServerTls | None
) -> asyncio.Server:
    """Listen on `sock`, or on a new socket at `host` and `port`."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"backlog": BACKLOG}
    if tls is not None:
        options |= {"ssl": tls.context, "ssl_handshake_timeout": HANDSHAKE_S}
    if sock is not None:
        return await loop.create_server(edge, sock=sock, **options)
    return await loop.create_server(edge, host, port, **options)


def run(
    loaded: Loaded,
    announce: Callable[[str], None],
    sock: socket.socket | None = None,
    *,
    whole_process: bool = False,
) -> int:
    """Serve in this process, or in several workers, until a signal comes, and return the exit code. Raises as `serve`
    does, and ProxyError when a worker cannot start.

    Without `sock` it listens on the socket that the service manager has passed, if there is one.

    With `whole_process` nothing else happens in it afterwards: threads of users that go on do not keep it either.
    """
    prepare_process()
    sock = sock or passed_socket(os.environ)
    shutdown = Shutdown()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                if loaded.checked().server.worker_count > 1:
                    from llmproxy.workers.supervisor import supervise  # a server alone does not need it

                    return runner.run(supervise(loaded, announce, sock, shutdown))
                runner.run(serve(loaded, announce, sock, shutdown))
            except BaseException:
                shutdown.end_within(GRACE_S)
                raise
    finally:
        if not whole_process:
            shutdown.close()
    return 0

"""A port of its own for `/metrics`: for a Prometheus that has no key, and that traffic must not reach.

A port that cannot be had is a warning, not the end: the metrics are at `/metrics` of the server as well. Begin reading
at `metrics_listener`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from llmproxy.server.secure_headers import SECURE_HEADERS
from llmproxy.system_errors import explain_fault

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

_PATHS = ("/metrics", "/")
# Windows has its own number.
_IN_USE = (errno.EADDRINUSE, 10048)

RenderMetrics = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns the metrics as text for an Accept header, and the content type."""


@contextlib.asynccontextmanager
async def metrics_listener(host: str, port: int | None, render: RenderMetrics) -> AsyncIterator[str | None]:
    """Serve metrics at `host` and `port` (0 is a free one) within the block, which gets the address; None for none."""
    if port is None:
        yield None
        return
    from aiohttp import web

    server = web.Server(_handler(render), access_log=None)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    try:
        yield await _listen(runner, host, port)
    finally:
        await runner.cleanup()


async def _listen(runner: web.ServerRunner, host: str, port: int) -> str | None:
    from aiohttp import web

    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        used = error.errno in _IN_USE
        reason = "it is in use, by another llmproxy or another program" if used else explain_fault(error)
        remedy = "Choose another one with telemetry.prometheus_port or PROMETHEUS_PORT"
        log.warning("the metrics port %d of %s cannot be opened: %s. %s", port, host, reason, remedy)
        return None
    bound = runner.addresses[0]
    address = f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}/metrics"
    log.info("metrics are at %s", address)
    return address


def _handler(render: RenderMetrics) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = dict(SECURE_HEADERS)
        if request.path not in _PATHS or "Origin" in request.headers:  # no web page has any business here
            return web.Response(status=404, text="Not found. The metrics are at /metrics\n", headers=headers)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={**headers, "Allow": "GET, HEAD"})
        body, content_type = await render(", ".join(request.headers.getall("Accept", ())))
        return web.Response(body=body, headers={**headers, "Content-Type": content_type})

    return answer

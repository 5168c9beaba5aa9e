"""Run the hooks of a middleware for finished exchanges, without a server."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware


async def run_hooks(middleware: Middleware, *exchanges: Exchange, chunks: Sequence[bytes] = ()) -> None:
    """Start `middleware`, call its hooks for one exchange after the other, and close it. Each client gets `chunks`."""
    await middleware.start()
    for exchange in exchanges:
        await middleware.on_request(exchange)
        for chunk in chunks:
            middleware.on_chunk(exchange, chunk)
        if chunks:
            exchange.sent_bytes = sum(map(len, chunks))
        middleware.on_end(exchange)
    await middleware.close()

"""Exchanges as the server makes them, for providers to prepare or to answer."""

from __future__ import annotations

import json

from llmproxy.answer import Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.dialects.endpoints import find
from llmproxy.exchange import Client, Exchange


def ask(
    path: str = "/v1/chat/completions",
    *headers: tuple[str, str],
    method: str = "POST",
    prefix: str = "",
    query: str | None = None,
    body: object = None,
    encoding: str = "",
    client: str | None = None,
) -> Exchange:
    """A client's request for `path`, below `prefix`. A `body` that is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    held: Body | StreamedBody | None = None if body is None else Body(raw, encoding)
    model = held.text("model") if isinstance(held, Body) else None
    return Exchange(
        id="0123",
        method=method,
        full_path=prefix + path,
        path=path,
        query=query,
        headers=Headers(headers),
        client=Client(address="127.0.0.1", name=client),
        started_s=0.0,
        began_s=1_700_000_000.5,
        endpoint=find(method, path),
        body=held,
        model=model,
    )

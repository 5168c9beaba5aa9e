"""Build exchanges without a server: new ones, as the server makes them from a request, and finished ones."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from llmproxy.answer import Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.call import Call
from llmproxy.client_request import Client, ClientRequest
from llmproxy.dialects.catalog import find
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.target import Provider, Target, UpstreamRequest

CHAT = find("POST", "/chat/completions")
BEGAN_S = 1_700_000_000.25
BEGAN = "2023-11-14T22:13:20.250000Z"


def new_exchange(
    path: str = "/v1/chat/completions",
    *headers: tuple[str, str],
    method: str = "POST",
    prefix: str = "",
    query: str | None = None,
    body: object = None,
    encoding: str = "",
    client: str | None = None,
) -> Exchange:
    """Return a client's request for `path`, below `prefix`. A `body` that is no bytes is sent as JSON."""
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


class NamedProvider(Provider):
    """A provider that only has a name."""

    def __init__(self, name: str) -> None:
        self.name = self.type = name

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest | None:
        raise AssertionError("it is never called")


def new_call(provider: str = "openai", model: str | None = "gpt-4o", **values: Any) -> Call:
    """Return a call to a provider of that name."""
    return Call(target=Target(provider=NamedProvider(provider), model=model), model=model, **values)


def ended(**changes: Any) -> Exchange:
    """Return a chat completion by `gpt-4o` that took a quarter of a second and went well, but for `changes`."""
    exchange = Exchange(
        id="5f" * 12,
        request_id="asked-1",
        method="POST",
        full_path="/v1/chat/completions",
        path="/v1/chat/completions",
        query=None,
        headers=Headers({"Content-Length": "42"}),
        client=Client(address="10.0.0.9", agent="sdk/1"),
        started_s=100.0,
        began_s=BEGAN_S,
        endpoint=CHAT,
        template="/v1/chat/completions",
        model="gpt-4o",
        calls=[new_call(url="https://h/v1/c", status=200, ended_s=0.2, first_byte_s=100.125)],
        status=200,
        outcome="complete",
        ended_s=100.25,
        sent_bytes=321,
        summary=Summary(model="gpt-4o", usage=Usage(input=1200, output=85), finish_reason="stop", complete=True),
    )
    return replace(exchange, **changes)

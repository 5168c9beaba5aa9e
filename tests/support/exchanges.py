"""Exchanges as they stand when they are over, for tests of what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmproxy.answer import Headers
from llmproxy.call import Attempt
from llmproxy.dialects.base import Summary, Usage
from llmproxy.dialects.endpoints import find
from llmproxy.exchange import Client, Exchange

CHAT = find("POST", "/chat/completions")
BEGAN_S = 1_700_000_000.25
BEGAN = "2023-11-14T22:13:20.250000Z"


def ended(**changes: Any) -> Exchange:
    """A chat completion by `gpt-4o` that took a quarter of a second and went well, but for `changes`."""
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
        attempts=[Attempt(provider="openai", model="gpt-4o", url="https://h/v1/c", status=200, ended_s=0.2)],
        status=200,
        outcome="complete",
        first_byte_s=100.125,
        ended_s=100.25,
        sent_bytes=321,
        summary=Summary(model="gpt-4o", usage=Usage(input=1200, output=85), finish_reason="stop", complete=True),
    )
    return replace(exchange, **changes)

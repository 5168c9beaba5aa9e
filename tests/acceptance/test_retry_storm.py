"""Many clients at once while all targets fail, and an SDK that waits as long as we say; over sockets."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream

CLIENTS = 1000
ASK = json.dumps({"model": "team", "messages": [{"role": "user", "content": "hi"}]}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(ASK), ASK)
FAILURE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class FailingTargets:
    """A server that answers each request with a 503, and counts them by path."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                self.calls[head.split(b" ")[1].decode().split("/")[1]] += 1
                writer.write(FAILURE)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def ask(port: int) -> int:
    """Return the status of the answer to one request on its own connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    writer.close()
    return status


@pytest.mark.long  # 5 s; the same without sockets is in tests/failover/test_attempt_series.py
@pytest.mark.ledger("L2")
async def test_a_thousand_clients_at_once_do_not_multiply_an_outage(tmp_path: Path) -> None:
    targets = FailingTargets()
    server = await asyncio.start_server(targets.serve, "127.0.0.1", 0, backlog=CLIENTS)
    port = server.sockets[0].getsockname()[1]
    providers = "".join(
        f'  - {{name: {name}, type: openai, base_url: "http://127.0.0.1:{port}/{name}/v1", api_key: k, models: []}}\n'
        for name in "abc"
    )
    config = f"""
providers:
{providers}
routing: {{retries: 5, retry_delay: 1ms, breaker: {{failures: 10000, failure_ratio: 0%}}}}
models: [{{name: team, strategy: round_robin, targets: [a, b, c]}}]
"""
    async with server:
        program = Program(tmp_path, config=config)
        await asyncio.to_thread(program.__enter__)
        try:
            statuses = await asyncio.gather(*(ask(program.port) for _ in range(CLIENTS)))
        finally:
            await asyncio.to_thread(program.__exit__, None, None, None)
    assert set(statuses) == {503}
    assert CLIENTS <= targets.calls.total() <= 1.2 * CLIENTS
    assert set(targets.calls) == set("abc")


def test_an_sdk_waits_as_long_as_we_say_and_then_succeeds(tmp_path: Path) -> None:
    with Upstream(vendors.answer) as upstream:
        used_up = ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "600ms")
        upstream.next(vendors.plain(vendors.chat("m"), ("x-ratelimit-limit-requests", "60"), *used_up))
        config = f"""
providers: [{{name: a, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: []}}]
routing: {{max_wait: 0}}
models: [{{name: team, targets: [a]}}]
"""
        with (
            Program(tmp_path, config=config) as program,
            openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=1) as client,
        ):
            client.chat.completions.create(model="team", messages=[{"role": "user", "content": "hi"}])
            raw = client.chat.completions.with_raw_response.create(
                model="team", messages=[{"role": "user", "content": "hi"}]
            )
            assert raw.retries_taken == 1 and raw.parse().choices
        assert len(upstream.requests) == 2

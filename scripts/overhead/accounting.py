"""Check the accounting of the proxy: /metrics against the number of requests, unique ids, open streams."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from scripts.overhead.load import PATH, Case, chat_body
from scripts.overhead.nginx import HELD_USER, INPUT_TOKENS, OUTPUT_TOKENS

EXACT_REQUESTS = 512
_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-client"}
ADMIN_KEY = "bench-admin"
"""What opens the pages of a server that asks for a key."""


def _page(port: int, path: str) -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {ADMIN_KEY}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The counters of chat completions in /metrics: complete answers, and their tokens."""

    answered: int
    input_tokens: int
    output_tokens: int

    def since(self, earlier: Totals) -> Totals:
        """Return the growth since `earlier`."""
        return Totals(
            answered=self.answered - earlier.answered,
            input_tokens=self.input_tokens - earlier.input_tokens,
            output_tokens=self.output_tokens - earlier.output_tokens,
        )


def expected(requests: int, case: Case) -> Totals:
    """Return the right counters for `requests`; streams of the upstream and the cache add no tokens."""
    counted = 0 if case.stream or case.cached else requests
    return Totals(answered=requests, input_tokens=counted * INPUT_TOKENS, output_tokens=counted * OUTPUT_TOKENS)


def read(port: int, path: str = PATH) -> Totals:
    """Read the proxy's /metrics, for the calls that they name `path`."""
    with urllib.request.urlopen(_page(port, "/metrics"), timeout=10) as reply:
        text = reply.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> int:
        return int(sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items()))

    return Totals(
        answered=total("http_requests_total", method="POST", path=path, status="200"),
        input_tokens=total("llmproxy_tokens_total", type="input"),
        output_tokens=total("llmproxy_tokens_total", type="output"),
    )


def settled(port: int, case: Case, is_settled: Callable[[Totals], bool]) -> Totals:
    """Read the counters until `is_settled` accepts them, for at most two seconds: exchanges are recorded last."""
    until_s = time.monotonic() + 2
    while not is_settled(totals := read(port, case.template)) and time.monotonic() < until_s:
        time.sleep(0.05)
    return totals


def losses(port: int) -> list[str]:
    """List the records that middlewares lost, from /health."""
    with urllib.request.urlopen(_page(port, "/health"), timeout=10) as reply:
        middlewares = json.load(reply)["middlewares"]
    return [f"{each['type']} lost {each['lost']} records" for each in middlewares if each.get("lost")]


def fill(port: int, case: Case) -> None:
    """Fill the cache with the answer to the requests of `case`."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{case.path}", case.body, _HEADERS)
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()


def misses(port: int) -> list[str]:
    """Report misses beyond the one that filled the cache."""
    with urllib.request.urlopen(_page(port, "/cache"), timeout=10) as reply:
        page = json.load(reply)
    return [f"{page['misses']} requests missed the cache"] if page["misses"] > page["entries"] else []


def accounting_errors(port: int, case: Case) -> list[str]:
    """Send a fixed number of requests of `case`, and compare the counters and ids."""
    time.sleep(0.5)  # for what an earlier client left behind
    before = read(port, case.template)

    def ask(numbers: range) -> list[str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        ids = []
        for number in numbers:
            connection.request("POST", case.path, case.body_of(number), _HEADERS)
            reply = connection.getresponse()
            reply.read()
            ids.append(reply.getheader("x-request-id") if reply.status == 200 else f"status {reply.status}")
        connection.close()
        return ids

    shares = [range(first, EXACT_REQUESTS, case.connections) for first in range(case.connections)]
    with ThreadPoolExecutor(case.connections) as pool:
        ids = [each for share in pool.map(ask, shares) for each in share]
    due = expected(len(ids), case)
    actual = settled(port, case, lambda now: now.since(before) == due).since(before)
    errors = [] if actual == due else [f"/metrics has {actual}, expected {due}"]
    if None in ids or len(set(ids)) != len(ids):
        errors.append(f"{len(ids)} answers have {len(set(ids) - {None})} different ids")
    return errors


async def with_open_streams(port: int, count: int, look: Callable[[], float]) -> float:
    """Return the result of `look` while `count` streams are open, each after its first token."""
    body = chat_body(1000, stream=True, user=HELD_USER).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())
    request = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    writers: list[asyncio.StreamWriter] = []

    async def open_one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(request)
        await reader.readuntil(b"token1")

    try:
        for _ in range(0, count, 50):  # what a listening socket takes at once
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(open_one())
        return look()
    finally:
        for writer in writers:
            writer.close()

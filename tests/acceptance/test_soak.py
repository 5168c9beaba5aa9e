"""A minute of everything at once: what is over leaves no task, socket, file or thread, and memory stays flat."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.ledger("C11"),
]
SECONDS = 60
WARM_UP_S = 20
CLIENTS = 6
MAX_GROWTH_BYTES = 2 * 1024 * 1024  # of the average, from the first third to the last

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
_INSPECTOR = """
import asyncio, threading
from llmproxy.middleware.base import Middleware

class Inspector(Middleware):
    async def stats(self):
        tasks = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
        threads = [thread.name.rpartition("_")[0] or thread.name for thread in threading.enumerate()]
        return {"tasks": sorted(tasks), "threads": sorted(set(threads))}
"""
_CONFIG = """
server: {{reload_on_change: false}}
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", api_key: sk-up, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: sk-ant-up}}
models:
  - {{name: team, targets: [{{provider: main, model: gpt-x, concurrent: 100}}, {{provider: claude, model: claude-x}}]}}
limits: [{{concurrent: 1000}}, {{requests: 10000000, per: 1m}}]
middlewares:
  - {{type: "./inspector.py:Inspector"}}
  - {{type: sessions, config: {{max_sessions: 20}}}}
  - {{type: cache, config: {{max_size: 1MB}}}}
  - {{type: trace, config: {{directory: ./traces, max_total_size: 64MB}}}}
{more}
"""
_RELOADS = (
    "",
    "routing: {retries: 1, breaker: {failures: 7}}",
    "  - {type: audit, config: {path: ./audit.jsonl}}",
    "logging: {level: warning}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the program has open while nothing happens."""

    tasks: list[str]
    threads: list[str]
    descriptors: list[str]


def held(program: Program) -> Held:
    stats = program.get("/stats").json
    mine = next(value for name, value in stats.items() if "inspector" in name.lower())
    folder = Path(f"/proc/{program.pid}/fd")
    kinds = []
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            kinds.append(os.readlink(each).partition(":")[0])
    return Held(tasks=mine["tasks"], threads=mine["threads"], descriptors=sorted(kinds))


def request(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a call of any dialect to any of the models, most of them translated; a few are asked again."""
    model = dice.choice(["gpt-x", "claude-x", "team"])
    text = f"question {dice.randrange(200)}"
    stream = {"stream": dice.random() < 0.6}
    messages = [{"role": "user", "content": text}]
    match dice.randrange(3):
        case 0:
            return CHAT, {"model": model, "messages": messages, "temperature": 0, **stream}
        case 1:
            return MESSAGES, {"model": model, "messages": messages, "max_tokens": 100, **stream}
        case _:
            return RESPONSES, {"model": model, "input": text, "store": False, **stream}  # what is stored stays


def use(program: Program, number: int, over: threading.Event, statuses: list[int]) -> None:
    """Be one client after the other: some keep their connection, some leave in the middle."""
    dice = random.Random(number)
    while not over.is_set():
        with program.client() as client:
            for _ in range(dice.randrange(1, 20)):
                path, body = request(dice)
                over.wait(0.01)  # faster than any disk, the traces would wait in memory
                client.post(path, body, f"x-session-id: s{dice.randrange(30)}")
                if dice.random() < 0.1:
                    leave(client, dice)
                    break
                statuses.append(client.read_answer().status)


def leave(client: RawClient, dice: random.Random) -> None:
    if dice.random() < 0.5:
        client.read_head()
    client.reset() if dice.random() < 0.5 else client.close()


@contextlib.contextmanager
def traffic(program: Program) -> Iterator[list[int]]:
    """Traffic within the block. Yields the statuses of the answers."""
    statuses: list[int] = []
    over = threading.Event()
    clients = [threading.Thread(target=use, args=(program, number, over, statuses)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        yield statuses
    finally:
        over.set()
        for each in clients:
            each.join()


def test_a_minute_of_everything_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "inspector.py").write_text(_INSPECTOR, encoding="utf-8")
    with Upstream(vendors.answer) as upstream:
        config = _CONFIG.format(url=upstream.url, more="")
        with Program(tmp_path, config=config) as program:

            def reload(number: int) -> None:
                more = _RELOADS[number % len(_RELOADS)]
                (tmp_path / "llmproxy.yaml").write_text(_CONFIG.format(url=upstream.url, more=more), encoding="utf-8")
                assert program.post("/admin/reload", None).status == 200

            def quiet() -> Held:
                upstream.close_idle()
                return held(program)

            with traffic(program):
                reload(1)
                time.sleep(1)
            reload(0)
            until(lambda: program.metric("llmproxy_in_flight_requests") <= 1, "all exchanges to end")
            before = quiet()

            sizes: list[int] = []
            with traffic(program) as statuses:
                for number in range(SECONDS):
                    reload(number + 1)
                    upstream.forget()
                    time.sleep(1)
                    sizes.append(program.memory_bytes())
            reload(0)
            until(lambda: program.metric("llmproxy_in_flight_requests") <= 1, "all exchanges to end")
            until(lambda: program.metric("llmproxy_held_bytes") == 0, "everything held to be given back")
            until(lambda: quiet() == before, "nothing to be left")

    print(
        f"{len(statuses)} answers, memory from {sizes[0] >> 10} over {sizes[WARM_UP_S] >> 10} to {sizes[-1] >> 10} kB"
    )
    assert "Unclosed" not in program.err, program.err
    assert set(statuses) == {200} and len(statuses) > 20 * SECONDS
    third = (SECONDS - WARM_UP_S) // 3
    first, last = sizes[WARM_UP_S : WARM_UP_S + third], sizes[-third:]
    assert (sum(last) - sum(first)) / third < MAX_GROWTH_BYTES, sizes

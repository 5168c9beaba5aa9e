"""Cases of a Redis that answers wrongly, or holds what nobody of us wrote.

A relay stands between the program and a real server, and changes some answers; other cases change the stored values
themselves. Begin reading at `redis_answers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
from pathlib import Path
from random import Random
from typing import Any, Self

from redis import Redis, RedisError

from scripts.fuzzing import mutation, seeds
from scripts.fuzzing.exchanges import Sent, ask, judge
from scripts.fuzzing.programs import Programs
from tests.support.redis_server import RedisServer

_ANSWERS = (
    *(b"$-1\r\n", b"*-1\r\n", b"+OK\r\n", b"-ERR odd\r\n", b"-LOADING\r\n", b"-MOVED 1 x:1\r\n", b"-WRONGTYPE x\r\n"),
    *(
        b":9999999999999999999999\r\n",
        b"$5\r\nhel",
        b"*1\r\n*1\r\n*1\r\n$1\r\na\r\n",
        b"_\r\n",
        b"%1\r\n+a\r\n+b\r\n",
        b"!3\r\nERR\r\n",
    ),
    *(
        b"$4\r\n\xff\xfe\x00\x01\r\n",
        b"*3\r\n:1\r\n$1\r\nx\r\n*0\r\n",
        b"HTTP/1.1 400\r\n\r\n",
        b"\x00",
        b"+" + b"x" * 5000 + b"\r\n",
    ),
    *(
        b"$99999999999\r\n",
        b"*99999999\r\n",
        b"*-5\r\n",
        b"$-7\r\n",
        b"$x\r\n",
        b",inf\r\n",
        b"#t\r\n",
        b"(123456789\r\n",
        b"~1\r\n:1\r\n",
    ),
)


class Relay:
    """Passes bytes between the program and a Redis server; `changed` is how likely an answer is changed.

    Runs in a thread of its own, from `start` to the end of the process.
    """

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.rng = Random(0)
        self.changed = 0.0
        self.port = 0
        self._ready = threading.Event()

    def start(self) -> Self:
        """Begin to listen at `port`."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()
        return self

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, out = await asyncio.open_connection("127.0.0.1", self.server.port)
        with contextlib.suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, out, hostile=False))
                group.create_task(self._copy(inner, writer, hostile=True))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, hostile: bool) -> None:
        try:
            while data := await reader.read(1 << 16):
                if hostile and self.rng.random() < self.changed:
                    data = self._change(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def _change(self, data: bytes) -> bytes:
        match self.rng.randrange(3):
            case 0:
                return self.rng.choice(_ANSWERS)
            case 1:
                return mutation.flip_bytes(self.rng, data)
            case _:
                return mutation.cut(self.rng, data) + b"\r\n"


class _Stand:
    """The Redis server, its relay and the program of a run."""

    def __init__(self, programs: Programs) -> None:
        self.server = RedisServer(Path(tempfile.mkdtemp(prefix="llmproxy-fuzz-")))
        self.server.start()
        self.relay = Relay(self.server).start()
        programs.start("redis", redis=f"redis://127.0.0.1:{self.relay.port}/0")
        self.served = programs["redis"]
        programs.at_end(self.server.kill)


def redis_answers(rng: Random, programs: Programs, id_: str) -> None:
    """Send one request, with one wrong answer or value on its way. The client must not see it."""
    stand: _Stand = programs.once("redis", lambda: _Stand(programs))
    stand.relay.rng, stand.relay.changed = rng, 0.5 if rng.random() < 0.05 else 0.0
    if rng.random() < 0.6:
        with stand.server.client() as client, contextlib.suppress(RedisError):
            _change_values(rng, client)
    dialect, provider = rng.choice(seeds.NAMES), rng.choice("crm")
    streamed = rng.random() < 0.5
    value = rng.choice(seeds.REQUESTS[dialect][:4]) | {"model": f"{provider}/gpt-4o", "stream": streamed}
    if dialect == "responses" and rng.random() < 0.5:
        value |= {"store": True, "previous_response_id": "resp_1"} if rng.random() < 0.3 else {"store": True}
    try:
        fields = (f"x-session-id: s{rng.randrange(3)}",) if rng.random() < 0.5 else ()
        path = seeds.path_of(dialect, value["model"], stream=streamed)
        outcome = ask(stand.served, path, json.dumps(value).encode(), *fields, id_=id_)
        judge(dialect, seeds.DIALECT_OF[provider], outcome, Sent())
        if rng.random() < 0.2:
            for page in ("/sessions", "/cache", "/stats", "/metrics"):
                stand.served.get(page)
    finally:
        stand.relay.changed = 0.0
        stand.served.upstream.forget()


def _change_values(rng: Random, client: Redis) -> None:
    """Change some of what is stored: its bytes, its type, its fields."""
    keys: Any = client.keys("*")
    for key in rng.sample(sorted(keys), min(len(keys), 3)):
        kind: Any = client.type(key)
        if rng.random() < 0.15:
            client.delete(key)
            rng.choice(
                (lambda k: client.set(k, b"odd"), lambda k: client.lpush(k, b"x"), lambda k: client.sadd(k, b"x"))
            )(key)
        elif kind == b"string":
            data: Any = client.get(key)
            client.set(key, mutation.flip_bytes(rng, data) if rng.random() < 0.7 else mutation.cut(rng, data))
        elif kind == b"hash":
            fields: Any = client.hgetall(key)
            name = rng.choice(sorted(fields)) if fields else b"x"
            client.hset(key, name, mutation.flip_bytes(rng, fields.get(name, b"")))
        elif kind == b"zset":
            client.zadd(key, {rng.choice((b"\xff", b"", b"nobody")): rng.choice((0, 1e300, -1))})

"""Several replicas that act as one through a Redis, of the program as it is started; and what happens without it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Upstream
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")

CHAT = "/v1/chat/completions"
ASK = {"model": "team", "messages": [{"role": "user", "content": "hi"}]}
BREAKER = "retries: 0, breaker: {failures: 1, failure_ratio: 0%, recovery: 1s}"


class Account:
    """An account that keeps state, and knows its own ids alone. They have its name in them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made = 0

    async def __call__(self, call: Call) -> None:
        request = call.request
        body = json.loads(request.body) if request.body.startswith(b"{") else {}
        named = body.get("previous_response_id") or body.get("input_file_id") or self.name
        if request.method == "GET" and request.path.startswith("/v1/files/"):
            named = request.path
        if self.name not in named:
            await call.give(vendors.failure(404, "Not Found"))
            return
        self.made += 1
        if not request.path.endswith("/responses"):
            kind = "batch" if "/batches" in request.path else "file"
            await call.give(vendors.plain({"id": f"{kind}-{self.name}-{self.made}", "object": kind}))
            return
        identity = f"resp_{self.name}_{self.made}".encode()
        reply = vendors.reply_to(request)
        pieces = [piece.replace(b"resp_fake", identity) for piece in reply.pieces if isinstance(piece, bytes)]
        await call.give(replace(reply, pieces=pieces))


def _answerer(program: Program, ask: object) -> str | None:
    return program.post(CHAT, ask).value("x-llmproxy-provider")


def _is_back(program: Program, ask: object) -> bool:
    return _answerer(program, ask) == "east"


@contextlib.contextmanager
def replicas(directory: Path, store: str, upstreams: tuple[Upstream, Upstream]) -> Iterator[list[Program]]:
    """Two programs with the same two providers, `east` and `west`, in turn; their state is in `store`."""
    providers = "".join(
        f'  - {{name: {name}, type: openai, base_url: "{upstream.url}/v1", api_key: k-{name}, models: []}}\n'
        for name, upstream in zip(("east", "west"), upstreams, strict=True)
    )
    config = f"""
providers:
{providers}
stores: {{default: {json.dumps(store)}}}
routing: {{{BREAKER}}}
models:
  - {{name: team, strategy: round_robin, targets: [east, west]}}
  - {{name: first, targets: [east, west]}}
"""
    with contextlib.ExitStack() as stack:
        programs = []
        for name in ("a", "b"):
            (directory / name).mkdir()
            programs.append(stack.enter_context(Program(directory / name, config=config)))
        yield programs


@pytest.fixture
def accounts() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream(Account("east")) as east, Upstream(Account("west")) as west:
        yield east, west


@pytest.mark.ledger("L5")
@pytest.mark.ledger("H4")
def test_what_an_account_made_goes_back_to_it_from_every_replica(
    tmp_path: Path, accounts: tuple[Upstream, Upstream]
) -> None:
    with RedisServer(tmp_path) as server, replicas(tmp_path, server.url, accounts) as programs:
        clients = [openai.OpenAI(base_url=f"{each.url}/v1", api_key="dummy", max_retries=0) for each in programs]
        here, there = clients
        previous = here.responses.create(model="team", input="hi").id
        for turn in range(6):
            client = clients[turn % 2]
            if turn % 3:
                previous = client.responses.create(model="team", input="on", previous_response_id=previous).id
            else:
                with client.responses.stream(model="team", input="on", previous_response_id=previous) as stream:
                    previous = stream.until_done().get_final_response().id
        assert [upstream.default.made for upstream in accounts] in ([7, 0], [0, 7])  # type: ignore[union-attr]  # ours
        file = here.with_options(default_headers={"x-llmproxy-provider": "west"}).files.create(
            file=b"{}", purpose="batch"
        )
        assert file.id.startswith("file-west")
        assert there.files.retrieve(file.id).id.startswith("file-west")
        batch = there.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
        assert "west" in batch.id
        stranger = openai.OpenAI(base_url=f"{programs[1].url}/v1", api_key="another", max_retries=0)
        with pytest.raises(openai.NotFoundError):  # it goes the ordinary way, to east
            stranger.files.retrieve(file.id)
        for client in (*clients, stranger):
            client.close()


@pytest.mark.ledger("L5")
def test_a_target_that_fails_at_one_replica_is_out_at_all_and_probed_by_one(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as server,
        Upstream(vendors.failure(503, "X")) as east,
        Upstream(vendors.answer) as west,
        replicas(tmp_path, server.url, (east, west)) as (here, there),
        ThreadPoolExecutor(8) as pool,
    ):
        ask = {**ASK, "model": "first"}
        assert here.post(CHAT, ask).value("x-llmproxy-provider") == "west"
        until(lambda: there.metric("llmproxy_target_state", provider="east") == 2, "the breaker to open there")
        east.forget()
        east.hold()

        asked: list[Future[str | None]] = []

        def ask_both() -> bool:
            if all(each.done() for each in asked):
                asked[:] = [pool.submit(_answerer, program, ask) for program in (here, there)]
            return bool(east.requests)

        until(ask_both, "one of both to probe")
        held = east.take()
        others = [_answerer(each, ask) for each in (here, there, here, there)]
        assert others == ["west"] * 4 and len(east.requests) == 1
        held.give(vendors.reply_to(held.request))
        held.done()
        assert sorted(str(each.result()) for each in asked) == ["east", "west"]
        east.default = vendors.answer
        for program in (here, there):
            until(partial(_is_back, program, ask), "the target to be back")


def test_a_redis_that_dies_and_comes_back_fails_no_request(tmp_path: Path, accounts: tuple[Upstream, Upstream]) -> None:
    with (
        RedisServer(tmp_path) as server,
        replicas(tmp_path, server.url, accounts) as programs,
        openai.OpenAI(base_url=f"{programs[0].url}/v1", api_key="dummy", max_retries=0) as client,
    ):
        for number in range(30):
            if number == 10:
                server.kill()
            if number == 20:
                server.start()
            assert client.responses.create(model="team", input="hi").id
        until(lambda: not programs[0].get("/health").json["faults"], "the store to be used again")
        previous = client.responses.create(model="team", input="hi").id
        for _ in range(2):
            previous = client.responses.create(model="team", input="on", previous_response_id=previous).id

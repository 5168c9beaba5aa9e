"""Both sides break off at random: every request is still counted exactly once, and nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llmproxy.registry import names
from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Call, Reply, Script, Upstream, drop, reset
from tests.support.raw_http import RawClient
from tests.support.vendors import data_frame, plain, streamed
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
CLIENTS, REQUESTS = 8, 40


def _break_somewhere(dice: random.Random) -> Reply:
    """Return a stream in pieces, whole or cut, framed and ended somehow."""
    whole = b"".join(vendors.chat_frames("gpt-x", usage=True))
    cut = dice.random() < 0.4
    sent = whole[: dice.randrange(len(whole))] if cut else whole
    size = dice.choice([7, 100, 10_000])
    return Reply(
        headers=vendors.SSE,
        pieces=[sent[start : start + size] for start in range(0, len(sent), size)],
        framing=dice.choice(["chunked", "eof", "length"]),
        length=len(whole),
        end=dice.choice(["cut", "reset"]) if cut else dice.choice(["keep", "close"]),
    )


def _leave_somewhere(client: RawClient, dice: random.Random) -> None:
    moment = dice.random()
    if moment < 0.2:
        client.reset()
    elif moment < 0.4:
        client.read_head()
        client.reset() if dice.random() < 0.5 else client.close()
    else:
        client.read_answer()


async def _answer_somehow(call: Call) -> None:
    dice = random.Random(call.request.target)
    fate = dice.random()
    if fate < 0.1:
        await (drop if fate < 0.05 else reset)(call)
        return
    reply = _break_somewhere(dice)
    await call.give(reply)
    if reply.end == "cut":
        call.connection.fin()


def _use(relay: Program, number: int) -> None:
    for count in range(REQUESTS):
        with relay.client() as client, contextlib.suppress(ConnectionError):
            client.post(f"{CHAT}?{number}.{count}", {"model": "gpt-x", "stream": True})
            _leave_somewhere(client, random.Random(number * 1000 + count))


def test_whoever_breaks_off_every_request_is_counted_once(relay: Program, upstream: Upstream) -> None:
    upstream.next(*[_answer_somehow] * (2 * CLIENTS * REQUESTS))
    with counted(relay, "http_requests_total", CLIENTS * REQUESTS, path=CHAT):
        threads = [threading.Thread(target=_use, args=(relay, number)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(upstream.requests) > CLIENTS * REQUESTS / 2
    until(lambda: relay.metric("llmproxy_held_bytes") == 0, "everything held to be given back")


class Moody:
    """A fake provider that fails at random in every way, with the share `sick` of its answers. `given` counts the whole
    answers by the number of their request; each repeats that number in every event."""

    def __init__(self, name: str, sick: float) -> None:
        self.name = name
        self.sick = sick
        self.given: Counter[str] = Counter()
        self.failed = 0
        self._dice = random.Random(name)

    async def __call__(self, call: Call) -> None:
        body = json.loads(call.request.body)
        number = body["messages"][0]["content"]
        if self._dice.random() < self.sick:
            self.failed += 1
            await self._fail(call, body["stream"], number)
            return
        self.given[number] += 1
        await call.give(streamed(_frames(self.name, number)) if body["stream"] else plain(_reply(self.name, number)))

    async def _fail(self, call: Call, stream: bool, number: str) -> None:
        fate = self._dice.randrange(7)
        half = b"".join(_frames(self.name, number))[:25] if stream else b'{"id": "half'
        if fate == 0:
            await drop(call)
        elif fate == 1:
            await reset(call)
        elif fate == 2:
            await call.connection.left.wait()  # it hangs
        elif fate == 3:  # the answer breaks off before anything of it is certain
            headers = vendors.SSE if stream else (("Content-Type", "application/json"),)
            await call.give(Reply(headers=headers, pieces=[half], length=5000, end=self._dice.choice(["cut", "reset"])))
        elif fate == 4 and stream:
            error: dict[str, object] = {"message": f"overloaded {number}", "type": "server_error", "code": 503}
            await call.give(streamed([data_frame({"error": error})]))
        else:
            status = self._dice.choice([408, 429, 500, 502, 503, 504, 529])
            await call.give(vendors.failure(status, "X", ("Retry-After", self._dice.choice(["1", "-3", "x", "1e12"]))))


def _reply(name: str, number: str) -> dict[str, object]:
    message = {"role": "assistant", "content": f"{name}:{number}"}
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def _frames(name: str, number: str) -> list[bytes]:
    words = [f"{name}:{number} "] * 5
    deltas: list[dict[str, object]] = [
        {"index": 0, "delta": {"content": word}, "finish_reason": None} for word in words
    ]
    deltas.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return [*(data_frame({"id": "c", "choices": [delta]}) for delta in deltas), b"data: [DONE]\n\n"]


_TEAM = """
routing: {{retry_delay: 5ms, breaker: {{recovery: 300ms, max_recovery: 600ms}}}}
providers:
{providers}
models:
  - {{name: team, strategy: {strategy}, targets: [p0, p1, p2, p3]}}
"""


@contextlib.contextmanager
def _team(directory: Path, scripts: Sequence[Script], strategy: str = "weighted") -> Iterator[Program]:
    with contextlib.ExitStack() as stack:
        upstreams = [stack.enter_context(Upstream(script)) for script in scripts]
        providers = "\n".join(
            f'  - {{name: p{place}, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: [],'
            " timeouts: {first_byte: 2s, idle: 2s}}"
            for place, upstream in enumerate(upstreams)
        )
        config = _TEAM.format(providers=providers, strategy=strategy)
        yield stack.enter_context(Program(directory, config=config))


def _ask_all(program: Program, count: int, answers: dict[str, tuple[int, bytes]]) -> None:
    """Send so many requests from sixteen clients, half of them for streams."""

    def work(first: int) -> None:
        with program.client(30) as client:
            for number in range(first, count, 16):
                messages = [{"role": "user", "content": f"n{number}."}]
                client.post(CHAT, {"model": "team", "stream": number % 2 == 0, "messages": messages})
                answer = client.read_answer()
                answers[f"n{number}."] = answer.status, answer.body

    threads = [threading.Thread(target=work, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.ledger("L1")
@pytest.mark.parametrize(
    ("strategy", "count"),
    [("weighted", 500), *(pytest.param(name, 2000, marks=pytest.mark.long) for name in names("strategies"))],
)
def test_while_one_target_is_well_no_client_sees_an_error(tmp_path: Path, strategy: str, count: int) -> None:
    moods = [Moody(f"p{place}", 0.6) for place in range(3)] + [Moody("p3", 0.0)]
    answers: dict[str, tuple[int, bytes]] = {}
    with _team(tmp_path, moods, strategy) as program:
        _ask_all(program, count, answers)
        until(lambda: program.metric("llmproxy_held_bytes") == 0, "everything held to be given back")
    assert sum(mood.failed for mood in moods) > 5
    assert {status for status, _ in answers.values()} == {200} and len(answers) == count
    for number, (_, body) in answers.items():
        [owner] = [mood for mood in moods if mood.given[number]]
        assert owner.given[number] == 1  # nobody else answered it, and nobody twice
        assert body in (b"".join(_frames(owner.name, number)), json.dumps(_reply(owner.name, number)).encode())


def test_a_stream_that_is_cut_after_its_first_event_ends_with_one_error(tmp_path: Path) -> None:
    async def cut(call: Call) -> None:
        frames = _frames("x", json.loads(call.request.body)["messages"][0]["content"])
        await call.give(Reply(headers=vendors.SSE, pieces=[b"".join(frames[:2])], framing="chunked", end="cut"))

    answers: dict[str, tuple[int, bytes]] = {}
    with _team(tmp_path, [cut] * 4) as program:
        _ask_all(program, 16, answers)
    streams = {number: body for number, (_, body) in answers.items() if int(number[1:-1]) % 2 == 0}
    for number, body in streams.items():
        assert body.startswith(b"".join(_frames("x", number)[:2]))
        assert body.count(b'"error"') == 1

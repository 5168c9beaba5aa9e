from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.client_request import Client
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.trace import CaptureBudget, Trace
from llmproxy.redaction.names import MASK
from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.provider import Gate, Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, provider
from tests.support.waiting import until

Json = dict[str, Any]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


class Tracing:
    """A server that traces into `directory`; `records` are those of all exchanges that are over by then."""

    def __init__(self, directory: Path, upstream: Upstream, *others: Middleware, **settings: Any) -> None:
        self.directory = directory / "traces"
        config = Trace.Config.model_validate({"directory": str(self.directory), **settings})
        self.trace = Trace(config)
        self.server = Listening(provider(upstream), middlewares=[self.trace, *others])

    def __enter__(self) -> Listening:
        self.server.__enter__()
        self.server.begin(self.trace.start()).result(10)
        return self.server

    def __exit__(self, *fault: Any) -> None:
        self.server.begin(self.trace.close()).result(15)
        self.server.__exit__(*fault)

    def records(self) -> list[Json]:
        files = sorted(path for path in self.directory.rglob("*") if path.is_file())
        found = [json.loads(line) for file in files for line in self._texts(file)]
        return sorted(found, key=lambda record: str(record["started"]))

    def _texts(self, file: Path) -> list[str]:
        text = file.read_text(encoding="utf-8")
        return text.split("\n")[:-1] if file.suffix == ".jsonl" else [text]


def written(directory: Path) -> list[Json]:
    """The records below `directory`."""
    return [json.loads(path.read_bytes()) for path in sorted(directory.rglob("*.json"))]


def one(tracing: Tracing, value: object = ASK, *headers: str) -> Json:
    """The record of one exchange."""
    with tracing as server:
        server.post(value, *headers)
        server.wait_ended()
    [record] = tracing.records()
    return record


def test_a_record_tells_what_was_asked_and_answered(tmp_path: Path, upstream: Upstream) -> None:
    tracing = Tracing(tmp_path, upstream)
    with tracing as server:
        answer = server.post({"model": "gpt-x", "messages": [], "n": 1.50})
    [record] = tracing.records()
    assert record["request"]["body"] == {"model": "gpt-x", "messages": [], "n": 1.5}
    assert record["request"]["headers"]["host"] == "test.local"
    assert record["response"]["body"]["object"] == "chat.completion"
    assert record["response"]["headers"]["openai-processing-ms"] == "7"
    assert (record["response"]["body"], record["response"]["size"]) == (answer.json, len(answer.body))


def test_the_directory_is_one_below_that_of_the_process_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Trace(Trace.Config()).describe()["directory"] == str(tmp_path / "traces")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert Trace(Trace.Config(directory="~/t")).describe()["directory"] == str(tmp_path / "home" / "t")
    assert list(tmp_path.iterdir()) == [], "the constructor has no side effects"


def test_a_format_of_one_file_per_day(tmp_path: Path, upstream: Upstream) -> None:
    tracing = Tracing(tmp_path, upstream, format="jsonl")
    assert one(tracing)["request"]["body"] == ASK
    assert [path.suffix for path in tracing.directory.iterdir()] == [".jsonl"]


def test_headers_may_be_left_out(tmp_path: Path, upstream: Upstream) -> None:
    record = one(Tracing(tmp_path, upstream, include_headers=False))
    assert (record["request"]["headers"], record["response"]["headers"]) == (None, None)
    assert record["request"]["body"] == ASK


@pytest.mark.parametrize("stream", [False, True])
def test_bodies_may_be_left_out(tmp_path: Path, upstream: Upstream, stream: bool) -> None:
    record = one(Tracing(tmp_path, upstream, include_body=False), {**ASK, "stream": stream})
    for part in (record["request"], record["response"]):
        assert (part["body"], part["format"], part["truncated"]) == (None, None, False)
        assert part["size"] > 0
    assert record["response"]["chunks"] is None


def test_long_bodies_are_cut_and_marked(tmp_path: Path, upstream: Upstream) -> None:
    record = one(Tracing(tmp_path, upstream, max_body_size="100B"), {**ASK, "user": "x" * 1000})
    assert record["request"]["truncated"] and record["response"]["truncated"]
    assert len(record["request"]["body"]) == len(record["response"]["body"].encode()) == 100
    assert record["request"]["size"] > 1000


def test_long_streams_are_cut_and_marked(tmp_path: Path, upstream: Upstream) -> None:
    record = one(Tracing(tmp_path, upstream, max_body_size="300B"), {**ASK, "stream": True})
    assert record["response"]["truncated"]
    assert sum(len(chunk["text"].encode()) for chunk in record["response"]["chunks"]) == 300


def test_a_body_of_exactly_the_limit_is_whole(tmp_path: Path, upstream: Upstream) -> None:
    size = len(json.dumps(ASK))
    assert one(Tracing(tmp_path, upstream, max_body_size=size))["request"]["truncated"] is False


@pytest.mark.parametrize(("part", "expected"), [(0.0, 0), (1.0, 200), (0.25, 50)])
def test_a_part_of_the_exchanges_is_enough(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, part: float, expected: int
) -> None:
    dice = random.Random(5)
    monkeypatch.setattr(random, "random", dice.random)
    tracing = Tracing(tmp_path, upstream, sample=part)
    with tracing as server, server.client() as client:
        for _ in range(200):
            client.post(CHAT, ASK)
            client.read_answer()
    assert abs(len(tracing.records()) - expected) <= (20 if 0 < part < 1 else 0)


def test_only_failures_may_be_recorded(tmp_path: Path, upstream: Upstream) -> None:
    tracing = Tracing(tmp_path, upstream, only_errors=True)
    with tracing as server:
        server.post()
        server.post({"model": "unknown"})
        upstream.next(vendors.failure(500, "Oh"))
        server.post()
        server.wait_ended(3)
        assert tracing.trace._buffer.used_bytes >= 0
    assert [record["status"] for record in tracing.records()] == [404, 500]


def test_paths_are_masked_on_both_sides_and_in_streams(tmp_path: Path, upstream: Upstream) -> None:
    paths = ["messages[*].content", "choices[*].delta.content"]
    asked = {"model": "gpt-x", "messages": [{"role": "user", "content": "private"}], "stream": True}
    record = one(Tracing(tmp_path, upstream, redact=paths), asked)
    assert record["request"]["body"]["messages"] == [{"role": "user", "content": MASK}]
    text = "".join(chunk["text"] for chunk in record["response"]["chunks"])
    assert "Süden" not in text and MASK in text
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["a b", "request.user", "messages[x]"])
def test_a_path_with_a_mistake_is_a_mistake_of_the_configuration(path: str) -> None:
    with pytest.raises(ValidationError, match="is not a path"):
        Trace.Config(redact=[path])


@pytest.mark.parametrize(
    "settings",
    [
        {"sample": 1.5},
        {"sample": -0.1},
        {"max_body_size": 0},
        {"max_age": 0},
        {"max_total_size": 0},
        {"format": "xml"},
        {"directory": ""},
        {"dir": "x"},
    ],
)
def test_other_mistakes_are_too(settings: Json) -> None:
    with pytest.raises(ValidationError):
        Trace.Config.model_validate(settings)


def test_files_beyond_an_age_or_a_size_are_removed(tmp_path: Path, upstream: Upstream) -> None:
    for day, age in (("2020-01-01", "max_age"), ("2020-01-02", "max_total_size")):
        old = tmp_path / age / "traces" / day / "120000.000-a1.json"
        old.parent.mkdir(parents=True)
        old.write_bytes(b"{}" * 50_000)
        tracing = Tracing(tmp_path / age, upstream, **{age: "30d" if age == "max_age" else "50KB"})
        record = one(tracing)
        assert record["request"]["body"] == ASK
        assert not old.parent.exists()


class Changing(Middleware):
    """Changes what goes upstream."""

    def __init__(self) -> None:
        super().__init__(self.Config())

    async def on_request(self, exchange: Exchange) -> Answer | None:
        exchange.headers["x-added"] = "yes"
        exchange.held.replace("user", b'"changed"')
        if "x-refuse" in exchange.headers:
            raise BadRequest("no")
        return None


@pytest.mark.parametrize("headers", [(), ("x-refuse: 1",)])
def test_the_request_is_what_the_client_sent(tmp_path: Path, upstream: Upstream, headers: tuple[str, ...]) -> None:
    record = one(Tracing(tmp_path, upstream, Changing()), {**ASK, "user": "me"}, *headers)
    assert record["request"]["body"] == {**ASK, "user": "me"}
    assert "x-added" not in record["request"]["headers"]
    assert record["status"] == (400 if headers else 200)


def test_uploads_that_pass_through_are_recorded_too(tmp_path: Path, upstream: Upstream) -> None:
    tracing = Tracing(tmp_path, upstream, max_body_size="1KB")
    data = b"--b\r\n\r\n" + b"\xff\x00" * 100_000
    with tracing as server, server.client() as client:
        client.request("POST", "/main/v1/files", "Content-Type: multipart/form-data; boundary=b", body=data)
        client.read_answer()
    [record] = tracing.records()
    assert (record["request"]["size"], record["request"]["format"]) == (len(data), "base64")
    assert record["request"]["truncated"]
    assert upstream.only.body == data


def test_compressed_bodies_are_shown_decoded(tmp_path: Path, upstream: Upstream) -> None:
    wire = compress(b'{"answer":1}', "gzip")
    upstream.next(Reply(headers=(*vendors.JSON, ("Content-Encoding", "gzip")), pieces=[wire]))
    tracing = Tracing(tmp_path, upstream)
    with tracing as server, server.client() as client:
        asked = compress(json.dumps(ASK).encode(), "zstd")
        lines = ("Content-Type: application/json", "Content-Encoding: zstd", "Accept-Encoding: gzip")
        client.request("POST", CHAT, *lines, body=asked)
        client.read_answer()
    [record] = tracing.records()
    assert (record["request"]["body"], record["request"]["size"]) == (ASK, len(asked))
    assert (record["response"]["body"], record["response"]["size"]) == ({"answer": 1}, len(wire))


def test_a_client_that_leaves_is_recorded_with_what_it_got(tmp_path: Path, upstream: Upstream) -> None:
    gate = Gate()
    begin = b'data: {"choices":[]}\n\n'
    upstream.next(Reply(headers=vendors.SSE, pieces=[begin, gate], framing="chunked"))
    tracing = Tracing(tmp_path, upstream)
    with tracing as server:
        with server.client() as client:
            client.post(CHAT, {**ASK, "stream": True})
            client.read_head()
            client.read_chunk()
        server.wait_ended()
        gate.open()
    [record] = tracing.records()
    assert (record["outcome"], record["complete"]) == ("cancelled", False)
    assert [chunk["text"].encode() for chunk in record["response"]["chunks"]] == [begin]


def test_the_state_tells_where_records_go_and_what_was_lost(tmp_path: Path, upstream: Upstream) -> None:
    tracing = Tracing(tmp_path, upstream)
    tracing.directory.write_text("in the way")
    with tracing as server:
        server.post()
        until(lambda: tracing.trace.describe()["lost"] == 1, "the loss")
        state = tracing.trace.describe()
    assert state["directory"] == str(tracing.directory)
    assert "traces" in str(state["fault"])


def made(body: bytes) -> Exchange:
    exchange = Exchange(
        id=f"{random.getrandbits(96):024x}",
        method="POST",
        full_path=CHAT,
        path=CHAT,
        query=None,
        headers=Headers(),
        client=Client(address="127.0.0.1"),
        started_s=time.monotonic(),
        began_s=time.time(),
        body=Body(body),
    )
    exchange.ended_s, exchange.outcome, exchange.status = exchange.started_s, "complete", 200
    return exchange


async def test_all_bodies_together_have_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.middleware.trace.BUFFER_BYTES", 25_000)
    trace = Trace(Trace.Config(directory=str(tmp_path)))
    running = [made(b"x" * 10_000) for _ in range(4)]
    for exchange in running:
        await trace.on_request(exchange)
    for exchange in running:
        trace.on_chunk(exchange, b"y" * 1000)
        trace.on_end(exchange)
    await trace.start()
    await trace.close()
    records = written(tmp_path)
    assert len(records) == 4
    assert sorted(record["request"]["truncated"] for record in records) == [False, False, True, True]
    assert all(record["request"]["size"] == 10_000 for record in records)
    assert trace._buffer.used_bytes == 0


async def test_nothing_is_kept_of_what_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.middleware.trace.BUFFER_BYTES", 100_000)
    settings: list[Json] = [{}, {"only_errors": True}, {"sample": 0.5}, {"include_body": False}]
    for each in settings:
        trace = Trace(Trace.Config.model_validate({"directory": str(tmp_path), **each}))
        for _ in range(10):
            exchange = made(b"x" * 10_000)
            await trace.on_request(exchange)
            trace.on_chunk(exchange, b"y")
            trace.on_end(exchange)
            assert not any(key.startswith("llmproxy.trace") for key in exchange.notes)
        await trace.start()
        await trace.close()
        assert trace._buffer.used_bytes == 0


async def test_a_crowded_queue_slows_requests_down_and_then_loses(tmp_path: Path) -> None:
    trace = Trace(Trace.Config(directory=str(tmp_path)))
    calm = asyncio.get_running_loop().time
    for _ in range(10_001):
        exchange = made(b"")
        trace.on_end(exchange)
    assert trace.describe()["lost"] == 1
    before = calm()
    await trace.on_request(made(b""))
    assert calm() - before >= 0.04
    await trace.start()
    await trace.close()


def test_the_buffer_counts_both_ways() -> None:
    buffer = CaptureBudget(10)
    steps: list[Callable[[], bool]] = [lambda: buffer.take(6), lambda: buffer.take(6), lambda: buffer.take(4)]
    assert [step() for step in steps] == [True, False, True]
    buffer.give(6)
    buffer.untake(4)
    assert buffer.used_bytes == 0

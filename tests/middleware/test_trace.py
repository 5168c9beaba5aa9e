from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody, iterate
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.middleware.trace import CaptureBudget, Trace
from llmproxy.records.trace_reader import TraceReader
from llmproxy.redaction.names import MASK
from llmproxy.wire.compression import compress
from llmproxy.wire.repeated_json import JsonMemory
from llmproxy.wire.sse import SSE
from tests.support import vendors
from tests.support.exchanges import ended
from tests.support.hooks import run_hooks
from tests.support.pieces import Pieces
from tests.support.trace_stores import conversation
from tests.support.waiting import until_async

Json = dict[str, Any]

ASK = {"model": "gpt-x", "messages": [{"role": "user", "content": "Hi"}]}
REPLY = json.dumps(vendors.chat("gpt-x")).encode()
FRAMES = vendors.chat_frames("gpt-x")


def exchange(request: object = ASK, *, stream: bool = False, **changes: Any) -> Exchange:
    """Return a finished chat completion; `id` makes it different from others."""
    answer = Answer(status=200, headers=Headers({"Content-Type": "x/y"}), framing=SSE if stream else None)
    return ended(**{"body": Body(json.dumps(request).encode()), "answer": answer, **changes})


def trace_into(directory: Path, **settings: Any) -> Trace:
    return Trace(Trace.Config.model_validate({"directory": str(directory), **settings}))


async def recorded(directory: Path, *exchanges: Exchange, chunks: Sequence[bytes] = (REPLY,), **settings: Any) -> Json:
    """Return the last record after tracing `exchanges` into `directory`."""
    await run_hooks(trace_into(directory, **settings), *exchanges, chunks=chunks)
    return written(directory)[-1]


def written(directory: Path) -> list[Json]:
    """Return the records below `directory`."""
    return [json.loads(path.read_bytes()) for path in sorted(directory.rglob("*.json*"))]


async def test_a_record_holds_request_and_answer(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange({"model": "gpt-x", "messages": [], "n": 1.50}))
    assert record["request"]["body"] == {"model": "gpt-x", "messages": [], "n": 1.5}
    assert record["request"]["headers"] == {"content-length": "42"}
    assert record["response"]["headers"] == {"content-type": "x/y"}
    assert (record["response"]["body"], record["response"]["size"]) == (json.loads(REPLY), len(REPLY))


def test_the_directory_is_one_below_that_of_the_process_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Trace(Trace.Config()).describe()["directory"] == str(tmp_path / "traces")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert Trace(Trace.Config(directory="~/t")).describe()["directory"] == str(tmp_path / "home" / "t")
    assert list(tmp_path.iterdir()) == [], "the constructor has no side effects"


async def test_a_format_of_one_file_per_day(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange(), format="jsonl")
    assert record["request"]["body"] == ASK
    assert [name[10:] for name in os.listdir(tmp_path)] == [".jsonl"]


async def test_headers_may_be_left_out(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange(), include_headers=False)
    assert (record["request"]["headers"], record["response"]["headers"]) == (None, None)
    assert record["request"]["body"] == ASK


@pytest.mark.parametrize("settings", [{}, {"dedupe": True}, {"dedupe": False}])
def test_a_format_of_one_database(tmp_path: Path, settings: Json) -> None:
    memory, bodies = JsonMemory(), [*conversation("a", 2)]
    turns = [exchange(id=f"a{at}", body=Body(raw, memory=memory, turns="messages")) for at, raw in enumerate(bodies)]
    asyncio.run(run_hooks(trace_into(tmp_path, format="sqlite", **settings), *turns, chunks=[REPLY]))
    assert os.listdir(tmp_path) == ["traces.sqlite"]
    traces = TraceReader(str(tmp_path))
    assert [json.loads(text)["request"]["body"] for text in traces.texts(traces.entries())] == [
        *map(json.loads, bodies)
    ]
    with closing(sqlite3.connect(tmp_path / "traces.sqlite")) as connection:
        (pieces,) = connection.execute("SELECT count(*) FROM pieces").fetchone()
    assert pieces == (0 if settings.get("dedupe") is False else 56)


async def test_a_database_that_can_never_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "traces.sqlite").mkdir()
    with pytest.raises(ProxyError, match=r"traces.sqlite: is a directory; set `directory`"):
        await trace_into(tmp_path, format="sqlite").start()


def test_a_format_that_cannot_dedupe_says_which_one_can() -> None:
    with pytest.raises(ValidationError, match="dedupe needs `format: sqlite`"):
        Trace.Config(format="jsonl", dedupe=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_bodies_may_be_left_out(tmp_path: Path, stream: bool) -> None:
    record = await recorded(tmp_path, exchange(stream=stream), include_body=False)
    for part in (record["request"], record["response"]):
        assert (part["body"], part["format"], part["truncated"]) == (None, None, False)
        assert part["size"] > 0
    assert record["response"]["chunks"] is None


async def test_long_bodies_are_cut_and_marked(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange({**ASK, "user": "x" * 1000}), max_body_size="100B")
    assert record["request"]["truncated"] and record["response"]["truncated"]
    assert len(record["request"]["body"]) == len(record["response"]["body"].encode()) == 100
    assert record["request"]["size"] > 1000


async def test_long_streams_are_cut_and_marked(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange(stream=True), chunks=FRAMES, max_body_size="300B")
    assert record["response"]["truncated"]
    assert sum(len(chunk["text"].encode()) for chunk in record["response"]["chunks"]) == 300


async def test_a_body_of_exactly_the_limit_is_whole(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange(), max_body_size=len(json.dumps(ASK)))
    assert record["request"]["truncated"] is False


@pytest.mark.parametrize(("part", "expected"), [(0.0, 0), (1.0, 200), (0.25, 50)])
async def test_a_part_of_the_exchanges_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: float, expected: int
) -> None:
    monkeypatch.setattr(random, "random", random.Random(5).random)
    await run_hooks(trace_into(tmp_path, sample=part), *(exchange(id=f"{number:024x}") for number in range(200)))
    assert abs(len(written(tmp_path)) - expected) <= (20 if 0 < part < 1 else 0)


async def test_only_failures_may_be_recorded(tmp_path: Path) -> None:
    cases = [exchange(id="a"), exchange(id="b", status=404), exchange(id="c", error=UpstreamError("Oh"), status=502)]
    trace = trace_into(tmp_path, only_errors=True)
    await run_hooks(trace, *cases, chunks=[REPLY])
    assert [record["status"] for record in written(tmp_path)] == [404, 502]
    assert trace._buffer.used_bytes == 0


async def test_paths_are_masked_on_both_sides_and_in_streams(tmp_path: Path) -> None:
    paths = ["messages[*].content", "choices[*].delta.content"]
    record = await recorded(tmp_path, exchange(stream=True), chunks=FRAMES, redact=paths)
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
        {"dedupe": True},
        {"format": "jsonl", "dedupe": True},
        {"directory": ""},
        {"dir": "x"},
    ],
)
def test_other_mistakes_are_too(settings: Json) -> None:
    with pytest.raises(ValidationError):
        Trace.Config.model_validate(settings)


@pytest.mark.parametrize("settings", [{"max_age": "30d"}, {"max_total_size": "50KB"}])
async def test_files_beyond_an_age_or_a_size_are_removed(tmp_path: Path, settings: Json) -> None:
    old = tmp_path / "2020-01-01" / "120000.000-a1.json"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"{}" * 50_000)
    await run_hooks(trace_into(tmp_path, **settings), exchange(began_s=time.time()))
    assert not old.parent.exists()
    assert [record["request"]["body"] for record in written(tmp_path)] == [ASK]


async def test_the_request_is_what_the_client_sent(tmp_path: Path) -> None:
    trace, request = trace_into(tmp_path), exchange({**ASK, "user": "me"})
    await trace.on_request(request)
    request.headers["x-added"] = "yes"
    request.held.replace("user", b'"changed"')
    trace.on_end(request)
    await trace.start()
    await trace.close()
    [record] = written(tmp_path)
    assert record["request"]["body"] == {**ASK, "user": "me"}
    assert "x-added" not in record["request"]["headers"]


async def test_uploads_that_pass_through_are_recorded_too(tmp_path: Path) -> None:
    trace, data = trace_into(tmp_path, max_body_size="1KB"), b"--b\r\n\r\n" + b"\xff\x00" * 100_000
    upload = StreamedBody(stream=Pieces(data[:50_000], data[50_000:]), length=len(data))
    request = exchange(body=upload)
    await trace.on_request(request)
    assert b"".join([piece async for piece in iterate(upload.stream)]) == data
    trace.on_end(request)
    await trace.start()
    await trace.close()
    [record] = written(tmp_path)
    assert (record["request"]["size"], record["request"]["format"]) == (len(data), "base64")
    assert record["request"]["truncated"]


async def test_compressed_bodies_are_shown_decoded(tmp_path: Path) -> None:
    sent, received = compress(json.dumps(ASK).encode(), "zstd"), compress(b'{"answer":1}', "gzip")
    answer = Answer(status=200, headers=Headers({"Content-Encoding": "gzip"}))
    record = await recorded(tmp_path, ended(body=Body(sent, "zstd"), answer=answer), chunks=[received])
    assert (record["request"]["body"], record["request"]["size"]) == (ASK, len(sent))
    assert (record["response"]["body"], record["response"]["size"]) == ({"answer": 1}, len(received))


async def test_a_client_that_leaves_is_recorded_with_what_it_got(tmp_path: Path) -> None:
    record = await recorded(tmp_path, exchange(stream=True, outcome="cancelled"), chunks=FRAMES[:1])
    assert (record["outcome"], record["complete"]) == ("cancelled", False)
    assert [chunk["text"].encode() for chunk in record["response"]["chunks"]] == FRAMES[:1]


async def test_the_state_reports_where_records_go_and_what_was_lost(tmp_path: Path) -> None:
    trace = trace_into(tmp_path / "traces")
    await trace.start()
    (tmp_path / "traces").rmdir()
    (tmp_path / "traces").write_text("in the way")
    trace.on_end(exchange())
    await until_async(lambda: trace.describe()["lost"] == 1, "the loss")
    state = trace.describe()
    await trace.close()
    assert state["directory"] == str(tmp_path / "traces")
    assert "traces" in str(state["fault"])


async def test_all_bodies_together_have_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.middleware.trace.BUFFER_BYTES", 25_000)
    trace = trace_into(tmp_path)
    running = [exchange(id=f"{number}", body=Body(b"x" * 10_000)) for number in range(4)]
    for each in running:
        await trace.on_request(each)
    for each in running:
        trace.on_chunk(each, b"y" * 1000)
        trace.on_end(each)
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
        trace = trace_into(tmp_path, **each)
        for _ in range(10):
            running = exchange(body=Body(b"x" * 10_000))
            await trace.on_request(running)
            trace.on_chunk(running, b"y")
            trace.on_end(running)
            assert not any(key.startswith("llmproxy.trace") for key in running.notes)
        await trace.start()
        await trace.close()
        assert trace._buffer.used_bytes == 0


async def test_a_crowded_queue_slows_requests_down_and_then_loses(tmp_path: Path) -> None:
    trace = trace_into(tmp_path)
    calm = asyncio.get_running_loop().time
    for _ in range(10_001):
        trace.on_end(exchange(body=None))
    assert trace.describe()["lost"] == 1
    before = calm()
    await trace.on_request(exchange(body=None))
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

from __future__ import annotations

import io
import json
import os
import re
import threading
from types import SimpleNamespace
from typing import Any, TextIO

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.dialects.catalog import find
from llmproxy.exchange import Exchange
from llmproxy.middleware import printer as module
from llmproxy.middleware.printer import Printer
from llmproxy.wire.sse import SSE
from tests.support import vendors
from tests.support.exchanges import ended
from tests.support.hooks import run_hooks
from tests.support.waiting import until_async

QUESTION = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is it?"}]}).encode()
REPLY = json.dumps(vendors.chat("m")).encode()


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    print_to(monkeypatch, out)
    return out


def print_to(monkeypatch: pytest.MonkeyPatch, stream: TextIO | None) -> None:
    """`stream` is standard output for the printer alone: pytest sets the real one as it likes."""
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=stream))


def configured(**settings: Any) -> Printer:
    return Printer(Printer.Config.model_validate(settings))


def talked(**changes: Any) -> Exchange:
    answer = Answer(status=200, headers=Headers({"Content-Type": "application/json"}))
    return ended(**{"body": Body(QUESTION), "answer": answer, **changes})


async def run(printer: Printer, *exchanges: Exchange, reply: bytes = REPLY) -> None:
    """Run the hooks for these exchanges; the reply arrives in two parts."""
    await run_hooks(printer, *exchanges, chunks=[reply[:50], reply[50:]])


async def test_by_default_an_exchange_is_one_line(out: io.StringIO) -> None:
    await run(configured(), talked(), talked())
    first, second = out.getvalue().splitlines()
    assert (
        first == second
        and " POST /v1/chat/completions gpt-4o " in first
        and re.search(r" 200 +\S+ tokens 1200/85", first)
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"log_requests": False}, [(False, True)]),
        ({"log_responses": False}, [(True, False)]),
        ({"log_requests": False, "log_responses": False}, []),
        ({"log_arrivals": True}, [(True, False), (True, True)]),
        ({"log_arrivals": True, "log_requests": False}, [(True, False), (False, True)]),
        ({"log_arrivals": True, "log_requests": False, "log_responses": False}, [(True, False)]),
    ],
)
async def test_each_half_can_be_left_out(
    out: io.StringIO, settings: dict[str, bool], expected: list[tuple[bool, bool]]
) -> None:
    await run(configured(**settings), talked())
    assert [("POST" in line, "tokens" in line) for line in out.getvalue().splitlines()] == expected


async def test_a_request_is_printed_before_its_end_when_answers_are_not(out: io.StringIO) -> None:
    printer = configured(log_responses=False)
    await printer.start()
    exchange = talked(ended_s=None)
    await printer.on_request(exchange)
    await until_async(lambda: "POST" in out.getvalue(), "the line")
    exchange.ended_s = 101.0
    printer.on_end(exchange)
    refused_early = talked(full_path="/nowhere", status=404)
    printer.on_end(refused_early)
    await printer.close()
    assert [line.split()[3] for line in out.getvalue().splitlines()] == ["/v1/chat/completions", "/nowhere"]


async def test_the_conversation_is_shown_when_it_is_wanted(out: io.StringIO) -> None:
    await run(configured(log_body=True), talked())
    line, *talk = out.getvalue().splitlines()
    assert "POST" in line and talk == ["    request: What is it?", f"    answer: {vendors.TEXT}"]


async def test_of_streams_too(out: io.StringIO) -> None:
    answer = Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), framing=SSE)
    await run(configured(log_body=True), talked(answer=answer), reply=b"".join(vendors.chat_frames("m")))
    assert f"    answer: {vendors.TEXT}" in out.getvalue()


async def test_images_and_files_are_no_conversations(out: io.StringIO) -> None:
    endpoint = find("POST", "/images/generations")
    assert endpoint is not None
    await run(configured(log_body=True), talked(endpoint=endpoint), talked(endpoint=None))
    assert len(out.getvalue().splitlines()) == 2


async def test_nothing_of_bodies_is_kept_when_nobody_wants_them(out: io.StringIO) -> None:
    exchange = talked()
    await run(configured(), exchange)
    assert REPLY[:50] not in [value for value in exchange.notes.values() if isinstance(value, bytes)]
    assert not [name for name in exchange.notes if "printer" in name]


async def test_conversations_that_wait_have_a_bound(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 2 * (len(REPLY) + len(QUESTION)))
    printer = configured(log_body=True)
    for _ in range(20):  # its thread is not running yet
        exchange = talked()
        printer.on_chunk(exchange, REPLY)
        printer.on_end(exchange)
    await printer.start()
    await until_async(lambda: out.getvalue().count("POST") == 20, "all lines")
    assert 1 <= out.getvalue().count("request:") < 10 and 1 <= out.getvalue().count("answer:") <= 2
    exchange = talked()
    printer.on_chunk(exchange, REPLY)
    printer.on_end(exchange)
    await printer.close()
    assert out.getvalue().splitlines()[-1] == f"    answer: {vendors.TEXT}", "there is room again"


async def test_secrets_known_early_do_not_hide_those_known_late(out: io.StringIO) -> None:
    exchange = talked(ended_s=None, headers=Headers({"x-api-key": "sk-first-one"}), model="sk-first-one sk-added-late")
    printer = configured(log_arrivals=True)
    await printer.start()
    await printer.on_request(exchange)
    exchange.headers["Authorization"] = "Bearer sk-added-late"
    exchange.ended_s = 101.0
    printer.on_end(exchange)
    await printer.close()
    arrival, end = out.getvalue().splitlines()
    assert "sk-first" not in arrival and "sk-" not in end


@pytest.mark.skipif(os.name == "nt", reason="a pipe of Windows cannot be filled like this")
async def test_a_reader_that_stands_still_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    stream = io.TextIOWrapper(io.FileIO(writing, "w"))
    print_to(monkeypatch, stream)
    printer = configured()
    await printer.start()
    for _ in range(3_000):  # a pipe holds 64 KB, some 500 lines
        printer.on_end(ended())
    assert printer.describe()["lost"] == 0
    received: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as pipe:
            received.extend(pipe)

    reader = threading.Thread(target=read)
    reader.start()
    await printer.close()
    stream.close()
    reader.join()
    assert len(received) == 3_000


async def test_a_closed_output_is_counted_and_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    print_to(monkeypatch, None)
    printer = configured()
    await printer.start()
    for expected in (1, 2, 3):
        printer.on_end(ended())
        await until_async(lambda expected=expected: printer.describe()["lost"] == expected, "a loss")  # type: ignore[misc]
    assert "standard output is closed" in str(printer.describe()["fault"])
    await printer.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        configured(log_everything=True)

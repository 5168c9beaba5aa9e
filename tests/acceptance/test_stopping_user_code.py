"""Whatever code of a user does, a signal ends the program in its time, and the log says what was left."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CHAT = "/v1/chat/completions"
ASK: dict[str, object] = {"model": "stub", "messages": [{"role": "user", "content": "hi"}]}
STUBBORN = """
import asyncio
import threading
import time

from llmproxy.middleware.base import Middleware
from llmproxy.settings import Strict


class Stubborn(Middleware):
    class Config(Strict):
        does: str

    async def start(self):
        if self.config.does == "thread":
            threading.Thread(target=time.sleep, args=(600,), name="mine").start()

    async def on_request(self, exchange):
        print("begun", flush=True)
        match self.config.does:
            case "swallow":
                while True:
                    try:
                        await asyncio.sleep(600)
                    except asyncio.CancelledError:
                        pass
            case "sleep":
                time.sleep(600)
            case "nap":
                time.sleep(1.5)
            case "executor":
                await asyncio.to_thread(time.sleep, 600)

    def on_end(self, exchange):
        print("on_end", exchange.outcome, flush=True)

    async def close(self):
        while self.config.does == "close":
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
"""
LINE = STUBBORN.splitlines().index("                        await asyncio.sleep(600)") + 1

_STOP_S = 2 * PATIENCE_S


def _serve(directory: Path, does: str, shutdown_timeout: str = "200ms") -> Program:
    (directory / "stubborn.py").write_text(STUBBORN)
    config = f"""
server: {{shutdown_timeout: {shutdown_timeout}}}
providers: [{{name: s, type: stub}}]
middlewares:
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: "./stubborn.py:Stubborn", config: {{does: {does}}}}}
"""
    return Program(directory, "serve", config=config)


def _end(program: Program, *, asks: bool, signals: int = 1, limit_s: float = PATIENCE_S) -> int:
    """Send a request and the signals; return the exit code, which comes within `limit_s`."""
    with program.client() as client:
        client.post(CHAT, ASK)
        if asks:
            until(lambda: "begun" in program.out, "the hook to begin")
        else:
            assert client.read_answer().status == 200
        for number in range(signals):
            program.signal(signal.SIGTERM)
            if number < signals - 1:
                until(lambda: "stopping" in program.err, "the stop to begin")
        return program.wait(limit_s)


@pytest.mark.parametrize(
    ("does", "asks", "words"),
    [
        ("swallow", True, f"on_request of middleware './stubborn.py:Stubborn' (DIR/stubborn.py, line {LINE})"),
        ("sleep", True, "blocked by on_request of middleware './stubborn.py:Stubborn'"),
        pytest.param("executor", True, "the thread 'uvloop_0'", marks=pytest.mark.long),
        pytest.param("thread", False, "the thread 'mine'", marks=pytest.mark.long),
        pytest.param(
            "close", False, "middleware './stubborn.py:Stubborn', which does not close", marks=pytest.mark.long
        ),
    ],
)
def test_it_ends_by_force_and_says_what_was_left(tmp_path: Path, does: str, asks: bool, words: str) -> None:
    with _serve(tmp_path, does) as program:
        program.expect_tracebacks("stubborn.py")
        assert _end(program, asks=asks) == 1
        [line] = [line for line in program.err.splitlines() if "forced to exit with code 1" in line]
        assert words.replace("DIR", str(tmp_path)) in line
        if does in ("swallow", "executor"):
            assert program.out.count("on_end") == 1
            assert list((tmp_path / "traces").glob("*/*.json")), "what was recorded is written"
        program._process.returncode = 0


@pytest.mark.parametrize("does", ["swallow", "sleep"])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, does: str) -> None:
    with _serve(tmp_path, does, f"{_STOP_S:g}s") as program:
        if does == "sleep":  # the loop does not say that it stops
            with program.client() as client:
                client.post(CHAT, ASK)
                until(lambda: "begun" in program.out, "the hook to begin")
                program.signal(signal.SIGTERM)
                program.signal(signal.SIGINT)
                assert program.wait(_STOP_S / 2) == 1
        else:
            assert _end(program, asks=True, signals=2, limit_s=_STOP_S / 2) == 1
        program._process.returncode = 0


def test_what_blocked_the_loop_is_named_with_its_seconds(tmp_path: Path) -> None:
    with _serve(tmp_path, "nap") as program:
        assert program.post(CHAT, ASK).status == 200
        line = STUBBORN.splitlines().index("                time.sleep(1.5)") + 1
        what = f"on_request of middleware './stubborn.py:Stubborn' ({tmp_path}/stubborn.py, line {line}) blocked the"
        until(lambda: what in program.err, "the warning")

"""What the printer of a running program shows: a line for each exchange, wherever standard output goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program, clean_environment
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import Cut, RawClient
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK: dict[str, object] = {"model": "gpt-x", "messages": [{"role": "user", "content": "What \x1b[2J is it?"}]}
STREAM = ASK | {"stream": True, "stream_options": {"include_usage": True}}
KEY, CLIENT_KEY = "sk-provider-3e9a", "sk-client-77b1"

pytestmark = pytest.mark.ledger("M3")


def config(upstream: Upstream, settings: str = "") -> str:
    return f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*"]}}
  - {{name: spare, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*"]}}
models:
  - {{name: fast, targets: [{{provider: main, model: gpt-a}}, {{provider: spare, model: gpt-b}}]}}
middlewares:
  - type: printer
    config: {{{settings}}}
"""


def lines(program: Program) -> list[str]:
    return [line for line in program.out.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]


def wait_lines(program: Program, count: int) -> list[str]:
    until(lambda: len(lines(program)) >= count, f"{count} lines")
    assert len(lines(program)) == count
    return lines(program)


def test_the_flag_prints_one_line_for_each_exchange(upstream: Upstream, tmp_path: Path) -> None:
    base = f"{upstream.url}/v1"
    arguments = ("serve", "--print", "--base-url", base, "--type", "openai", "--api-key", KEY)
    with Program(tmp_path, *arguments) as program:
        with openai.OpenAI(base_url=f"{program.url}/v1", api_key=CLIENT_KEY) as client:
            client.chat.completions.create(model="gpt-x", messages=[], extra_headers={"x-session-id": "talk-1"})
        program.get("/health")
        [line] = wait_lines(program, 1)
        wanted = (
            rf"POST +{CHAT} +gpt-x +\S+ +200 +\S+s tokens {vendors.IN} in \({vendors.CACHED} cached\), "
            rf"{vendors.OUT} out session talk-1$"
        )
        assert re.search(wanted, line)
        assert "\x1b" not in program.out, "no colours in a pipe"


def test_every_kind_of_end_has_its_line(upstream: Upstream, tmp_path: Path) -> None:
    with Program(tmp_path, config=config(upstream)) as program:
        program.post(CHAT, STREAM)
        [streamed] = wait_lines(program, 1)
        assert re.search(r" first \S+ms$", streamed)

        upstream.next(vendors.failure(500, "Oh"))
        program.post(CHAT, ASK | {"model": "fast"})
        failed_over = wait_lines(program, 2)[-1]
        assert " fast > gpt-b " in failed_over and " spare " in failed_over and failed_over.endswith(" 2 attempts")

        upstream.next(Reply(status=401, reason="No", headers=vendors.JSON, pieces=[refusal(KEY)]))
        program.post(CHAT, ASK, f"Authorization: Bearer {CLIENT_KEY}")
        refused = wait_lines(program, 3)[-1]
        assert " 401 " in refused and "error wrong key **********" in refused

        program.post("/nowhere", ASK)
        assert re.search(r" /nowhere +404 +\S+s error not_found: .*\(id [0-9a-f]{8}\)$", wait_lines(program, 4)[-1])

        upstream.next(Reply(headers=vendors.SSE, pieces=[b"data: {}\n\n", b"da"], framing="chunked", end="cut"))
        with program.client() as client, pytest.raises(Cut):
            client.post(CHAT, STREAM)
            client.read_answer()
        assert " 200 broken " in wait_lines(program, 5)[-1]

        upstream.hold()
        with program.client() as client:
            client.post(CHAT, STREAM)
            call = upstream.take()
            client.reset()
        call.wait_left()
        assert " left " in wait_lines(program, 6)[-1]
        assert KEY not in program.out and CLIENT_KEY not in program.out


def refusal(key: str) -> bytes:
    return b'{"error": {"message": "wrong key %b"}}' % key.encode()


@pytest.mark.parametrize(
    ("settings", "asked", "answered"),
    [("log_requests: false", False, True), ("log_responses: false", True, False), ("", True, True)],
)
def test_each_half_can_be_left_out(
    upstream: Upstream, tmp_path: Path, settings: str, asked: bool, answered: bool
) -> None:
    with Program(tmp_path, config=config(upstream, settings)) as program:
        program.post(CHAT, ASK)
        [line] = wait_lines(program, 1)
        assert (CHAT in line, " tokens " in line) == (asked, answered)


def test_a_request_is_shown_when_it_comes(upstream: Upstream, tmp_path: Path) -> None:
    with Program(tmp_path, config=config(upstream, "log_arrivals: true")) as program, program.client() as client:
        upstream.hold()
        client.post(CHAT, ASK)
        call = upstream.take()
        [arrival] = wait_lines(program, 1)
        assert "from 127.0.0.1" in arrival
        call.give(vendors.plain(vendors.chat("gpt-x")))
        call.done()
        assert wait_lines(program, 2)[1][-13:] == arrival[-13:], "both name the exchange"


@pytest.mark.parametrize("ask", [ASK, STREAM])
def test_the_conversation_is_shown_in_short(upstream: Upstream, tmp_path: Path, ask: dict[str, Any]) -> None:
    with Program(tmp_path, config=config(upstream, "log_body: true")) as program:
        program.post(CHAT, ask)
        program.post(CHAT, ask | {"tools": [{"type": "function", "function": {"name": "offered"}}]})
        until(lambda: "[calls weather, clock]" in program.out, "the tools")
        assert "    request: What \\x1b[2J is it?\n" in program.out
        assert f"    answer: {vendors.TEXT}\n" in program.out
        assert "\x1b" not in program.out


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed otherwise there")
@pytest.mark.parametrize("closed", [True, False])
def test_traffic_goes_on_without_a_standard_output(upstream: Upstream, tmp_path: Path, closed: bool) -> None:
    """Closed from the beginning, or a pipe whose reader left after the first line."""
    (tmp_path / "llmproxy.yaml").write_text(config(upstream), encoding="utf-8")
    errors = tmp_path / "err"
    serve = f"{sys.executable} -m llmproxy serve --port 0"
    command = f"exec {serve} >&-" if closed else f"exec {serve}"
    with errors.open("w") as err:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=err
        )
    assert process.stdout is not None
    try:
        port = found_port(tmp_path, process.pid)
        process.stdout.close()
        for _ in range(3):
            with RawClient(("127.0.0.1", port)) as client:
                client.post(CHAT, ASK)
                assert client.read_answer().status == 200
        with RawClient(("127.0.0.1", port)) as client:
            until(lambda: health(client)["lost"] == 3, "three losses")
            assert health(client)["fault"]
    finally:
        process.terminate()
        assert process.wait() == 0
    assert errors.read_text().count("records are lost") == 1 and "Traceback" not in errors.read_text()


def environment(home: Path) -> dict[str, str]:
    return clean_environment(home) | {"XDG_STATE_HOME": str(home / "state")}


def found_port(home: Path, pid: int) -> int:
    """Return the port, from the file by which commands find running servers: nothing can be printed."""

    def find() -> int:
        texts = [path.read_text() for path in (home / "state").rglob("*.json")]
        ports = [re.search(r'"port":\s*(\d+)', text) for text in texts if str(pid) in text]
        return next((int(port[1]) for port in ports if port), 0)

    return until(find, "the server to announce itself", 30)


def health(client: RawClient) -> Any:
    client.request("GET", "/health")
    [state] = client.read_answer("GET").json["middlewares"]
    return state


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals")
def test_a_terminal_gets_colours_unless_they_are_unwanted(upstream: Upstream, tmp_path: Path) -> None:
    for extra, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
        leader, follower = os.openpty()
        (tmp_path / "llmproxy.yaml").write_text(config(upstream), encoding="utf-8")
        command = [sys.executable, "-m", "llmproxy", "serve", "--port", "0"]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path) | extra, stdout=follower, stderr=subprocess.DEVNULL
        )
        os.close(follower)
        try:
            with RawClient(("127.0.0.1", found_port(tmp_path, process.pid))) as client:
                client.post(CHAT, ASK)
                assert client.read_answer().status == 200
            seen = b""
            while b" tokens " not in seen:
                seen += os.read(leader, 65536)
            assert (b"\x1b[1m200\x1b[0m" in seen) is coloured
        finally:
            process.terminate()
            process.wait()
            os.close(leader)

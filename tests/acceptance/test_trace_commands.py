"""`llmproxy trace`: what a real server wrote, seen live and afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.program import Program, run
from tests.support.provider import Gate, Reply, Upstream
from tests.support.terminal import Terminal

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-x", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}


def frame(content: str, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


@pytest.mark.ledger("C5")
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_exchanges_are_seen_while_they_run_and_when_they_end(tmp_path: Path) -> None:
    gate = Gate()
    pieces: list[bytes | Gate] = [frame("Hel"), gate, frame("lo", "stop"), b"data: [DONE]\n\n"]
    events = Reply(headers=(("Content-Type", "text/event-stream"),), pieces=pieces, framing="chunked")
    with (
        Upstream(events) as upstream,
        Program(
            tmp_path, "serve", "--base-url", f"{upstream.url}/v1", "--type", "openai", "--api-key", "k", "--trace"
        ) as program,
        Terminal(tmp_path, "trace", "tail", columns=180) as window,
    ):
        window.wait_for("waiting for exchanges")
        with program.client() as client:
            client.post(CHAT, ASK, "x-session-id: my-session")
            window.wait_for("in flight")
            window.wait_for("my-session")
            gate.open()
            assert client.read_answer().status == 200
        window.wait_for("took")  # the head of the table
        (path,) = (tmp_path / "traces").glob("*/*.json")
        identifier = path.stem.partition("-")[2]
        window.press("\x03")
        assert window.wait() == 0
        listed = run("trace", "ls", "--json", "--session", "my-session", cwd=tmp_path)
        assert json.loads(listed.stdout)["id"] == identifier
        told = run("trace", "show", identifier[:8], cwd=tmp_path).stdout
        assert "  user\n    Say hello\n" in told and "  assistant\n    Hello\n" in told
        raw = run("trace", "show", identifier, "--raw", cwd=tmp_path).stdout
        assert raw.endswith("data: [DONE]\n\n")
        figures = json.loads(run("trace", "stats", "--json", cwd=tmp_path).stdout)
        assert figures["total"]["requests"] == 1


@pytest.mark.ledger("C5")
def test_all_formats_are_read_after_the_server_ended(tmp_path: Path) -> None:
    for form in ("json", "jsonl", "sqlite"):
        config = (
            f"middlewares: [{{type: trace, config: {{directory: {form}, format: {form}}}}}]\n"
            "providers: [{name: s, type: stub}]\n"
        )
        with Program(tmp_path, config=config) as program:
            for _ in range(3):
                assert program.post(CHAT, {"model": "s", "messages": [{"role": "user", "content": "Hi"}]}).status == 200
        done = run("trace", "tail", form, "-n", "2", "--json", cwd=tmp_path)
        last = [json.loads(line) for line in done.stdout.splitlines()]
        assert [entry["status"] for entry in last] == [200, 200]
        shown = run("trace", "show", last[0]["id"], form, "--json", cwd=tmp_path)
        exported = run("trace", "export", form, cwd=tmp_path).stdout.splitlines()
        assert json.loads(shown.stdout) == json.loads(exported[1]) and len(exported) == 3
    found = run("trace", "ls", "--json", cwd=tmp_path)  # where llmproxy.yaml says
    assert len(found.stdout.splitlines()) == 3

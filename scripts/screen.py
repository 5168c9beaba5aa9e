"""Draw the screen in the README: what `llmproxy trace ls` and `llmproxy stats` print after a few requests.

The requests go through a real proxy to a provider that stands in for the vendors, so times and ids differ from run to
run. See scripts/screenshot. Begin reading at `main`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from scripts.proxy_process import PROGRAM, running_provider, running_proxy

COLUMNS = 120
_PAUSE_S = 0.03  # before each word
_CONFIG = """
providers:
  - {name: openai, type: openai, base_url: "http://127.0.0.1:%(port)d/v1", api_key: sk-demo}
  - {name: anthropic, type: anthropic, base_url: "http://127.0.0.1:%(port)d", api_key: sk-demo}
  - {name: spare, type: openai, base_url: "http://127.0.0.1:%(port)d/busy/v1", api_key: sk-demo}
models:
  - {name: gpt-4o-mini, targets: [spare/gpt-4o-mini, openai/gpt-4o-mini]}
routing: {retries: 0}
middlewares: [{type: sessions}, {type: trace}]
"""
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""What rich lets viewers fetch from another host."""

_SENTENCE = "The retry loop waits for the wrong clock: use the monotonic one, and the test passes."
_QUESTION = "Why does test_backoff fail at night?"
_Event = tuple[str, dict[str, object]]


class _Vendors(BaseHTTPRequestHandler):
    """Answers chat completions and messages as their vendors do, word by word. Paths below /busy get a 429."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/busy"):
            self._fail()
            return
        time.sleep(5 * _PAUSE_S)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for name, data in (_messages if self.path.endswith("/messages") else _chat)(request["model"]):
            self._write(f"event: {name}\n" if name else "", f"data: {json.dumps(data)}\n\n")
        if not self.path.endswith("/messages"):
            self._write("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self) -> None:
        body = b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
        self.send_response(429)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _write(self, *parts: str) -> None:
        data = "".join(parts).encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing."""


def _words() -> Iterator[str]:
    for word in _SENTENCE.split():
        time.sleep(_PAUSE_S)
        yield f"{word} "


def _chat(model: str) -> Iterator[_Event]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for word in _words():
        yield "", {**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
    usage = {"prompt_tokens": 1180, "completion_tokens": 24, "total_tokens": 1204}
    yield "", {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}


def _messages(model: str) -> Iterator[_Event]:
    usage = {
        "input_tokens": 412,
        "cache_read_input_tokens": 18750,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage}
    yield "message_start", {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}}
    block = {"type": "text", "text": ""}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
    for word in _words():
        delta = {"type": "text_delta", "text": word}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": end, "usage": {"output_tokens": 24}}
    yield "message_stop", {"type": "message_stop"}


def _send(url: str, path: str, model: str, agent: str, question: str) -> None:
    """Send a streamed request, and read its answer."""
    body = {
        "model": model,
        "stream": True,
        "max_tokens": 512,
        "messages": [{"role": "user", "content": question}],
    }
    headers = {"Content-Type": "application/json", "User-Agent": agent, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()


def draw(commands: Sequence[Sequence[str]], folder: Path) -> str:
    """Return what the commands print on a terminal, one below the other, as SVG. Of each the first word is shown, with
    arguments after spaces; the others choose the server."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    for shown, *more in commands:
        command = [str(PROGRAM), *shown.split(), *more]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        console.print(Text(f"$ llmproxy {shown}", style="bold green"))
        console.print(Text.from_ansi(done.stdout))
    svg = console.export_svg(title="llmproxy", theme=MONOKAI)
    return _FONT.sub("", svg).replace("Fira Code, monospace", "monospace")


def main() -> int:
    """Send the requests, and write the screen."""
    parser = argparse.ArgumentParser(description="Draw the screen in the README.")
    parser.add_argument("--into", type=Path, default=Path("llmproxy/docs/screen.svg"), help="the file to write")
    into: Path = parser.parse_args().into.resolve()
    chat, messages = "/v1/chat/completions", "/v1/messages"
    with running_provider(_Vendors) as port, running_proxy(_CONFIG % {"port": port}) as (url, folder):
        _send(url, messages, "claude-sonnet-4-5", "claude-cli/2.0.60 (external, cli)", _QUESTION)
        _send(url, chat, "gpt-4o-mini", "OpenAI/Python 2.9.0", "Name this branch")
        _send(url, chat, "claude-sonnet-4-5", "aider/0.86", "Explain asyncio.timeout in a sentence")
        _send(url, chat, "mixtral-9x7b", "curl/8.5.0", "Hello")
        _send(url, messages, "gpt-4o", "claude-cli/2.0.60 (external, cli)", _QUESTION)
        into.write_text(draw([("trace ls", "traces"), ("stats --once", "--url", url)], folder), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Show the effect of the cache on a stream: the same request twice, first run and replay. See scripts/demo.

Without arguments it starts everything: a provider that streams slowly, llmproxy with a cache, and a client. With --url
and --model the request goes to a running proxy. Begin reading at `main`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from scripts.proxy_process import running_provider, running_proxy

_CONFIG = """
providers: [{name: slow, type: openai-compatible, base_url: "http://127.0.0.1:%d/v1"}]
middlewares: [{type: cache}]
"""
_WORDS = "An answer that was paid for once need not be paid for again, nor waited for, word by word, a second time."


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run: the times of the first and the last byte, the body, and the header x-cache."""

    first_s: float
    whole_s: float
    body: bytes
    cache: str


def ask(url: str, model: str, key: str) -> Result:
    """Request a stream and time it. Raises SystemExit on an error."""
    parts = urlsplit(url)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Why is an answer worth keeping?"}],
        "temperature": 0,
        "stream": True,
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=300)
    began_s = time.perf_counter()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
    except OSError as error:
        sys.exit(f"{url} does not answer: {error}")
    received = reply.read1()
    first_s = time.perf_counter() - began_s
    while data := reply.read1():
        received += data
    whole_s = time.perf_counter() - began_s
    connection.close()
    if reply.status != 200:
        sys.exit(f"{url} answered {reply.status}: {received.decode(errors='replace')[:500]}")
    return Result(first_s=first_s, whole_s=whole_s, body=received, cache=reply.getheader("x-cache") or "no cache")


@contextmanager
def _slow_provider(pause_s: float) -> Iterator[int]:
    """Run a provider that pauses before each word; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            head = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1, "model": "slow"}
            for word in _WORDS.split():
                time.sleep(pause_s)
                self._send({**head, "choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
            self._send({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self._write(b"data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")

        def _send(self, chunk: dict[str, object]) -> None:
            self._write(b"data: %b\n\n" % json.dumps(chunk).encode())

        def _write(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

        def log_message(self, format: str, *args: object) -> None:
            """Do nothing: the demonstration prints its own lines."""

    with running_provider(Handler) as port:
        yield port


def _show(url: str, model: str, key: str) -> int:
    """Print two runs as a table. Return 1 when the second did not replay the first."""
    first, again = ask(url, model, key), ask(url, model, key)
    print(f"{'':<12}{'first byte':>12}{'whole answer':>16}  x-cache")
    for name, result in (("first run", first), ("replay", again)):
        print(f"{name:<12}{result.first_s * 1000:>9.1f} ms{result.whole_s * 1000:>13.1f} ms  {result.cache}")
    same = first.body == again.body
    print(
        f"\nThe same {len(first.body):,} bytes" if same else "\nThe answers differ: is `temperature: 0` cached there?"
    )
    print(f"{first.whole_s / again.whole_s:,.0f} times as fast")
    return 0 if same and again.cache == "hit" else 1


def main() -> int:
    """Parse the arguments and run the request twice."""
    parser = argparse.ArgumentParser(description="The same streamed request twice: first run against replay.")
    parser.add_argument("--url", default="", help="a running proxy, such as http://127.0.0.1:3000")
    parser.add_argument("--model", default="slow/demo", help="the model for --url")
    parser.add_argument("--key", default="sk-demo", help="the client's key, if the proxy forwards it")
    parser.add_argument(
        "--pause", type=float, default=0.05, help="pause of the built-in provider before each word, in seconds"
    )
    options = parser.parse_args()
    if options.url:
        return _show(options.url, options.model, options.key)
    with _slow_provider(options.pause) as port, running_proxy(_CONFIG % port) as (url, _):
        return _show(url, options.model, options.key)


if __name__ == "__main__":
    sys.exit(main())

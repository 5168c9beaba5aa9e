"""llmproxy as a process of its own in several configurations, each in front of its own hostile upstream.

`Served` is one of them: where it listens, what it printed, what it holds. Begin reading at `CONFIGS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.fuzzing.findings import Finding
from tests.support import vendors
from tests.support.program import clean_environment
from tests.support.provider import Call, Script, Upstream
from tests.support.raw_http import RawAnswer, RawClient

PATIENCE_S = 20.0
_PAGES = ("/stats?by=client,session", "/metrics", "/metrics/json", "/sessions", "/cache", "/v1/models", "/providers")
_SLOW_STORES = ("disk", "redis")  # a store that is slow or lies makes /health say "degraded", and rightly so
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_BAD = re.compile(
    r"Traceback \(most recent|Unhandled|was never retrieved|was never awaited|exchange \S+ failed|Error in|SEGV"
)
_PROVIDERS = """
server: {header_timeout: 1s, body_timeout: 1s, keepalive_timeout: 5s, shutdown_timeout: 5s, max_body_size: 4MB}
logging: {level: warning}
providers:
  - {name: c, type: openai-compatible, base_url: "UPSTREAM/v1", api_key: sk-up, dialects: [chat], timeouts: TIMES}
  - {name: r, type: openai, base_url: "UPSTREAM/v1", api_key: sk-up, dialects: [responses], timeouts: TIMES}
  - {name: m, type: anthropic, base_url: "UPSTREAM", api_key: sk-up, timeouts: TIMES}
  - {name: g, type: gemini, base_url: "UPSTREAM", api_key: sk-up, timeouts: TIMES}
  - {name: b, type: bedrock, base_url: "UPSTREAM", KEYS, dialects: [converse], timeouts: TIMES}
  - {name: i, type: bedrock, base_url: "UPSTREAM", KEYS, dialects: [messages], timeouts: TIMES}
routing: {retries: 0, breaker: {failures: 10000}}  # all that is asked is to be sent
models:
  - {name: any, targets: [c/gpt-4o, r/gpt-5, m/claude-sonnet-4-5, g/gemini-x, b/amazon.nova, i/anthropic.claude-x]}
"""
_KEYS = "region: us-east-1, access_key_id: AKIDUP, secret_access_key: up"
_TIMES = "{connect: 5s, first_byte: 5s, idle: 2s}"
_WATCHED = """
middlewares:
  - {type: trace, config: {directory: ./traces, format: jsonl}}
  - {type: printer, config: {log_body: true}}
  - {type: audit, config: {path: ./audit.jsonl}}
  - {type: sessions, config: {max_sessions: 200}}
  - {type: cache, config: {when: always, max_size: 4MB}}
"""
_STORED = """
translation: {strict: true, estimate_tokens: true}
stores: {default: {type: STORE}}
middlewares:
  - {type: sessions, config: {max_sessions: 200}}
  - {type: cache, config: {when: always, max_size: 4MB}}
"""
_STUB = """
logging: {level: warning}
server: {header_timeout: 1s, body_timeout: 1s, keepalive_timeout: 5s, max_body_size: 4MB}
providers:
  - {name: c, type: stub}
  - {name: r, type: stub}
  - {name: m, type: stub}
  - {name: g, type: stub}
  - {name: b, type: stub}
  - {name: i, type: stub}
middlewares: [{type: printer}]
"""
# Words in capitals are filled in at the start of a program.
CONFIGS = {
    "plain": _PROVIDERS,
    "watched": _PROVIDERS + _WATCHED,
    "disk": _PROVIDERS + _STORED.replace("STORE", "disk, path: ./store.sqlite"),
    "stub": _STUB,
    "redis": _PROVIDERS + _STORED.replace("STORE", 'redis, url: "REDIS"'),
}


async def well_behaved(call: Call) -> None:
    """Script: answer as a vendor does, and odd requests with 400."""
    try:
        reply = vendors.reply_to(call.request)
    except (AttributeError, TypeError, ValueError):
        reply = vendors.failure(400, "Bad Request")
    await call.give(reply)


class Served:
    """A running program. `upstream` answers a request by the script of its id in `scripts`, or well.

    `asked` are the ids of the requests that must have been recorded once.
    """

    def __init__(self, name: str, folder: Path, upstream: Upstream, redis: str = "") -> None:
        self.name = name
        self.folder = folder
        self.upstream = upstream
        self.port = 0
        self.asked: set[str] = set()
        self.scripts: dict[str, Script] = {}
        self._failed_pages: set[str] = set()
        upstream.default = self._answer
        self._read_bytes = {"out": 0, "err": 0}
        folder.mkdir(parents=True)
        config = CONFIGS[name].replace("UPSTREAM", upstream.url)
        config = config.replace("TIMES", _TIMES).replace("KEYS", _KEYS).replace("REDIS", redis)
        (folder / "llmproxy.yaml").write_text(config)
        self._files = [open(folder / f"{each}.log", "wb") for each in ("out", "err")]  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llmproxy", "serve", "--port", "0"],
            cwd=folder,
            env=clean_environment(folder),
            stdout=self._files[0],
            stderr=self._files[1],
        )

    async def _answer(self, call: Call) -> None:
        await self.scripts.get(call.request.value("x-request-id") or "", well_behaved)(call)

    def wait(self) -> None:
        """Wait until it listens."""
        end_s = time.monotonic() + 60
        while not self.port:
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise SystemExit(f"{self.name} does not start: {(self.folder / 'err.log').read_text()}")
            if match := _ADDRESS.search((self.folder / "out.log").read_text("utf-8", "replace")):
                self.port = int(match[1])
            time.sleep(0.02)

    def client(self, timeout_s: float = PATIENCE_S) -> RawClient:
        """Return a raw connection to it."""
        return RawClient(("127.0.0.1", self.port), timeout_s)

    def get(self, target: str) -> RawAnswer:
        """Return one of its pages."""
        with self.client() as client:
            client.request("GET", target, "Connection: close")
            return client.read_answer("GET")

    def check_output(self) -> None:
        """Raise what it complained of since the last time."""
        for name, place in self._read_bytes.items():
            path = self.folder / f"{name}.log"
            if path.stat().st_size > place:
                with path.open("rb") as file:
                    file.seek(place)
                    text = file.read()
                self._read_bytes[name] = place + len(text)
                if name == "err" and (match := _BAD.search(decoded := text.decode("utf-8", "replace"))):
                    raise Finding("traceback", decoded[max(0, match.start() - 300) :][:4000])

    def check_idle(self) -> None:
        """Raise unless it is well and, soon, no exchange runs any more."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            page: Any = self.get("/health").json
            if page["status"] != "ok" and self.name not in _SLOW_STORES:
                raise Finding("records", f"/health of {self.name} says {page}")
            if page["requests_in_flight"] <= 1:  # this one
                return
            if time.monotonic() > end_s:
                raise Finding("hang", f"{self.name} still counts {page['requests_in_flight']} running exchanges")
            time.sleep(0.05)

    def check_pages(self) -> None:
        """Raise unless its own pages show what it has seen so far."""
        for page in _PAGES:
            answer = self.get(page)
            if answer.status not in (200, 404) and page not in self._failed_pages:  # 404: not with this configuration
                self._failed_pages.add(page)
                raise Finding(
                    "500" if answer.status == 500 else "invalid", f"{page}: {answer.status} {answer.body!r:.500}"
                )

    def memory_mb(self) -> float:
        """Return its resident memory (Linux; 0 elsewhere)."""
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return 0

    def open_files(self) -> int:
        """Return how many files and sockets it has open (Linux; 0 elsewhere)."""
        with contextlib.suppress(OSError):
            return len(os.listdir(f"/proc/{self._process.pid}/fd"))
        return 0

    def stop(self) -> None:
        """Begin to end it, as a user does."""
        self._process.terminate()

    def end(self) -> Iterator[Finding]:
        """Wait for its end; yield what is wrong then."""
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
            yield Finding("hang", f"{self.name} does not end")
        for file in self._files:
            file.close()
        if code:
            yield Finding("traceback", f"{self.name} ended with {code}")
        try:
            self.check_output()
        except Finding as finding:
            yield finding
        yield from self._wrong_records()

    def _wrong_records(self) -> Iterator[Finding]:
        """Yield the requests without exactly one trace record and one audit line."""
        if self.name != "watched":
            return
        for pattern in ("traces/*.jsonl", "audit*.jsonl"):
            seen: dict[str, int] = {}
            for path in self.folder.glob(pattern):
                with path.open("rb") as lines:
                    for line in lines:
                        name = json.loads(line)["request_id"]
                        seen[name] = seen.get(name, 0) + 1
            wrong = {name: seen.get(name, 0) for name in sorted(self.asked) if seen.get(name, 0) != 1}
            if wrong:
                yield Finding(
                    "records", f"{pattern}: {len(wrong)} of {len(self.asked)}, such as {list(wrong.items())[:5]}"
                )


class Programs:
    """The programs of a run, by their configuration; `close` ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._once: dict[str, Any] = {}
        self.running: dict[str, Served] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` makes, the first time; later the same."""
        if name not in self._once:
            self._once[name] = make()
        return self._once[name]

    def at_end(self, action: Callable[[], object]) -> None:
        """Call `action` when the programs have ended."""
        self._stack.callback(action)

    def __getitem__(self, name: str) -> Served:
        return self.running[name]

    def start(self, *names: str, redis: str = "") -> None:
        """Start the program in the configurations `names` that do not run yet; `redis` is the URL of one."""
        new = [name for name in names if name not in self.running]
        for name in new:
            upstream = self._stack.enter_context(Upstream(well_behaved))
            self.running[name] = Served(name, self._folder / name, upstream, redis)
        for name in new:
            self.running[name].wait()

    def close(self) -> Iterator[Finding]:
        """Stop them all; yield what is wrong then."""
        for served in self.running.values():
            served.stop()
        for served in self.running.values():
            yield from served.end()
        self._stack.close()

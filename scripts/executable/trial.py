"""Use the executable as its users do: from an empty folder, with an empty home and none of this machine's settings.

Every check prints a line; the first that fails ends the program with the reason. Begin reading at `try_out`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmproxy import __version__
from scripts.executable import processor_time
from scripts.executable.bundle import ROOT, package_modules, standard_library
from scripts.executable.tls_upstream import CA, FRAMES, TlsUpstream

LISTENS_WITHIN_S = 1.5
HELP_WITHIN_S = 0.8
# A processor that others use too needs up to twice the time for the same: the best of a few tries is the program's own.
TRIES = 5
# The only variables for child processes: no key, so that the stub answers.
KEPT_VARIABLES = ("PATH", "SYSTEMROOT")
PATIENCE_S = 60
if sys.platform == "win32":
    STOP, CREATION = signal.CTRL_BREAK_EVENT, subprocess.CREATE_NEW_PROCESS_GROUP
else:
    STOP, CREATION = signal.SIGTERM, 0
CONFIG = """
server: {workers: $WORKERS}
providers:
  - {name: stub, type: stub, models: ["any"]}
  - {name: bedrock, type: bedrock, region: us-east-1}
  - {name: far, type: openai, base_url: "$URL", ca_file: ca.pem, api_key: sk-far, models: ["far"]}
middlewares:
  - {type: "./mine/sign.py:Sign"}
"""
# Imports what a user's file may import: all of llmproxy, and of the standard library at least finds every module.
MIDDLEWARE = """
import csv, importlib, importlib.util, io, json, pathlib, xml.etree.ElementTree as etree

from llmproxy.middleware.base import Middleware

here = pathlib.Path(__file__).parent
for name in json.loads((here / "modules.json").read_text()):
    importlib.import_module(name)
missing = [name for name in json.loads((here / "library.json").read_text()) if importlib.util.find_spec(name) is None]
assert not missing, missing


class Sign(Middleware):
    async def on_response(self, exchange, answer):
        row = next(csv.reader(io.StringIO("x;y", newline=""), delimiter=";"))
        answer.headers["x-sign"] = etree.fromstring(f"<a b='{row[1]}'/>").get("b")
"""
# What is imported only where a configuration has it.
ON_DEMAND = (
    "botocore.session",
    "cryptography.x509",
    "google.auth.transport.requests",
    "google.oauth2.service_account",
    "jwt",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk.trace",
    "redis.asyncio",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The running executable: what was started, which may be the parent of what serves, its port, and how long it took
    until it listened.
    """

    process: subprocess.Popen[bytes]
    port: int
    start_s: float = 0.0

    def post(self, path: str, body: object) -> http.client.HTTPResponse:
        """Return the answer to a request, its body not yet read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def get(self, path: str) -> bytes:
        """Return the body of a page. Ends the program when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path)
        with connection.getresponse() as answer:
            body = answer.read()
        return body if answer.status == 200 else _fail(f"{path} has status {answer.status}: {body[:200]!r}")

    def workers(self) -> set[int]:
        """Return the process ids of the two workers, once both serve."""
        rows: list[dict[str, Any]] = []

        def both_serve() -> bool:
            with contextlib.suppress(OSError):  # the worker that was asked has just been killed
                rows[:] = json.loads(self.get("/health"))["workers"]
            return [row["state"] for row in rows] == ["serving"] * 2

        _until(both_serve, "the start of two workers")
        return {row["pid"] for row in rows}


def try_out(program: Path) -> None:
    """Test `program`, and print what it does and how long it takes. Ends this program when something is wrong."""
    with tempfile.TemporaryDirectory(prefix="llmproxy-try-") as name, TlsUpstream() as upstream:
        trial = _Trial(program, Path(name).resolve(), upstream)
        trial.commands()
        trial.one_process()
        if sys.platform != "win32":
            trial.ctrl_c_in_a_terminal()
            trial.killed_loader()
            trial.two_workers()
            trial.under_a_service_manager()
        trial.nothing_is_left()


class _Trial:
    """The checks. `_unpacked` is where the executable unpacks itself to, `_folder` where it runs."""

    def __init__(self, program: Path, folder: Path, upstream: TlsUpstream) -> None:
        self._program = program
        self._upstream = upstream
        self._folder, self._unpacked, home = (folder / name for name in ("work", "unpacked", "home"))
        for each in (self._folder, self._unpacked, home):
            each.mkdir()
        self._environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        self._environment |= {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
        self._environment |= {name: str(self._unpacked) for name in ("TMPDIR", "TEMP", "TMP")}
        self._environment |= {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "none",
            "AWS_SHARED_CREDENTIALS_FILE": "none",
        }

    def commands(self) -> None:
        """Run commands that end by themselves."""
        if __version__ not in (version := self._run("--version")) or " (commit " not in version:
            _fail(f"--version prints {version!r}, not {__version__} with its commit")
        print(f"  {version.strip()}", flush=True)
        _within(HELP_WITHIN_S, "--help", lambda: self._timed("--help")[1])
        configs = sorted((ROOT / "configs").glob("*.yaml"))
        for config in configs:
            shutil.copy(config, self._folder)
        self._run("validate-config", "--no-env", *(config.name for config in configs))
        for config in configs:
            (self._folder / config.name).unlink()
        self._run("prices", "show", "gpt-4o", "--provider", "openai")
        self._run("docs", "routing")

    def one_process(self) -> None:
        """Serve with one worker: exchanges, a page, a stop."""
        self._configure(workers=1)
        modules = [each for each in package_modules() if each != "llmproxy.__main__"]
        (self._folder / "mine" / "modules.json").write_text(json.dumps([*modules, *ON_DEMAND]))
        (self._folder / "mine" / "library.json").write_text(json.dumps(standard_library()))
        with self._serving() as server:
            self._exchanges(server)
            if b"openapi.json" not in server.get("/docs/reference.js") or not server.get("/docs"):
                _fail("/docs is not whole")
            _passed("the page /docs is whole")
            body = {"model": "anthropic.claude", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
            if "Tried: env, " not in (text := server.post("/v1/messages", body).read().decode()):
                _fail(f"a request without credentials got:\n{text}")
            _passed("missing credentials of AWS are named")
            self._stop(server)
        for name in ("modules", "library"):
            (self._folder / "mine" / f"{name}.json").write_text("[]")
        _within(LISTENS_WITHIN_S, "listening", self._start_and_stop)

    def _start_and_stop(self) -> float:
        with self._serving() as server:
            self._stop(server)
        return server.start_s

    def ctrl_c_in_a_terminal(self) -> None:
        """Press Ctrl-C during a stream: it reaches all processes of the terminal, and must count once."""
        if sys.platform == "win32":
            return
        controller, terminal = os.openpty()
        with self._serving(terminal=terminal) as server, open(controller, "wb", buffering=0) as keyboard:
            os.close(terminal)
            self._upstream.go_on.clear()
            answer = server.post("/v1/chat/completions", _chat("far"))
            begun = answer.read(len(FRAMES[0]))
            keyboard.write(b"\x03")
            _until(lambda: not _listens(server.port), "the end of listening after Ctrl-C")
            time.sleep(0.3)  # the time for the second signal to do its harm
            self._upstream.go_on.set()
            with contextlib.suppress(http.client.IncompleteRead):
                begun += answer.read()
            if begun != b"".join(FRAMES):
                _fail("Ctrl-C cut off a stream")
            if code := server.process.wait(PATIENCE_S):
                _fail(f"after Ctrl-C it ended with {code}")
        _passed("Ctrl-C lets a stream end")

    def killed_loader(self) -> None:
        """Kill the first of the two processes with -9, which cannot tell the second."""
        with self._serving() as server:
            server.process.kill()
            _until(lambda: not _listens(server.port), "the end of the server after its loader was killed")
            _until(lambda: not list(self._unpacked.iterdir()), "the removal of what the killed loader unpacked")
        _passed("kill -9 of its loader ends the server, and nothing is left")

    def two_workers(self) -> None:
        """Serve with two workers, kill one, and stop."""
        if sys.platform == "win32":
            return
        self._configure(workers=2)
        with self._serving() as server:
            self._exchanges(server)
            victim = min(server.workers())
            os.kill(victim, signal.SIGKILL)
            _until(lambda: victim not in server.workers(), "the restart of a worker")
            self._exchanges(server)
            _passed("workers: 2 start, and are started again after kill -9")
            if (copies := len(list(self._unpacked.glob("_MEI*")))) != 1:
                _fail(f"it has unpacked itself {copies} times")
            workers = server.workers()
            self._stop(server)
        _until(lambda: not any(_exists(pid) for pid in workers), "the end of the workers")

    def under_a_service_manager(self) -> None:
        """Serve as a unit of systemd, which passes a socket to the first process and hears of the second."""
        if sys.platform == "win32":
            return
        self._configure(workers=1)
        address = str(self._folder.parent / "notify")
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unit,
        ):
            unit.bind(address)
            unit.settimeout(PATIENCE_S)
            start = "import os, sys; os.environ['LISTEN_PID'] = os.environ['WATCHDOG_PID'] = str(os.getpid()); "
            start += "os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
            variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "LISTEN_FDS": "1"}
            process = subprocess.Popen(
                [sys.executable, "-c", start, str(listener.fileno()), self._program, "serve"],
                cwd=self._folder,
                env=self._environment | variables,
                pass_fds=[listener.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            with process:
                try:
                    heard = [unit.recv(4096).decode(), unit.recv(4096).decode()]
                    if "READY=1" not in heard[0] or heard[1] != "WATCHDOG=1":
                        _fail(f"the service manager heard {heard}")
                    server = Server(process=process, port=listener.getsockname()[1])
                    self._exchanges(server)
                    self._stop(server)
                finally:
                    _kill_all(process)
        _passed("a service manager passes its socket, and hears that the server is ready and alive")

    def nothing_is_left(self) -> None:
        """Check that the temporary files are gone."""
        if left := [path.name for path in self._unpacked.iterdir()]:
            _fail(f"it left behind {left}")
        _passed("nothing is left in the folder for temporary files")

    def _configure(self, *, workers: int) -> None:
        (self._folder / "mine").mkdir(exist_ok=True)
        (self._folder / "mine" / "sign.py").write_text(MIDDLEWARE, encoding="utf-8")
        shutil.copy(CA, self._folder)
        config = CONFIG.replace("$WORKERS", str(workers)).replace("$URL", self._upstream.url)
        (self._folder / "llmproxy.yaml").write_text(config, encoding="utf-8")

    def _run(self, *arguments: str) -> str:
        return self._timed(*arguments)[0]

    def _timed(self, *arguments: str) -> tuple[str, float]:
        """Run a command to its end. Return its output, and the seconds that it took."""
        before_s, began_s = processor_time.of_ended_children(), time.monotonic()
        done = subprocess.run(
            [self._program, *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
        )
        elapsed_s, after_s = time.monotonic() - began_s, processor_time.of_ended_children()
        if done.returncode != 0:
            _fail(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        used_s = None if before_s is None or after_s is None else after_s - before_s
        return done.stdout, _report(" ".join(arguments), elapsed_s, used_s)

    @contextlib.contextmanager
    def _serving(self, *, terminal: int | None = None) -> Iterator[Server]:
        """Start the server, and wait until it listens."""
        port = _free_port()
        log = self._folder.parent / "server.log"
        began_s = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*_in_terminal(self._program, terminal), "serve", "--port", str(port)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=terminal is not None,
                creationflags=CREATION,
            )
        with process:
            try:
                _until(lambda: _listens(port) or process.poll() is not None, "listening")
                used_s, elapsed_s = processor_time.of_running(process.pid), time.monotonic() - began_s
                if process.poll() is not None:
                    _fail(f"serve ended with {process.returncode}")
                yield Server(process=process, port=port, start_s=_report("serve listens", elapsed_s, used_s))
            except BaseException:
                _kill_all(process)
                process.wait()
                print(log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
                raise
            finally:
                _kill_all(process)

    def _exchanges(self, server: Server) -> None:
        """Check streamed exchanges with the stub and over TLS, both through the middleware."""
        for model, end in (("any", "data: [DONE]\n\n"), ("far", FRAMES[1].decode())):
            answer = server.post("/v1/chat/completions", _chat(model))
            text = answer.read().decode()
            if answer.status != 200 or not text.endswith(end):
                _fail(f"a streamed request got status {answer.status}:\n{text}")
            if answer.headers["x-sign"] != "y":
                _fail("the middleware of a user has not run")
        _passed("streamed exchanges with the stub and over TLS are whole, and went through a user's middleware")

    def _stop(self, server: Server) -> None:
        """Stop gracefully."""
        began_s = time.monotonic()
        server.process.send_signal(STOP)
        if code := server.process.wait(PATIENCE_S):
            _fail(f"after the signal it ended with {code}")
        _report("serve ends after SIGTERM", time.monotonic() - began_s)


def _chat(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def _in_terminal(program: Path, terminal: int | None) -> list[str]:
    """Return the command; in a new session with a terminal, one that makes this its controlling terminal first."""
    if terminal is None:
        return [str(program)]
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", take, str(program)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _until(reached: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > until_s:
            _fail(f"{what} did not come within {PATIENCE_S} s")
        time.sleep(0.02)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """End what may still run after a failure."""
    if process.poll() is None:
        for pid in processor_time.descendants(process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        process.kill()


def _report(what: str, elapsed_s: float, used_s: float | None = None) -> float:
    """Print how long something took. Return the processor time, or where that is not known the other."""
    _passed(f"{what}: {elapsed_s:.2f} s" + ("" if used_s is None else f", {used_s:.2f} s of the processor"))
    return elapsed_s if used_s is None else used_s


def _within(most_s: float, what: str, measure: Callable[[], float]) -> None:
    """End the program when the least of some measures is more than `most_s`. One that is less is enough."""
    for _ in range(TRIES):
        if measure() <= most_s:
            return _passed(f"that is within {most_s:g} s")
    _fail(f"{what} took more than {most_s:g} s each of {TRIES} times")


def _passed(line: str) -> None:
    print(f"  {line}", flush=True)


def _fail(reason: str) -> Any:
    sys.exit(f"build.py: {reason}")

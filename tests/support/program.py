"""The program as its users run it: a process of its own, started on a free port and stopped by a signal.

`Program` waits for the address that `serve` prints, keeps what it says, and on leaving stops it with SIGTERM; a
traceback or an exit code other than 0 fails the test.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import PATIENCE_S, until
from tests.support.warm_start import WarmProcess, start

ROOT = Path(__file__).parent.parent.parent
_ADDRESS = re.compile(r"https?://[^\s/]+:(\d+)")
_KEPT = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "COVERAGE_PROCESS_CONFIG")
_COMMAND = [sys.executable, "-m", "llmproxy"]


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with no key, no proxy and nothing of this machine's settings; `home` is HOME."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    result = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    state = {"WIN_PD_OVERRIDE_LOCAL_APPDATA": str(home)}  # Windows asks the system, not HOME
    return kept | result | state | dict(extra or {})


def run(*arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `llmproxy <arguments>` to its end."""
    command = [*_COMMAND, *arguments]
    process = _start(command, cwd, clean_environment(cwd, extra))
    out: list[str] = []
    err: list[str] = []
    readers = [_reader(process.stdout, out.append), _reader(process.stderr, err.append)]
    try:
        code = process.wait(2 * PATIENCE_S)
    finally:
        process.kill()
        for reader in readers:
            reader.join()
    return subprocess.CompletedProcess(command, code, "".join(out), "".join(err))


def _start(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen[str] | WarmProcess:
    """Run `command`; the program itself in the way that takes the least time."""
    warm = start(command[len(_COMMAND) :], cwd, environment) if command[: len(_COMMAND)] == _COMMAND else None
    return warm or subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def _reader(stream: IO[str] | None, keep: Callable[[str], object]) -> threading.Thread:
    """Call `keep` with each line of `stream`, until it ends."""
    assert stream

    def follow() -> None:
        with stream:
            for line in stream:
                keep(line)

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    return reader


class Program:
    """`llmproxy <arguments>` in `directory`. Use as a context manager; inside, it listens at `address`.

    `config` is written to `llmproxy.yaml` there, where serve finds it by itself; `extra` are environment variables,
    `search` is one more folder of packages. Without `free_port` the configuration decides on the port.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        config: str = "",
        extra: Mapping[str, str] | None = None,
        search: Path | None = None,
        free_port: bool = True,
    ) -> None:
        self.directory = directory
        self.port = 0
        self.out = ""
        self.err = ""
        self._command = [*_COMMAND, *(arguments or ("serve",))]
        if free_port:
            self._command += ["--port", "0"]
        self._environment = clean_environment(directory, extra)
        self._process: subprocess.Popen[str] | WarmProcess
        self._readers: list[threading.Thread] = []
        self._wanted_tracebacks: list[str] = []
        if config:
            (directory / "llmproxy.yaml").write_text(config, encoding="utf-8")
        if search:
            self._environment["PYTHONPATH"] += os.pathsep + str(search)

    @classmethod
    def of(cls, command: list[str], directory: Path, extra: Mapping[str, str] | None = None) -> Self:
        """Return the same for another command that serves and prints its address."""
        program = cls(directory, extra=extra)
        program._command = command
        return program

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = _start(self._command, self.directory, self._environment)
        streams = (("out", self._process.stdout), ("err", self._process.stderr))
        self._readers = [_reader(stream, partial(self._keep, name)) for name, stream in streams]
        until(lambda: self._listening() or self._process.poll() is not None, "the address of the program")
        if not self.port:
            self.wait()
            raise AssertionError(f"it ended with {self._process.returncode}\n{self.out}\n{self.err}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        if fault is None:
            tracebacks = self.err.split("Traceback")[1:]
            assert all(any(text in each for text in self._wanted_tracebacks) for each in tracebacks), self.err
            assert code == 0, f"exit code {code}\n{self.out}\n{self.err}"

    def expect_tracebacks(self, text: str) -> None:
        """Let tracebacks in the log be no failure in which `text` stands, such as the name of a user's file."""
        self._wanted_tracebacks.append(text)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Return the exit code, once it has ended by itself; killed when it does not."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"still running after {timeout_s:g} s\n{self.out}\n{self.err}") from None
        finally:
            for reader in self._readers:
                reader.join(timeout_s)

    def client(self, timeout_s: float = PATIENCE_S, receive_buffer: int | None = None) -> RawClient:
        """Return a raw connection to it."""
        return RawClient(self.address, timeout_s, receive_buffer)

    def get(self, target: str, *headers: str) -> RawAnswer:
        """Return the answer to one GET on a fresh connection."""
        with self.client() as client:
            client.request("GET", target, "Connection: close", *headers)
            return client.read_answer("GET")

    def post(self, target: str, value: object, *headers: str) -> RawAnswer:
        """Return the answer to one POST of JSON on a fresh connection."""
        with self.client() as client:
            client.post(target, value, "Connection: close", *headers)
            return client.read_answer()

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics, by `name{label="value",...}` as it stands there."""
        answer = self.get("/metrics")
        assert answer.status == 200, answer
        # Names of models may hold what `splitlines` takes for the end of a line.
        lines = [line for line in answer.body.decode().split("\n") if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of `name` that carry these labels."""
        expected = [f'{label}="{value}"' for label, value in labels.items()]
        samples = self.metrics().items()
        mine = [
            value for key, value in samples if key.partition("{")[0] == name and all(part in key for part in expected)
        ]
        return sum(mine)

    def metrics_json(self) -> Any:
        return self.get("/metrics/json").json

    def memory_bytes(self) -> int:
        """Return the resident set of the process (Linux)."""
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert match
        return int(match[1]) * 1024

    def _keep(self, name: str, line: str) -> None:
        setattr(self, name, str(getattr(self, name)) + line)

    def _listening(self) -> bool:
        if (match := _ADDRESS.search(self.out)) and "\n" in self.out[match.end() :]:
            self.port = int(match[1])
        return bool(self.port)


@contextlib.contextmanager
def counted(program: Program, name: str, expected: float, **labels: str) -> Iterator[None]:
    """Wait after the block until the metric `name` has grown by `expected`, and by no more."""
    before = program.metric(name, **labels)
    yield
    until(lambda: program.metric(name, **labels) >= before + expected, f"{name} to grow by {expected}")
    assert program.metric(name, **labels) == before + expected

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import until

ROOT = Path(__file__).parent.parent.parent
_ADDRESS = re.compile(r"http://[^\s/]+:(\d+)")
_START_S = 30.0


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with no key, no proxy and nothing of this machine's settings; `home` is HOME."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP") if name in os.environ}
    result = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    state = {"WIN_PD_OVERRIDE_LOCAL_APPDATA": str(home)}  # Windows asks the system, not HOME
    return kept | result | state | dict(extra or {})


def run(*arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `llmproxy <arguments>` to its end."""
    command = [sys.executable, "-m", "llmproxy", *arguments]
    environment = clean_environment(cwd, extra)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


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
        self.out = ""
        self.err = ""
        self.port = 0
        self._command = [sys.executable, "-m", "llmproxy", *(arguments or ("serve",))]
        if free_port:
            self._command += ["--port", "0"]
        self._environment = clean_environment(directory, extra)
        self._process: subprocess.Popen[str]
        self._readers: list[threading.Thread] = []
        if config:
            (directory / "llmproxy.yaml").write_text(config, encoding="utf-8")
        if search:
            self._environment["PYTHONPATH"] += os.pathsep + str(search)

    @classmethod
    def of(cls, command: list[str], directory: Path) -> Self:
        """Return the same for another command that serves and prints its address."""
        program = cls(directory)
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
        self._process = subprocess.Popen(
            self._command,
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert self._process.stdout and self._process.stderr
        self._read(self._process.stdout, "out")
        self._read(self._process.stderr, "err")
        until(lambda: self._listening() or self._process.poll() is not None, "the address of the program", _START_S)
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
            assert "Traceback" not in self.err, self.err
            assert code == 0, f"exit code {code}\n{self.out}\n{self.err}"

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout_s: float = 40.0) -> int:
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
            for stream in (self._process.stdout, self._process.stderr):
                if stream:
                    stream.close()

    def client(self, timeout_s: float = 15.0, receive_buffer: int | None = None) -> RawClient:
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
        lines = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
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

    def _listening(self) -> bool:
        if (match := _ADDRESS.search(self.out)) and "\n" in self.out[match.end() :]:
            self.port = int(match[1])
        return bool(self.port)

    def _read(self, stream: IO[str], name: str) -> None:
        def follow() -> None:
            for line in stream:
                setattr(self, name, str(getattr(self, name)) + line)

        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        self._readers.append(reader)


@contextlib.contextmanager
def counted(program: Program, name: str, expected: float, **labels: str) -> Iterator[None]:
    """Wait after the block until the metric `name` has grown by `expected`, and by no more."""
    before = program.metric(name, **labels)
    yield
    until(lambda: program.metric(name, **labels) >= before + expected, f"{name} to grow by {expected}")
    assert program.metric(name, **labels) == before + expected

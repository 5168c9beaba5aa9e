"""Measure what llmproxy costs, side by side with nginx, and print the tables of docs/speed.md: see scripts/bench.

The proxies share one core, the upstream and the load generator the other. nginx and llmproxy are measured in turn, and
the ratio of their CPU time per request is what to quote: absolute figures differ from machine to machine. A case counts
only when the accounting of the proxy is right. Below the tables stand the results that are beyond our limits or do not
count, and the exit code is 1 then. Linux with two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.overhead import accounting, collector, nginx, redis
from scripts.overhead.cases import CASES, IN_REDIS, PROVIDER, configured_cases
from scripts.overhead.load import Case, Run, drive, memory_mb

PROXY_CORE, LOAD_CORE = 0, 1
MAX_START_S = 0.75
MAX_IDLE_MB, MAX_GROWTH_MB, MAX_STREAMS_MB = 70, 25, 150
GROWTH_REQUESTS, OPEN_STREAMS = 200_000, 1_000
COLUMNS = ("CPU per request", "nginx", "llmproxy", "ratio", "requests/s", "p50", "p99")


@contextmanager
def _proxy(port: int, folder: Path, *arguments: str) -> Iterator[tuple[int, float]]:
    """Start llmproxy as a user does, on its core; yield its process id and the seconds until it listened."""
    program = Path(sys.executable).with_name("llmproxy")
    command = ["taskset", "-c", str(PROXY_CORE), str(program), "serve", "--port", str(port), *arguments]
    began_s = time.monotonic()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > began_s + 30:
                    sys.exit("llmproxy does not listen; see its output above")
                time.sleep(0.005)
            yield process.pid, time.monotonic() - began_s
        finally:
            process.send_signal(signal.SIGTERM)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """llmproxy under test, and the servers beside it."""

    servers: nginx.Servers
    port: int
    pid: int


class Report:
    """The tables, and what is wrong with the results. `ratios` to nginx are by the name of the case."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.ratios: dict[str, float] = {}

    def row(self, *cells: str) -> None:
        """Print one row."""
        print("| " + " | ".join(cells) + " |", flush=True)

    def check(self, what: str, value: float, limit: float) -> None:
        """Complain about a result that is beyond its limit."""
        if value > limit:
            self.complain(f"{what}: {value:.3g}, at most {limit:g}")

    def complain(self, text: str) -> None:
        """Record a result that is beyond its limit, or does not count, with the reason."""
        self.complaints.append(text)

    def print_complaints(self) -> None:
        """Print what is wrong, below the tables."""
        for text in self.complaints:
            print(f"\n{text}", flush=True)


def _measure_case(case: Case, measured: Measured, options: argparse.Namespace, report: Report) -> None:
    rounds: list[tuple[Run, Run]] = []
    complaints: set[str] = set()
    servers, port = measured.servers, measured.port
    if case.cached:
        accounting.fill(port, case)
    for _ in range(options.rounds):
        base = drive(servers.yardstick_port, servers.yardstick_pid, case, options.seconds, options.folder)
        before = accounting.read(port, case.template)
        mine = drive(port, measured.pid, case, options.seconds, options.folder)
        rounds.append((base, mine))
        complaints |= {*base.failures, *mine.failures, *_errors_of_run(case, port, before, mine)}
    complaints |= {
        *accounting.accounting_errors(port, case),
        *accounting.losses(port),
        *(accounting.misses(port) if case.cached else ()),
    }
    ratio = statistics.median(mine.cpu_us / base.cpu_us for base, mine in rounds)
    base, mine = sorted(rounds, key=lambda pair: pair[1].cpu_us)[len(rounds) // 2]
    report.ratios[case.name] = ratio
    report.check(case.name, ratio, round(case.limit * report.ratios.get(case.of, 1), 2))
    cells = (f"{base.cpu_us:.0f} µs", f"{mine.cpu_us:.0f} µs", f"{ratio:.2f}")
    report.row(case.name, *cells, f"{mine.per_second:,.0f}", mine.p50, mine.p99)
    for text in sorted(complaints):
        report.complain(f"{case.name} does not count: {text}")


def _errors_of_run(case: Case, port: int, before: accounting.Totals, run: Run) -> list[str]:
    """Return what /metrics counts wrongly: all answers, and at most one more a connection, which wrk leaves unread."""
    least = accounting.expected(run.requests, case)
    most = accounting.expected(run.requests + 2 * case.connections, case)
    actual = accounting.settled(port, case, lambda now: now.since(before).answered >= least.answered).since(before)
    numbers = zip(_numbers(least), _numbers(actual), _numbers(most), strict=True)
    if all(low <= number <= high for low, number, high in numbers):
        return []
    return [f"/metrics has {actual} after {run.requests} complete answers"]


def _numbers(counted: accounting.Totals) -> tuple[int, int, int]:
    return counted.answered, counted.input_tokens, counted.output_tokens


def _measure_memory(measured: Measured, folder: Path, report: Report) -> None:
    port, pid = measured.port, measured.pid
    idle_mb = memory_mb(pid)
    report.row("memory, idle", f"{idle_mb:.0f} MB")
    report.check("memory, idle, in MB", idle_mb, MAX_IDLE_MB)
    before, sent = accounting.read(port), 0
    while sent < GROWTH_REQUESTS:
        sent += drive(port, pid, CASES[1], 5, folder).requests
    growth_mb = memory_mb(pid) - idle_mb
    report.row(f"growth over {sent:,} requests", f"{growth_mb:.0f} MB")
    report.check("growth in MB", growth_mb, MAX_GROWTH_MB)
    if (counted := accounting.read(port).since(before).answered) < sent:
        report.complain(f"/metrics counts {counted:,} of {sent:,} requests")
    streams_mb = asyncio.run(accounting.with_open_streams(port, OPEN_STREAMS, lambda: memory_mb(pid)))
    report.row(f"memory with {OPEN_STREAMS:,} open streams", f"{streams_mb:.0f} MB")
    report.check("memory with open streams, in MB", streams_mb, MAX_STREAMS_MB)


def _measure(options: argparse.Namespace, report: Report) -> None:
    with nginx.running(options.folder, PROXY_CORE, LOAD_CORE) as servers:
        starts_s = []
        for _ in range(2):
            with _proxy(nginx.free_port(), options.folder, *_plain(servers)) as (_, start_s):
                starts_s.append(start_s)
        port = nginx.free_port()
        with _proxy(port, options.folder, *_plain(servers)) as (pid, start_s):
            measured = Measured(servers=servers, port=port, pid=pid)
            time.sleep(1)
            start_s = statistics.median([*starts_s, start_s])
            report.row("what", "measured")
            report.row("---", "---")
            report.row("start to listening", f"{start_s:.2f} s")
            report.check("start to listening, in seconds", start_s, MAX_START_S)
            if not options.only:
                _measure_memory(measured, options.folder, report)
            print()
            report.row(*COLUMNS)
            report.row(*["---"] * len(COLUMNS))
            _measure_cases(CASES, measured, options, report)
        with redis.running(options.folder, LOAD_CORE) as redis_port, collector.running() as collector_port:
            _measure_configured(servers, redis_port, collector_port, options, report)


def _measure_configured(
    servers: nginx.Servers, redis_port: int | None, collector_port: int, options: argparse.Namespace, report: Report
) -> None:
    for cases, type_, key, more in configured_cases(collector_port, redis_port or 0):
        if not any(_selected(case, options) for case in cases):
            continue
        if cases in IN_REDIS and redis_port is None:
            print(f"no Redis server is installed: {cases[0].name!r} is not measured", file=sys.stderr)
            continue
        port = nginx.free_port()
        config = options.folder / f"{type_}.yaml"
        config.write_text(PROVIDER % {"type": type_, "port": servers.upstream_port, "key": key} + more)
        with _proxy(port, options.folder, "--config", str(config)) as (pid, _):
            _measure_cases(cases, Measured(servers=servers, port=port, pid=pid), options, report)


def _plain(servers: nginx.Servers) -> tuple[str, ...]:
    return ("--base-url", f"http://127.0.0.1:{servers.upstream_port}/v1", "--type", "openai", "--api-key", "sk-up")


def _measure_cases(cases: Sequence[Case], measured: Measured, options: argparse.Namespace, report: Report) -> None:
    for case in cases:
        if _selected(case, options):
            _measure_case(case, measured, options, report)


def _selected(case: Case, options: argparse.Namespace) -> bool:
    return not options.only or any(part in case.name for part in options.only)


def main() -> int:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often nginx and llmproxy take turns in each case")
    parser.add_argument("--seconds", type=int, default=4, help="how long each turn takes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="a part of the names of the cases to run, without the memory figures; repeatable",
    )
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="llmproxy-bench-") as folder:
        options.folder = Path(folder)
        _measure(options, report)
    report.print_complaints()
    return int(bool(report.complaints))


if __name__ == "__main__":
    sys.exit(main())

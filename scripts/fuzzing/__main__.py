"""Fuzz llmproxy, and print a table: see scripts/fuzz.

Requests, answers, streams, files and the answers of a Redis are mutated and cut. Real programs in several
configurations stand between a hostile client and a hostile upstream. Each case has its own random numbers; a finding is
printed with the command that repeats its case. Ends with 1 when anything is found.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from scripts.fuzzing.findings import FAULTS, MEANINGS, Finding, Row
from scripts.fuzzing.hostile_answers import CROWD, answers, crowds, streams
from scripts.fuzzing.hostile_files import files
from scripts.fuzzing.hostile_redis import redis_answers
from scripts.fuzzing.hostile_requests import RAW_AT_ONCE, json_requests, raw_requests
from scripts.fuzzing.programs import Programs

Case = Callable[[Random, Programs, str], None]
KINDS: dict[str, Case] = {
    "raw": raw_requests,
    "json": json_requests,
    "answers": answers,
    "streams": streams,
    "crowds": crowds,
    "files": files,
    "redis": redis_answers,
}
AT_ONCE = {"raw": RAW_AT_ONCE, "crowds": CROWD}
_CHECKED_EVERY = 100
_MAX_GROWTH_MB = 48.0
_MAX_MORE_FILES = 60


class Run:
    """One run: its programs, rows and findings."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.programs = Programs(folder)
        self.rows: list[Row] = []
        self.failed = False
        self._first: dict[str, tuple[float, int]] = {}

    def kind(self, name: str, seconds: float, rounds: int | None, only: int | None) -> None:
        """Run the cases of one kind, for so long or so many; or one case alone."""
        row = Row(kind=name)
        self.rows.append(row)
        if name != "redis":
            self.programs.start("plain", "watched", "disk", "stub")
        if only is not None:
            self._case(row, only)
            return
        rounds = rounds and -(-rounds // (4 if AT_ONCE.get(name) else 1))
        began_s, number = time.monotonic(), 0
        before: dict[str, tuple[float, int]] = {}
        while number < rounds if rounds is not None else time.monotonic() < began_s + seconds:
            self._case(row, number)
            number += 1
            if number % _CHECKED_EVERY == 0:
                self._check(row, number)
            if not before and (number == (rounds or 0) // 3 or time.monotonic() > began_s + seconds / 3):
                before = self._held()
                self._first = before | self._first
        self._check(row, number)
        self._check_growth(row, before)

    def _check_growth(self, row: Row, before: dict[str, tuple[float, int]]) -> None:
        for served, (mb, files_) in self._held().items():
            before_mb, before_files = before.get(served, (mb, files_))
            row.growth_mb = max(row.growth_mb, mb - before_mb)
            if mb > before_mb + _MAX_GROWTH_MB or files_ > before_files + _MAX_MORE_FILES:
                text = f"{served}: {before_mb:.0f} to {mb:.0f} MB, {before_files} to {files_} open files"
                self.report(row, Finding("growth", text), "for as long")

    def _case(self, row: Row, number: int) -> None:
        row.cases += AT_ONCE.get(row.kind, 1)
        rng, id_ = Random(f"{self.seed}/{row.kind}/{number}"), f"{row.kind}-{number}"
        try:
            KINDS[row.kind](rng, self.programs, id_)
        except Finding as finding:
            self.report(row, finding, f"--case {number}")
        except Exception:  # a fault of the fuzzing itself
            print(f"\n[{row.kind}] cannot make --case {number} of --seed {self.seed}", flush=True)
            raise
        self._each(row, f"--case {number}", lambda served: served.check_output())

    def _check(self, row: Row, number: int) -> None:
        self._each(row, f"before case {number}", lambda served: served.check_idle())
        self._each(row, f"before case {number}", lambda served: served.check_pages())

    def _each(self, row: Row, place: str, check: Callable[..., None]) -> None:
        for served in self.programs.running.values():
            try:
                check(served)
            except Finding as finding:
                self.report(row, finding, place)

    def _held(self) -> dict[str, tuple[float, int]]:
        """Return the memory (MB) and the open files of each program."""
        return {name: (served.memory_mb(), served.open_files()) for name, served in self.programs.running.items()}

    def report(self, row: Row, finding: Finding, place: str) -> None:
        """Count a finding and print it with how to repeat it."""
        self.failed = True
        row.found[finding.fault] += 1
        print(
            f"\n[{row.kind}] {finding}\n  repeat: scripts/fuzz --seed {self.seed} --only {row.kind} {place}", flush=True
        )

    def end(self) -> None:
        """Stop the programs and print the table."""
        row = Row(kind="at the end")
        self._check_growth(row, self._first)
        for finding in self.programs.close():
            self.report(row, finding, "")
        print()
        for cells in (
            ["kind", "cases", *FAULTS, "memory"],
            ["---"] * (len(FAULTS) + 3),
            *(each.cells() for each in [*self.rows, row]),
        ):
            print(f"| {' | '.join(cells)} |")
        print(f"\nseed {self.seed}; {sum(row.cases for row in self.rows):,} cases", flush=True)


def main() -> int:
    """Parse the arguments, run, print the table."""
    meanings = "\n".join(f"  {fault}: {meaning}" for fault, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"faults:\n{meanings}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long all kinds take together [120]")
    parser.add_argument(
        "--rounds", type=int, help="so many cases of each kind instead (a quarter where a case is many)"
    )
    parser.add_argument("--seed", type=int, help="what the random numbers begin with; printed at the end")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind alone; repeatable")
    parser.add_argument("--case", type=int, help="this case of it alone")
    options = parser.parse_args()
    if options.case is not None and (options.seed is None or len(options.only or ()) != 1):
        parser.error("--case needs --seed and one --only")
    seed = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    logging.disable()  # of stores in this process, and of the upstream, which writes to peers that left
    kinds = options.only or list(KINDS)
    with tempfile.TemporaryDirectory(prefix="llmproxy-fuzz-") as folder:
        run = Run(seed, Path(folder))
        try:
            for kind in kinds:
                run.kind(kind, options.seconds / len(kinds), options.rounds, options.case)
        finally:
            run.end()
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())

"""Cases of files that the program reads, mutated and cut: traces, SQLite files, configurations, requests, pages.

The commands run in this process, under an alarm; anything but an exit code or a usage error is a finding. Begin reading
at `files`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from typer.testing import CliRunner

from llmproxy.cli import app
from llmproxy.errors import ProxyError
from llmproxy.middleware.audit import audit_line
from llmproxy.records.audit_file import AuditFile
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.open_stores import OpenStore
from llmproxy.stores.sessions import SessionOutcome, Visit
from scripts.fuzzing import mutation, seeds
from scripts.fuzzing.findings import Finding
from scripts.fuzzing.programs import PATIENCE_S, Programs
from tests.support import records, vendors
from tests.support.exchanges import ended
from tests.support.program import ROOT
from tests.support.provider import Upstream

_RUNNER = CliRunner()
_CONFIGS = [path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))] + [
    path.read_bytes().partition(b"\n-----")[0] for path in sorted((ROOT / "tests/golden/config").glob("*.txt"))
]
# What moves the cursor, changes colours, or reorders text.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PAGES = ("/stats", "/sessions", "/cache", "/health")


def files(rng: Random, programs: Programs, id_: str) -> None:
    """Spoil one file or page, and run the commands that read it."""
    case = rng.choice((_traces, _traces, _traces, _store, _config, _config, _request, _request, _pages, _audit))
    with tempfile.TemporaryDirectory(prefix="llmproxy-fuzz-") as folder, _alarm():
        case(rng, Path(folder), programs)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Interrupt what does not end."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Finding("hang", "".join(traceback.format_stack(frame)[-5:]))

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _run(*arguments: str, shown: bytes) -> str:
    """Run a command; return what it printed."""
    result = _RUNNER.invoke(app, arguments)
    fault = result.exception
    if isinstance(fault, Finding):
        raise fault
    if fault is not None and not isinstance(fault, SystemExit):
        lines = "".join(traceback.format_exception(fault)[-6:])
        raise Finding("traceback", f"llmproxy {' '.join(arguments)}\n{lines}of {shown!r:.4000}")
    if "Traceback (most recent" in result.output:
        raise Finding("traceback", f"llmproxy {' '.join(arguments)}\n{result.output[-2000:]}of {shown!r:.4000}")
    if match := _STEERS.search(result.output):
        place = result.output[max(0, match.start() - 200) : match.end() + 50]
        raise Finding("invalid", f"llmproxy {' '.join(arguments)} prints {place!r}\nof {shown!r:.4000}")
    return result.output


def _spoil_bytes(rng: Random, data: bytes) -> bytes:
    return mutation.cut(rng, data) if rng.random() < 0.2 else mutation.flip_bytes(rng, data, 6)


def _traces(rng: Random, folder: Path, programs: Programs) -> None:
    """Records: as files each or lines of a day."""
    shown = b""
    for number in range(rng.randint(1, 4)):
        value = _record(rng, number)
        path = records.write(folder, number) if rng.random() < 0.5 else records.append(folder, number)
        data = mutation.to_json(rng, value).replace(b"\n", b" ") + b"\n"
        if rng.random() < 0.4:
            data = _spoil_bytes(rng, rng.choice((data, path.read_bytes())))
        with path.open("ab" if path.suffix == ".jsonl" else "wb") as file:
            file.write(data)
        shown += data
    where, form = str(folder), rng.choice((("--json",), ("--raw",), ("--curl",), (), ()))
    commands: tuple[tuple[str, ...], ...] = (
        ("ls", where, *rng.choice(((), ("--json",), ("--sort", "tokens"), ("--filter", "slower=1s,status=2xx")))),
        ("show", "000000", where, *form),
        ("show", "--session", "s_1", where, *rng.choice(((), ("--json",)))),
        ("tail", "--no-follow", "-n", "5", where, *rng.choice(((), ("--json",)))),
        ("stats", where),
    )
    for command in rng.sample(commands, 3):
        _run("trace", *command, shown=shown)


def _record(rng: Random, number: int) -> Any:
    """Return a record of a golden conversation, with a few places changed."""
    dialect = rng.choice(seeds.NAMES)
    asked, answered = rng.choice(seeds.REQUESTS[dialect]), rng.choice(seeds.REPLIES[dialect])
    response = records.response(answered)
    if rng.random() < 0.5 and dialect not in seeds.BINARY:
        stream = rng.choice(seeds.STREAMS[dialect]).decode()
        chunks = [[index * 1.5, frame + "\n\n"] for index, frame in enumerate(stream.split("\n\n")[:-1])]
        response = records.response(None, format=None, chunks=chunks)
    head = records.head(
        number, session=rng.choice((None, "s_1")), dialect=dialect, path=seeds.path_of(dialect, "m", stream=False)
    )
    value = {**head, "request": records.request(asked), "response": response}
    return value if rng.random() < 0.1 else mutation.spoil(rng, value, 4)


def _store(rng: Random, folder: Path, programs: Programs) -> None:
    """Spoil the SQLite file of cache, sessions and responses."""
    path = folder / "store.sqlite"
    asyncio.run(_use_store(path))
    victims = [each for each in folder.iterdir() if each.stat().st_size]
    victim = rng.choice(victims)
    data = victim.read_bytes()
    for _ in range(rng.randint(1, 30)):
        if rng.random() < 0.05:
            data = mutation.cut(rng, data)
        elif data:
            at = rng.randrange(min(len(data), rng.choice((100, 4096, 1 << 30))))
            data = data[:at] + rng.randbytes(rng.choice((1, 1, 4, 64))) + data[at + 4 :]
    victim.write_bytes(data)
    try:
        asyncio.run(_use_store(path))
    except (Finding, AssertionError):
        raise
    except Exception as error:
        raise Finding("traceback", "".join(traceback.format_exception(error)[-6:])) from error


async def _use_store(path: Path) -> None:
    """Do with a store what the middlewares do; StoreFault is how it says that it cannot."""
    opened = OpenStore(DiskStore(DiskStore.Config(type="disk", path=str(path))))
    blobs, sessions, responses = opened.blobs(100_000), opened.sessions(20, 60.0), opened.responses(100_000)
    with contextlib.suppress(ProxyError):  # how it refuses the file of another program
        await opened.start()
    for number in range(3):
        visit = Visit(tenant="t", client="c", keys=[f"k{number}"], learn=["l"], session=f"s{number}", now_s=1e9)
        for step in (
            lambda: blobs.get("key"),
            lambda: blobs.set("key", b"v" * 3000, 60),
            lambda visit=visit: sessions.touch(visit),
            lambda: sessions.recent("t"),
            lambda: sessions.sessions(10),
            lambda: sessions.session("s1"),
            sessions.counts,
            lambda: responses.set("key", b"{}", 60),
            lambda: responses.get_many(["key", "other"]),
            lambda: responses.replace("key", b"{}", b"[]", 60),
            blobs.size,
            lambda: blobs.clear("k"),
        ):
            with contextlib.suppress(StoreFault):
                await step()
        sessions.settle(SessionOutcome(session="s1", tenant="t", model="m", input_tokens=5, sketch=b"12345678"))
    with contextlib.suppress(StoreFault):
        await blobs.set("key", b"v" * 3000, 60)
    await opened.close()


def _config(rng: Random, folder: Path, programs: Programs) -> None:
    data = rng.choice(_CONFIGS)
    data = _spoil_bytes(rng, data) if rng.random() < 0.5 else _other_lines(rng, data)
    path = folder / "llmproxy.yaml"
    path.write_bytes(data)
    _run(
        "validate-config",
        str(path),
        *rng.choice(((), ("--format", "json"), ("--no-env",), ("--format", "sarif"))),
        shown=data,
    )
    if rng.random() < 0.4:
        _run("explain", rng.choice(("gpt-4o", "claude-x", "fast", "")), "--config", str(path), shown=data)


def _other_lines(rng: Random, data: bytes) -> bytes:
    """Leave out, double, move, indent or replace whole lines and values."""
    lines = data.split(b"\n")
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(b":")
        value = json.dumps(rng.choice(mutation.ODD)).encode()
        lines[at : at + 1] = rng.choice(
            (
                [],
                [lines[at], lines[at]],
                [b"  " + lines[at]],
                [lines[at].lstrip()],
                [key + colon + b" " + value],
                [lines[at].replace(b"# ", b"").replace(b"#", b"")],
                [rng.choice(lines)],
                [
                    lines[at]
                    + rng.choice((b" &a", b" *a", b" !!python/object:os.system", b" !!binary x", b" |", b" >", b" ? "))
                ],
            )
        ) or [b""]
    return b"\n".join(lines)


def _request(rng: Random, folder: Path, programs: Programs) -> None:
    """Spoil the body of a request, as `translate`, `lint` and `explain` read it."""
    source, target = rng.choice(seeds.NAMES), rng.choice(seeds.NAMES)
    data = mutation.to_json(rng, mutation.spoil(rng, seeds.request(rng, source)))
    data = _spoil_bytes(rng, data) if rng.random() < 0.2 else data
    path = folder / "request.json"
    path.write_bytes(data)
    more = rng.choice(((), ("--strict",), ("--json",), ("--model", "gpt-5"), ("--model", "claude-opus-4-8")))
    _run("translate", "--from", source, "--to", target, str(path), *more, shown=data)
    _run("lint", "--dialect", source, "--model", rng.choice(("gpt-5", "claude-sonnet-4-5", "x")), str(path), shown=data)
    config = str(ROOT / "configs" / "minimal.yaml")
    _run("explain", "gpt-4o", "--config", config, "--request", str(path), "--dialect", source, shown=data)


def _pages(rng: Random, folder: Path, programs: Programs) -> None:
    """Spoil pages of a running server, and the file by which it is found."""
    served = programs["watched"]
    with Upstream(vendors.answer) as server:
        shown = b""

        async def write(call: Any) -> None:
            nonlocal shown
            page = call.request.path if call.request.path in _PAGES else "/health"
            value = real[page]
            shown = mutation.to_json(rng, mutation.spoil(rng, value, 5))
            reply = vendors.plain({})
            await call.give(type(reply)(headers=reply.headers, pieces=[shown], end="close"))

        real = {page: served.get(page).json for page in _PAGES}
        server.default = write
        url: tuple[str, ...] = ("--url", server.url)
        if rng.random() < 0.1:
            url = ()
            state = folder / "llmproxy" / "servers"
            state.mkdir(parents=True)
            found = {
                "pid": os.getpid(),
                "url": server.url,
                "version": "1",
                "started": "2026",
                "host": "x",
                "port": server.port,
            }
            (state / "1-1.json").write_bytes(mutation.to_json(rng, mutation.spoil(rng, found, 1)))
        more = rng.choice(((), ("--json",)))
        os.environ["XDG_STATE_HOME"] = str(folder)
        for command in (("stats", "--by", "client"), ("sessions",), ("sessions", "s_1"), ("cache", "stats")):
            _run(*command, *url, *more, shown=shown)
        server.forget()


def _audit(rng: Random, folder: Path, programs: Programs) -> None:
    """Append to an audit file that others left, and check that nothing of it is lost."""
    path = folder / "audit.jsonl"
    before = _spoil_bytes(rng, b'{"version": 1, "id": "a"}\n' * 5)
    path.write_bytes(before)
    file = AuditFile(str(path), fsync="never", max_size_bytes=rng.choice((None, 200, 1_000_000)))
    file.write((audit_line(ended(id="1")), ()))
    file.flush()
    file.close()
    after = b"".join(
        each.read_bytes() for each in sorted(folder.iterdir(), key=lambda each: len(each.name), reverse=True)
    )
    if before not in after or not after.endswith(b"}\n"):
        raise Finding("records", f"the audit file {before!r} became {after!r:.3000}")

"""Stores of trace records, and records of the turns of conversations for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from llmproxy.records.record import CapturedMessage, WrittenRecord, write_record
from llmproxy.records.retention import Retention
from llmproxy.records.sqlite_retention import SqliteRetention
from llmproxy.records.sqlite_traces import SqliteTraces
from llmproxy.records.trace_store import RecordFiles
from llmproxy.redaction.json_path import parse_path
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.records import entry

REPLY = b'data: {"delta":"Hello"}\n\n'


def record_files(directory: Path) -> RecordFiles:
    return RecordFiles(str(directory), Retention(str(directory), None, None))


def sqlite_traces(
    directory: Path, *, dedupe: bool = True, max_age_s: float | None = None, max_bytes: int | None = None
) -> SqliteTraces:
    files = Retention(str(directory), max_age_s, max_bytes)
    return SqliteTraces(str(directory), SqliteRetention(files, max_age_s, max_bytes), dedupe=dedupe)


def turn_record(
    number: int,
    raw: bytes,
    memory: JsonMemory,
    *,
    secrets: tuple[str, ...] = (),
    paths: Iterable[str] = (),
    **changes: str,
) -> WrittenRecord:
    """Return the record of a request with the body `raw`, read with `memory` as a server does."""
    return write_record(
        entry(number, **changes),
        CapturedMessage(headers=[("x-a", "b")], size=len(raw), parts=[raw], read=memory.read(raw, "messages")),
        CapturedMessage(size=len(REPLY), parts=[REPLY], times_ms=[1.0]),
        secrets=secrets,
        paths=[parse_path(path) for path in paths],
        limit_bytes=1 << 20,
    )


def conversation(name: str, turns: int, *, marks: bool = False) -> Iterator[bytes]:
    """Yield the bodies of the `turns` of a conversation of some 20 KB, in which nothing has to be masked. With `marks`
    the last message of each turn has a cache mark, which is gone in the next."""
    messages = [{"role": "user", "content": f"{name} {number} " + "word " * 80} for number in range(50)]
    tools = [{"name": f"tool_{number}", "description": "does it " * 40} for number in range(5)]
    for turn in range(turns):
        messages = [*messages, {"role": "assistant", "content": f"{name}, turn {turn}"}]
        sent = [*messages[:-1], {**messages[-1], "cache_control": {"type": "ephemeral"}}] if marks else messages
        yield json.dumps({"model": "m", "messages": sent, "tools": tools}).encode()

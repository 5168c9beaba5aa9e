"""Trace records for tests of what reads them: made as the trace middleware makes them, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from llmproxy.records.entry import Entry
from llmproxy.records.found_records import FoundEntry, read_record
from llmproxy.records.record import Record
from llmproxy.records.trace_files import RecordLocation

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
ANSWERED = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
}


def head(number: int = 0, /, **changes: Any) -> dict[str, Any]:
    """Return the members of an entry; `number` makes id and time its own."""
    return {
        "version": 1,
        "id": f"{number:06x}aaaa",
        "request_id": f"req-{number}",
        "started": f"2026-01-02T03:{number // 60:02d}:{number % 60:02d}.000000Z",
        "duration_ms": 100.0 + number,
        "first_byte_ms": 10.0,
        "first_token_ms": 12.0,
        "client": {"address": "127.0.0.1", "agent": "test/1", "name": None},
        "session": None,
        "cache": None,
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": None,
        "dialect": "chat",
        "model": "gpt-4o",
        "served_model": "gpt-4o",
        "provider": "openai",
        "route": "gpt-4o",
        "stream": False,
        "status": 200,
        "outcome": "complete",
        "complete": True,
        "error": None,
        "finish_reason": "stop",
        "usage": {"input": 10, "output": 5, "cache_read": None, "cache_write": None, "reasoning": None},
        "dropped": [],
        "attempts": [],
        **changes,
    }


def entry(number: int = 0, /, **changes: Any) -> Entry:
    return msgspec.convert(head(number, **changes), Entry)


def request(body: object = ASKED, **changes: Any) -> dict[str, Any]:
    headers = {"host": "127.0.0.1:3000", "authorization": "**********", "content-type": "application/json"}
    return {"headers": headers, "size": 50, "format": "json", "body": body, "truncated": False, **changes}


def response(body: object = ANSWERED, **changes: Any) -> dict[str, Any]:
    result = {"headers": {"content-type": "application/json"}, "size": 60, "format": "json", "body": body}
    return {**result, "chunks": None, "truncated": False, **changes}


def text(number: int = 0, /, **changes: Any) -> str:
    """Return a record in the layout of its file; `request` and `response` replace those parts."""
    call, answered = changes.pop("request", request()), changes.pop("response", response())
    lines = json.dumps(head(number, **changes))[:-1], json.dumps(call), json.dumps(answered)
    return f'{lines[0]},\n"request":{lines[1]},\n"response":{lines[2]}}}\n'


def write(directory: Path, number: int = 0, /, **changes: Any) -> Path:
    """Return a record in a file of its own below `directory`."""
    result = head(number, **changes)
    day, clock = result["started"].split("T")
    path: Path = directory / day / f"{clock[:12].replace(':', '')}-{result['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(number, **changes), encoding="utf-8")
    return path


def append(directory: Path, number: int = 0, /, **changes: Any) -> Path:
    """Return a record as a line in the file of its day."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{head(number, **changes)['started'][:10]}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(text(number, **changes)[:-1].replace("\n", " ") + "\n")
    return path


def ids(found: Iterable[FoundEntry]) -> list[int]:
    """Return the numbers of entries."""
    return [int(each.entry.id[:6], 16) for each in found]


def record(directory: Path, **changes: Any) -> Record:
    return read_record(RecordLocation(str(write(directory, **changes))))[0]

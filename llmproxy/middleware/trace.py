"""Records every exchange: a JSON file each, a line in the file of the day, or a row of a database.

The hooks only keep references; a thread reads, masks and writes. `records/record.py` defines the content of a record,
`records/trace_store.py` its place. Begin reading at `Trace.on_request`.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from llmproxy.answer import Answer
from llmproxy.body import Body, ByteStream, StreamedBody
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.private_files import refuse_place
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import Entry, entry_of
from llmproxy.records.record import PART_OVERHEAD_BYTES, CapturedFrames, CapturedMessage, write_record
from llmproxy.records.retention import Retention
from llmproxy.records.trace_store import DayFiles, RecordFiles, TraceStore
from llmproxy.redaction.json_path import parse_path
from llmproxy.redaction.secrets import secrets_of
from llmproxy.settings import DurationLimit, Size, SizeLimit, Strict, parse_size
from llmproxy.wire.timestamp import milliseconds

BUFFER_BYTES = 64 * 1024 * 1024


class CaptureBudget:
    """The memory for bodies of records, over all exchanges. The event loop takes, the thread gives back: each has its
    own counter, so that no lock is needed.
    """

    __slots__ = ("_given_bytes", "_limit_bytes", "_taken_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._given_bytes = 0

    @property
    def used_bytes(self) -> int:
        return self._taken_bytes - self._given_bytes

    def take(self, size_bytes: int) -> bool:
        """Take memory; return False when there is none left. Called in the event loop."""
        if self._taken_bytes - self._given_bytes + size_bytes > self._limit_bytes:
            return False
        self._taken_bytes += size_bytes
        return True

    def untake(self, size_bytes: int) -> None:
        """Give back memory that the thread will not give back. Called in the event loop."""
        self._taken_bytes -= size_bytes

    def give(self, size_bytes: int) -> None:
        """Give back memory. Called by the thread."""
        self._given_bytes += size_bytes


class Capture:
    """The parts of one exchange that are kept until its record is written."""

    __slots__ = (
        "_buffer",
        "_limit_bytes",
        "_started_s",
        "entry",
        "frames",
        "held_bytes",
        "request",
        "response",
        "secrets",
    )

    entry: Entry
    secrets: tuple[str, ...]

    def __init__(self, buffer: CaptureBudget, limit_bytes: int, started_s: float) -> None:
        self.request = CapturedMessage()
        self.response = CapturedMessage()
        self.frames: CapturedFrames | None = None
        self.held_bytes = 0
        self._buffer = buffer
        self._limit_bytes = limit_bytes
        self._started_s = started_s

    def sent(self, data: bytes) -> None:
        """Keep a part of the answer that was sent to the client."""
        response = self.response
        if self.keep(response, data) and response.times_ms is not None:
            response.times_ms.append(milliseconds(time.monotonic() - self._started_s))

    def keep_frame(self, sender: str, data: bytes) -> None:
        """Keep a message of a WebSocket while there is room. Later ones are not kept either: a gap would mislead."""
        frames = self.frames
        if frames is None or frames.short:
            return
        frames.size += len(data)
        cost = len(data) + PART_OVERHEAD_BYTES
        if frames.size > self._limit_bytes or not self._buffer.take(cost):
            frames.short = True
            return
        self.held_bytes += cost
        frames.messages.append((milliseconds(time.monotonic() - self._started_s), sender, data))

    def keep(self, captured: CapturedMessage, data: bytes) -> bool:
        """Keep the next bytes of a body while there is room; return whether any were kept."""
        captured.size += len(data)
        if captured.short:
            return False
        left = self._limit_bytes - (captured.size - len(data))
        if len(data) > left:
            captured.short = True
            data = data[:left]
        cost = len(data) + PART_OVERHEAD_BYTES
        if not data or not self._buffer.take(cost):
            captured.short = True
            return False
        self.held_bytes += cost
        captured.parts.append(data)
        return True


class _Tee:
    """A request body that streams through, of which a copy is kept."""

    __slots__ = ("_capture", "_keeps", "_stream")

    def __init__(self, stream: ByteStream, capture: Capture, *, keeps: bool) -> None:
        self._stream = stream
        self._capture = capture
        self._keeps = keeps

    async def read(self) -> bytes:
        data = await self._stream.read()
        if self._keeps and data:
            self._capture.keep(self._capture.request, data)
        else:
            self._capture.request.size += len(data)
        return data

    def close(self) -> None:
        self._stream.close()


class Trace(Middleware):
    """Writes one record per exchange."""

    class Config(Strict):
        """Where records are written, and what they contain."""

        directory: str = Field(
            default="./traces",
            min_length=1,
            description="Directory of the files, relative to the working directory of the server.",
        )
        format: Literal["json", "jsonl", "sqlite"] = Field(
            default="json",
            description="`json`: one file per exchange, DIRECTORY/DATE/TIME-ID.json; `jsonl`: one line per exchange in "
            "DIRECTORY/DATE.jsonl; `sqlite`: one database, DIRECTORY/traces.sqlite, which `llmproxy trace export` "
            "turns into lines. Dates and times are UTC.",
        )
        dedupe: bool | None = Field(
            default=None,
            examples=[False],
            description="Store each message of a conversation once, however often a client sends it again. The default "
            "is true with `format: sqlite`; files of JSON cannot do it.",
        )
        include_headers: bool = Field(default=True, description="Record headers, with secrets masked.")
        include_body: bool = Field(default=True, description="Record bodies and streamed chunks.")
        include_frames: bool = Field(
            default=False, description="Record the text messages of WebSockets, up to max_body_size for each WebSocket."
        )
        max_body_size: Size = Field(
            default=parse_size("1MB"),
            gt=0,
            description="Longer bodies are cut off there and marked as truncated.",
        )
        max_age: DurationLimit = Field(default=None, gt=0, description="Remove records older than this, such as 30d.")
        max_total_size: SizeLimit = Field(
            default=None, gt=0, description="Remove the oldest records when all of them together exceed this size."
        )
        sample: float = Field(default=1.0, ge=0, le=1, description="The fraction of exchanges to record.")
        only_errors: bool = Field(
            default=False, description="Record only failed exchanges: a status of 400 or more, or an incomplete answer."
        )
        redact: list[str] = Field(
            default=[],
            description="Paths to mask in JSON bodies and in streamed events: `messages[*].content`, "
            "`request.body.user`, `..email` (at any depth). A body that cannot be searched for them is left out.",
        )

        @field_validator("redact")
        @classmethod
        def _paths_can_be_read(cls, paths: list[str]) -> list[str]:
            for path in paths:
                parse_path(path)
            return paths

        @model_validator(mode="after")
        def _format_can_dedupe(self) -> Self:
            if self.dedupe and self.format != "sqlite":
                raise ValueError("dedupe needs `format: sqlite`: a file or line of JSON holds its whole record")
            return self

    records_shadows = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._directory = os.path.abspath(os.path.expanduser(config.directory))
        self._headers = config.include_headers
        self._bodies = config.include_body
        self._frames = config.include_frames
        self._limit_bytes = config.max_body_size
        self._sample = config.sample
        self._only_errors = config.only_errors
        self._format = config.format
        self._buffer = CaptureBudget(BUFFER_BYTES)
        self._note = f"llmproxy.trace.{id(self)}"
        self._store = _open_store(self._directory, config)
        self._writer = BackgroundWriter("trace", _Recording(self._store, self._buffer, config))

    async def start(self) -> None:
        """Create the directory. Raises ProxyError when it can never be written; a full disk may have room later."""
        try:
            await asyncio.to_thread(self._store.check)
        except (OSError, ValueError) as error:
            refuse_place("trace", self._directory, error, "set `directory` (--trace DIR) to one that can be written")
        self._writer.start()

    async def close(self) -> None:
        await self._writer.close()

    def describe(self) -> Mapping[str, object]:
        return {"directory": self._directory, "format": self._format, **self._writer.describe()}

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if self._writer.crowded:
            await self._writer.room()
        self._capture(exchange)
        return None

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        if not self._bodies:
            return
        notes = exchange.notes
        capture = notes[self._note] if self._note in notes else self._capture(exchange)
        if isinstance(capture, Capture):
            response = capture.response
            if not response.size and exchange.answer is not None and exchange.answer.framing is not None:
                response.times_ms = []
            capture.sent(data)

    def on_end(self, exchange: Exchange) -> None:
        notes = exchange.notes
        capture = notes.pop(self._note) if self._note in notes else self._capture(exchange)
        if not isinstance(capture, Capture):
            return
        capture.entry = entry = entry_of(exchange)
        if self._only_errors and not entry.failed:
            self._buffer.untake(capture.held_bytes)
            return
        capture.secrets = secrets_of(exchange)
        response = capture.response
        response.size = exchange.sent_bytes
        if (answer := exchange.answer) is not None:
            response.encoding = answer.headers.get("Content-Encoding", "")
            if self._headers:
                response.headers = answer.headers.items()
            if self._bodies and response.times_ms is None and answer.framing is not None:
                response.times_ms = []
        if not self._writer.put(capture):
            self._buffer.untake(capture.held_bytes)

    def _capture(self, exchange: Exchange) -> Capture | None:
        """Begin to keep parts for the record; return None when none will be written."""
        capture: Capture | None = None
        if self._sample >= 1 or random.random() < self._sample:
            capture = Capture(self._buffer, self._limit_bytes, exchange.started_s)
            request = capture.request
            if self._headers:
                request.headers = exchange.headers.copy().items()
            self._capture_body(exchange, capture)
            if self._frames and exchange.websocket is not None:
                capture.frames = CapturedFrames()
                exchange.websocket.sinks.append(capture.keep_frame)
        exchange.notes[self._note] = capture
        return capture

    def _capture_body(self, exchange: Exchange, capture: Capture) -> None:
        body = exchange.body
        if isinstance(body, StreamedBody):
            capture.request.encoding = exchange.headers.get("Content-Encoding", "")
            body.stream = _Tee(body.stream, capture, keeps=self._bodies)
        elif isinstance(body, Body):
            capture.request.encoding = body.encoding
            if self._bodies and body.raw:
                capture.keep(capture.request, body.raw)
                capture.request.read = None if body.encoding else body.read
            else:
                capture.request.size = len(body.raw)


def _open_store(directory: str, config: Trace.Config) -> TraceStore:
    retention = Retention(directory, config.max_age, config.max_total_size)
    if config.format == "sqlite":
        from llmproxy.records.sqlite_retention import SqliteRetention
        from llmproxy.records.sqlite_traces import SqliteTraces

        kept = SqliteRetention(retention, config.max_age, config.max_total_size)
        return SqliteTraces(directory, kept, dedupe=config.dedupe is not False)
    return (RecordFiles if config.format == "json" else DayFiles)(directory, retention)


class _Recording:
    """The sink of the writer: builds the records and stores them."""

    def __init__(self, store: TraceStore, buffer: CaptureBudget, config: Trace.Config) -> None:
        self._store = store
        self._buffer = buffer
        self._paths = [parse_path(path) for path in config.redact]
        self._limit_bytes = config.max_body_size
        self._held_bytes = 0

    def write(self, item: Capture) -> None:
        self._held_bytes += item.held_bytes
        record = write_record(
            item.entry,
            item.request,
            item.response,
            secrets=item.secrets,
            paths=self._paths,
            limit_bytes=self._limit_bytes,
            frames=item.frames,
        )
        self._store.write(record)

    def flush(self) -> None:
        try:
            self._store.flush()
        finally:
            self._buffer.give(self._held_bytes)
            self._held_bytes = 0

    def close(self) -> None:
        self._store.close()

"""The audit log: one JSON line for each exchange, in an append-only file.

Client, model, provider, outcome and tokens: no bodies, no headers, no secrets. `records/audit_file.py` defines the line
and keeps the file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from pydantic import Field

from llmproxy.answer import Answer
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.private_files import refuse_place
from llmproxy.records.audit_file import AuditFile, AuditLine, FSync
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import entry_of
from llmproxy.redaction.secrets import secrets_of
from llmproxy.settings import SizeLimit, Strict, parse_size

_UNCOUNTED = Usage()


class Audit(Middleware):
    """Appends a line to the audit file at the end of every exchange."""

    class Config(Strict):
        """Settings of the audit log."""

        path: str = Field(
            default="./audit.jsonl",
            min_length=1,
            description="The file to append to, readable for its owner only; relative to the working directory of "
            "the server.",
        )
        fsync: FSync = Field(
            default="interval",
            description="When to flush to the disk: always (after every write), interval (once a second) or never (the "
            "system decides).",
        )
        max_size: SizeLimit = Field(
            default=parse_size("100MB"),
            ge=1024,
            description="A file that would exceed this size is renamed, with the time in its name, and never deleted; "
            "none for a single file without limit.",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        path = os.path.abspath(os.path.expanduser(config.path))
        self._file = AuditFile(path, fsync=config.fsync, max_size_bytes=config.max_size)
        self._writer = BackgroundWriter("audit", self._file)

    async def start(self) -> None:
        """Open the file. Raises ProxyError when the path can never be written; a full disk may have room tomorrow."""
        try:
            await asyncio.to_thread(self._file.open)
        except (OSError, ValueError) as error:
            refuse_place("audit", self._file.path, error, "set `path` to a file that can be written")
        self._writer.start()

    async def close(self) -> None:
        await self._writer.close()

    def describe(self) -> Mapping[str, object]:
        state, file = self._writer.describe(), self._file
        return {
            "path": file.path,
            **state,
            "waiting": file.waiting,
            "fault": state["fault"] or file.fault or file.rename_fault,
        }

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if self._writer.crowded:
            await self._writer.room()
        return None

    def on_end(self, exchange: Exchange) -> None:
        self._writer.put((audit_line(exchange), secrets_of(exchange)))


def audit_line(exchange: Exchange) -> AuditLine:
    """Return the line of an exchange that ended."""
    entry = entry_of(exchange)
    client, usage, error = entry.client, entry.usage or _UNCOUNTED, entry.error
    return AuditLine(
        time=entry.started,
        id=entry.id,
        request_id=entry.request_id,
        client=client.address,
        key=client.name,
        agent=client.agent,
        session=entry.session,
        method=entry.method,
        path=entry.path,
        dialect=entry.dialect,
        model=entry.model,
        served_model=entry.served_model,
        provider=entry.provider,
        route=entry.route,
        stream=entry.stream,
        outcome=entry.outcome,
        status=entry.status,
        error=None if error is None else error.code,
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        cost_usd=entry.cost_usd,
        duration_ms=entry.duration_ms,
        first_token_ms=entry.first_token_ms,
        attempts=len(entry.attempts),
        request_bytes=_declared(exchange),
        response_bytes=exchange.sent_bytes,
    )


def _declared(exchange: Exchange) -> int | None:
    """Return the length of the body as the client declared it; None for a chunked body."""
    length = exchange.headers.get("Content-Length")
    if length is not None:
        return int(length) if length.isdecimal() and len(length) < 20 else None
    return None if "Transfer-Encoding" in exchange.headers else 0

"""Prints a plain line for each exchange on standard output.

The hooks only collect; a thread formats and writes the lines, so that a stopped terminal holds up nobody. Lines that it
misses are counted. `console/lines.py` defines their look. Begin reading at `Printer.on_end`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.console.lines import ExchangeEnded, ExchangeStarted, LinePrinter
from llmproxy.console.terminal import Console
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.records.background_writer import BackgroundWriter
from llmproxy.records.entry import entry_of
from llmproxy.records.record import PART_OVERHEAD_BYTES
from llmproxy.redaction.masking import all_secrets_of
from llmproxy.redaction.secrets import secrets_of
from llmproxy.settings import Strict
from llmproxy.transcripts.preview import PREVIEW_BYTES, ExchangeBodies

# The limit for bodies that wait to be printed, over all exchanges. Beyond it conversations are left out.
HELD_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class _Sent:
    """The parts of an answer that are kept until it ends."""

    parts: list[bytes] = field(default_factory=list)
    held_bytes: int = 0
    short: bool = False


class Printer(Middleware):
    """Prints a line for each exchange: time, method, path, model, provider, status, tokens, times, session."""

    class Config(Strict):
        """What the printer prints."""

        log_requests: bool = Field(
            default=True,
            description="Print requests: method, path, model, session. They share a line with the answer; without "
            "log_responses the line is printed when the request arrives.",
        )
        log_responses: bool = Field(
            default=True,
            description="Print answers when they end: provider, status, tokens, time to the first token of streams, "
            "total time, errors.",
        )
        log_arrivals: bool = Field(
            default=False, description="Print an additional line when a request arrives: for answers that take long."
        )
        log_body: bool = Field(
            default=False,
            description="Print a preview of the conversation below the line: last question, answer, tools called.",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        early = config.log_requests and not config.log_responses
        self._arrivals = config.log_arrivals or early
        self._ends = config.log_requests or config.log_responses or config.log_body
        self._bodies = config.log_body
        self._note = f"llmproxy.printer.{id(self)}"
        self._taken_bytes = 0
        self._lines = LinePrinter(
            Console(sys.stdout),
            requests=config.log_requests and not early,
            responses=config.log_responses,
            arrivals=self._arrivals,
        )
        self._writer: BackgroundWriter[ExchangeStarted | ExchangeEnded] = BackgroundWriter("printer", self._lines)

    async def start(self) -> None:
        self._writer.start()

    async def close(self) -> None:
        await self._writer.close()

    def describe(self) -> Mapping[str, object]:
        return self._writer.describe()

    async def on_request(self, exchange: Exchange) -> Answer | None:
        if self._arrivals:
            self._start(exchange)
        return None

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        if not self._bodies or not _converses(exchange):
            return
        sent = exchange.notes.get(self._note)
        if not isinstance(sent, _Sent):
            sent = exchange.notes[self._note] = _Sent()
        cost = len(data) + PART_OVERHEAD_BYTES
        if sent.short or sent.held_bytes + cost > PREVIEW_BYTES or not self._take(cost):
            sent.short = True
            return
        sent.held_bytes += cost
        sent.parts.append(data)

    def on_end(self, exchange: Exchange) -> None:
        """Hand the exchange to the thread. A request that was refused before `on_request` is first seen here."""
        if self._arrivals and self._arrival_note not in exchange.notes:
            self._start(exchange)
        if not self._ends:
            return
        bodies, held_bytes = self._held_bodies(exchange) if self._bodies else (None, 0)
        over = ExchangeEnded(exchange.began_s, entry_of(exchange), secrets_of(exchange), bodies, held_bytes)
        if not self._writer.put(over):
            self._taken_bytes -= held_bytes

    @property
    def _arrival_note(self) -> str:
        return f"{self._note}.arrived"

    def _start(self, exchange: Exchange) -> None:
        """Print the arrival of a request."""
        exchange.notes[self._arrival_note] = True
        self._writer.put(
            ExchangeStarted(
                began_s=exchange.began_s,
                id=exchange.id,
                method=exchange.method,
                path=exchange.full_path,
                model=exchange.model,
                client=exchange.client.label,
                session=exchange.session_id,
                secrets=secrets_of(exchange),
            )
        )

    def _held_bodies(self, exchange: Exchange) -> tuple[ExchangeBodies | None, int]:
        """Return the conversation, and how many bytes are held for it."""
        sent = exchange.notes.pop(self._note, None)
        sent = sent if isinstance(sent, _Sent) else _Sent()
        if exchange.endpoint is None or not _converses(exchange):
            return None, sent.held_bytes
        bodies = ExchangeBodies(dialect=exchange.endpoint.dialect, secrets=all_secrets_of(exchange))
        body, answer = exchange.body, exchange.answer
        if isinstance(body, Body) and self._take(len(body.raw)):
            bodies.request, bodies.request_encoding = body.raw, body.encoding
            sent.held_bytes += len(body.raw)
        bodies.response, bodies.short = sent.parts, sent.short or exchange.outcome not in ("complete", "error")
        if answer is not None:
            bodies.response_encoding, bodies.framing = answer.headers.get("Content-Encoding", ""), answer.framing
        return bodies, sent.held_bytes

    def _take(self, size_bytes: int) -> bool:
        """Hold `size_bytes` until the thread has printed them; return False when there is no room."""
        if self._taken_bytes - self._lines.printed_bytes + size_bytes > HELD_BYTES:
            return False
        self._taken_bytes += size_bytes
        return True


def _converses(exchange: Exchange) -> bool:
    """Return whether question and answer of the call are text, unlike images, files and numbers."""
    endpoint = exchange.endpoint
    return endpoint is not None and endpoint.path in endpoint.dialect.paths

"""Prints a plain line for each exchange on standard output, for whoever watches the proxy work.

The hooks only collect; a thread makes the lines and writes them, so that a terminal that stands still holds up nobody.
What such a terminal misses is counted. How lines look is said in `console/lines.py`. Begin reading at
`Printer.on_end`.
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
from llmproxy.redaction.masking import all_secrets_of
from llmproxy.redaction.secrets import secrets_of
from llmproxy.settings import Strict
from llmproxy.transcripts.preview import READ_BYTES, ExchangeBodies

# Bodies that wait to be shown, over all exchanges. Beyond it conversations are left out.
HELD_BYTES = 32 * 1024 * 1024
# What a part of a body costs besides its bytes.
_PART_BYTES = 100


@dataclass(slots=True)
class _Sent:
    """What is kept of an answer until it is over."""

    parts: list[bytes] = field(default_factory=list)
    held_bytes: int = 0
    short: bool = False


class Printer(Middleware):
    """Prints a line for each exchange: time, method, path, model, provider, status, tokens, times, session."""

    class Config(Strict):
        """What is printed."""

        log_requests: bool = Field(
            default=True,
            description="Show what was asked: method, path, model, session. It stands in one line with the answer; "
            "without log_responses it is printed as soon as the request comes.",
        )
        log_responses: bool = Field(
            default=True,
            description="Show what came of it, once that is known: provider, status, tokens, time to the first token "
            "of streams, total time, errors.",
        )
        log_arrivals: bool = Field(
            default=False, description="Print one more line when a request comes: for answers that take long."
        )
        log_body: bool = Field(
            default=False,
            description="Show the conversation in short below the line: the last question, the answer, tools called.",
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
            self._arrive(exchange)
        return None

    def on_chunk(self, exchange: Exchange, data: bytes) -> None:
        if not self._bodies or not _converses(exchange):
            return
        sent = exchange.notes.get(self._note)
        if not isinstance(sent, _Sent):
            sent = exchange.notes[self._note] = _Sent()
        cost = len(data) + _PART_BYTES
        if sent.short or sent.held_bytes + cost > READ_BYTES or not self._take(cost):
            sent.short = True
            return
        sent.held_bytes += cost
        sent.parts.append(data)

    def on_end(self, exchange: Exchange) -> None:
        """Hand what is known to the thread. A request that was refused before `on_request` arrives here."""
        if self._arrivals and self._note_of_arrival not in exchange.notes:
            self._arrive(exchange)
        if not self._ends:
            return
        talk, held_bytes = self._talk(exchange) if self._bodies else (None, 0)
        over = ExchangeEnded(exchange.began_s, entry_of(exchange), secrets_of(exchange), talk, held_bytes)
        if not self._writer.put(over):
            self._taken_bytes -= held_bytes

    @property
    def _note_of_arrival(self) -> str:
        return f"{self._note}.arrived"

    def _arrive(self, exchange: Exchange) -> None:
        exchange.notes[self._note_of_arrival] = True
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

    def _talk(self, exchange: Exchange) -> tuple[ExchangeBodies | None, int]:
        """The conversation, and how many bytes are held for it."""
        sent = exchange.notes.pop(self._note, None)
        sent = sent if isinstance(sent, _Sent) else _Sent()
        if exchange.endpoint is None or not _converses(exchange):
            return None, sent.held_bytes
        talk = ExchangeBodies(dialect=exchange.endpoint.dialect, secrets=all_secrets_of(exchange))
        body, answer = exchange.body, exchange.answer
        if isinstance(body, Body) and self._take(len(body.raw)):
            talk.request, talk.request_encoding = body.raw, body.encoding
            sent.held_bytes += len(body.raw)
        talk.response, talk.short = sent.parts, sent.short or exchange.outcome not in ("complete", "error")
        if answer is not None:
            talk.response_encoding, talk.framing = answer.headers.get("Content-Encoding", ""), answer.framing
        return talk, sent.held_bytes

    def _take(self, size_bytes: int) -> bool:
        """Hold `size_bytes` more until the thread has shown them; False when there is no room."""
        if self._taken_bytes - self._lines.shown_bytes + size_bytes > HELD_BYTES:
            return False
        self._taken_bytes += size_bytes
        return True


def _converses(exchange: Exchange) -> bool:
    """Whether it is a call whose question and answer are text. Images, files and numbers are not."""
    endpoint = exchange.endpoint
    return endpoint is not None and endpoint.path in endpoint.dialect.paths

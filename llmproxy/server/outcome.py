"""Decide how an exchange went, in the words of `Exchange.outcome`."""

from __future__ import annotations

from llmproxy.answer import Answer
from llmproxy.exchange import Exchange


def outcome_of(exchange: Exchange, answer: Answer | None, *, reads: bool) -> str:
    """Return how an exchange went that is over. `reads` says that the client had read what was sent.

    A stream without its dialect's last event is not complete, however cleanly it ended. A client that leaves after that
    event had everything: agents close the connection then, without waiting for the end of the body.
    """
    if exchange.outcome not in ("", "complete"):
        return exchange.outcome
    endpoint = exchange.endpoint
    streamed = answer is not None and answer.framing is not None and answer.status < 400
    # Streams of other calls (images, speech) end in ways of their own.
    watched = streamed and endpoint is not None and endpoint.path in endpoint.dialect.paths
    ended = watched and exchange.summary.complete
    if exchange.outcome == "complete":
        return "incomplete" if watched and not ended else "complete"
    return "complete" if ended and reads else "cancelled"

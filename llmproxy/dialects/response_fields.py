"""What whole answers and streams of all dialects have in common: their ids, errors, and names for what is dropped."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Media, Opaque, StopReason
from llmproxy.dialects.provider_errors import BadReply, error_text, read_error
from llmproxy.wire.json import read_value


def decode_object(body: bytes, name: str, member: str) -> dict[str, Any]:
    """Return the JSON object of a whole answer, which should be a `name` with its content in `member`.

    Raises BadReply for no object, and for an error in whatever form.
    """
    value = read_value(body)
    if isinstance(value, dict) and member in value and not value.get("error"):
        return value
    message, error = read_error(value)
    if message is not None:
        raise answered_with_error(message, error)
    if isinstance(value, dict):
        return value
    words = error_text(body)
    raise not_a(name, "it is not a JSON object" + (f": {words}" if words else ""))


def not_a(name: str, why: str) -> BadReply:
    """Return the error for an answer that is not what it should be."""
    return BadReply(f"The provider's answer is not a {name}: {why}")


def answered_with_error(message: str, error: object) -> BadReply:
    """Return the error for an answer of status 200 that holds `error`."""
    return BadReply(f"The provider answered with an error: {message}", error)


def bare_id(reply_id: str) -> str:
    """Return a reply's id without the beginning that its dialect adds."""
    return reply_id.removeprefix("chatcmpl-").removeprefix("msg_").removeprefix("resp_")


def kind_of(block: Block) -> str:
    """Return what a block is called in the list of losses."""
    return block.kind if isinstance(block, Opaque | Media) else type(block).__name__.lower()


def drop_stop_details(losses: Losses, stop: StopReason, sequence: str | None) -> None:
    """List what a finish reason or a status cannot say: the stop sequence, and that the turn only pauses."""
    if sequence is not None:
        losses.drop("reply.stop_sequence")
    if stop == "pause":
        losses.drop("reply.stop.pause")

"""What whole answers and streams of all dialects have in common: their ids, errors, and names for what is dropped."""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.lenient_json import error_message
from llmproxy.dialects.model import Block, Media, Opaque, StopReason
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.wire.json import read_value


def decode_object(body: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object of a whole answer, which should be a `name`. Raises BadReply for an error or no object."""
    value = read_value(body)
    if not isinstance(value, dict):
        raise not_a(name, "it is not a JSON object")
    error = error_message(value.get("error"))
    if error is not None:
        raise answered_with_error(error, value["error"])
    return value


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

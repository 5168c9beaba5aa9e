"""Find what was kept of a conversation for one target, and decode of its next turn only what is new.

`repeated_turns.py` knows what can be kept, `wire/repeated_json.py` which bytes stood in an earlier body. Begin reading
at `turns_for`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.encode_context import NeedsAllMessages, Options
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import Request
from llmproxy.exchange import Exchange
from llmproxy.translation.repeated_turns import KeptTurns
from llmproxy.translation.request_reader import add_from_path, request_in_call
from llmproxy.wire.repeated_json import ReadObject


def turns_for(exchange: Exchange, provider: Codec, model: str, options: Options, owner: str) -> TurnMemory | None:
    """Return where the turns of a conversation are kept for a target, whose `model` speaks the dialect of `provider`;
    None for requests that are no longer than what is read at once."""
    endpoint = exchange.endpoint
    if endpoint is None or endpoint.dialect.stateful or endpoint.dialect.codec is None or not provider.turns:
        return None
    client = endpoint.dialect.codec
    read = exchange.held.read
    if read is None or not client.turns or client.turns != read.name or client.name == provider.name:
        return None
    key = ("turns", endpoint.template, client.name, provider.name, model, owner, identity_of(exchange))
    return TurnMemory(read=read, endpoint=endpoint, client=client, options=options, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMemory:
    """What is kept of the conversation that `read` goes on with, for one target with these `options`, under `key`."""

    read: ReadObject
    endpoint: Endpoint
    client: Codec
    options: Options
    key: Hashable

    def find(self) -> KeptTurns | None:
        """Return what the beginning of this request became before; None where nothing is kept."""
        kept = self._of(self.read.derived.get(self.key), len(self.read.located().ends))
        if kept is None:
            kept = self._of(self.read.inherited.get(self.key), self.read.known)
            if kept is not None and self.read.same_tail:
                self._keep(self.read, kept)  # for a turn that comes before this one is translated
            elif kept is not None:
                kept = replace(kept, request=None)
        return kept

    def _of(self, kept: object, items: int) -> KeptTurns | None:
        if not isinstance(kept, KeptTurns) or kept.options != self.options:
            return None
        return kept.up_to(items)

    def decode_rest(self, kept: KeptTurns, exchange: Exchange) -> tuple[Request, KeptTurns]:
        """Return the request without the messages that are kept, and what is kept with all else of this request. Raises
        BadRequest, and NeedsAllMessages where the rest has no beginning of its own."""
        first = kept.end.items
        try:
            messages = self.client.decode_turns(self.read.items(first), first)
        except (ValueError, RecursionError):
            raise NeedsAllMessages from None
        # Everything else may stand there only as the beginning of a message that is kept.
        if not messages or messages[0].role != "assistant" or messages[0].path != f"{self.read.name}[{first}]":
            raise NeedsAllMessages
        others = kept.request
        if others is None:
            others = self._decode_others(exchange)
            kept = replace(kept, request=others)
        return msgspec.structs.replace(others, messages=messages, system=[*others.system, *kept.system]), kept

    def _decode_others(self, exchange: Exchange) -> Request:
        """Return the request without any messages."""
        body = parse(self.read.without_items())
        body[self.read.name] = []
        codec, body = request_in_call(body, self.endpoint)
        request = codec.decode_request(body)
        add_from_path(request, exchange)
        return request

    def new_bytes(self, kept: KeptTurns) -> int:
        """Return how many bytes of the request are to be read."""
        return len(self.read.data) - self.read.located().ends[kept.end.items - 1]

    def keep(self, kept: KeptTurns) -> None:
        """Keep `kept` for the next turn."""
        read, part = self.read, kept
        while read.memory is None and read.next is not None:  # the next turn came before this one was translated
            read = read.next
            known = part.up_to(read.known) if read.same_tail else None
            if known is None:
                return
            part = known
        before = read.derived.get(self.key)
        if not isinstance(before, KeptTurns) or before.options != self.options or before.end.items < part.end.items:
            self._keep(read, part)

    def _keep(self, read: ReadObject, kept: KeptTurns) -> None:
        places = read.located()
        others = len(read.data) - (places.end - places.begin)
        read.keep(self.key, kept, kept.size_bytes(others))

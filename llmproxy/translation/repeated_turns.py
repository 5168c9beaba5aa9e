"""Keep what the beginning of a conversation became in another dialect, as bytes, for the turns that repeat it.

An agent sends its whole conversation with every turn. What is translated of it ends where the user's words or results
end and the next message is the assistant's: no encoder joins messages there, and none looks back further, unless it
raises NeedsAllMessages. Everything that could still change what stands before is left to the slow way: prompt-cache
marks, results that come late, blocks of one dialect alone. Begin reading at `KeptTurns` and `place_to_cut`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from llmproxy.dialects.encode_context import Adaptation, Losses, NeedsAllMessages, Options
from llmproxy.dialects.history import INSTRUCTIONS
from llmproxy.dialects.model import (
    Block,
    Instruction,
    Media,
    Message,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.wire.json import write_unicode

FEWEST_TURNS = 2
"""How many turns of the user are always translated again: those are the ones that get prompt-cache marks."""

_MOST_LOSSES = 500  # half of what is listed
_OF_MODEL = ("assistant", "model")


class CutPoint(NamedTuple):
    """A place where a conversation can be cut: after so many items of the client's list of messages, and after so many
    losses. `lacks_thinking` is what `lacks_reasoning` returns for all before it."""

    items: int
    losses: int
    lacks_thinking: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTurns:
    """The beginning of a conversation, up to the last of its `ends`.

    `pieces` are the JSON of the translated messages up to each end, without brackets; `dropped` and `adapted` are the
    losses of that; `ids` are those of calls and results, with the number of messages before which they stand. `request`
    is the client's request without its messages, and without those instructions that stand among them: those are in
    `system`. `request` is None where other members stand beside the messages. `options` are those of the target.
    """

    options: Options
    request: Request | None
    system: list[Instruction]
    pieces: tuple[bytes, ...] = ()
    ends: tuple[CutPoint, ...] = ()
    dropped: tuple[str, ...] = ()
    adapted: Mapping[str, Adaptation] = field(default_factory=dict)
    ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def end(self) -> CutPoint:
        """Return where this ends."""
        return self.ends[-1] if self.ends else CutPoint(0, 0, None)

    @property
    def is_worth_keeping(self) -> bool:
        """Return whether its losses can be listed together with others."""
        return len(self.dropped) <= _MOST_LOSSES

    def up_to(self, items: int) -> KeptTurns | None:
        """Return the part of this that is made of at most the first `items` messages; None for nothing."""
        ends = self.ends
        if not ends or ends[0].items > items:
            return None
        if ends[-1].items <= items:
            return self
        ends = tuple([end for end in ends if end.items <= items])
        dropped = self.dropped[: ends[-1].losses]
        return replace(
            self,
            pieces=self.pieces[: len(ends)],
            ends=ends,
            dropped=dropped,
            adapted={path: self.adapted[path] for path in dropped if path in self.adapted},
            ids={name: number for name, number in self.ids.items() if number <= ends[-1].items},
        )

    def extended(
        self, items: int, encoded: Sequence[object], losses: Losses, ids: Collection[str], lacks_thinking: bool | None
    ) -> KeptTurns:
        """Return this with more messages, up to so many `items` of the client's list: as they are `encoded`, with their
        losses and ids."""
        dropped = (*self.dropped, *losses.dropped)
        if lacks_thinking is None:
            lacks_thinking = self.end.lacks_thinking
        return replace(
            self,
            pieces=(*self.pieces, write_unicode(encoded)[1:-1]),
            ends=(*self.ends, CutPoint(items, len(dropped), lacks_thinking)),
            dropped=dropped,
            adapted={**self.adapted, **losses.adapted},
            ids={**self.ids, **dict.fromkeys(ids, items)},
        )

    def size_bytes(self, other_bytes: int) -> int:
        """Return about how much memory this takes, of a request that has so many bytes beside its messages."""
        places = len(self.ends) + len(self.ids) + len(self.dropped)
        return sum(map(len, self.pieces)) + 4 * other_bytes + 200 * places


def begin_keeping(request: Request, turns: str, options: Options) -> KeptTurns:
    """Return what is kept of a request before any of its messages, which stand in the member `turns`."""
    system = [each for each in request.system if each.path.startswith(f"{turns}[")]
    others = [each for each in request.system if not each.path.startswith(f"{turns}[")]
    rest = msgspec.structs.replace(request, system=others, messages=[])
    return KeptTurns(options=options, request=rest, system=system)


def item_index(message: Message, turns: str) -> int:
    """Return the index of the item of the list `turns` where a message of a client begins."""
    return int(message.path[len(turns) + 1 : -1])


def place_to_cut(messages: Sequence[Message]) -> int:
    """Return how many messages, at the beginning, can be translated on their own; 0 for none."""
    turns = 0
    later = ""
    for at in range(len(messages) - 1, -1, -1):
        role = messages[at].role
        if turns >= FEWEST_TURNS and later == "assistant" and role == "user":
            return at + 1
        turns += role == "user" and later != "user"
        later = role
    return 0


def ids_in(messages: Sequence[Message]) -> set[str]:
    """Return the ids of the calls and the results in `messages`."""
    return {block.id for message in messages for block in message.content if isinstance(block, ToolCall | ToolResult)}


def is_repeatable(messages: Sequence[Message]) -> bool:
    """Return whether nothing in `messages` can depend on what others come later, or take part of what they have in
    common: marks, names of documents."""
    return all([_is_plain(block) for message in messages for block in _blocks(message.content)])


def _blocks(content: Sequence[Block]) -> Iterator[Block]:
    for block in content:
        yield block
        if isinstance(block, ToolResult):
            yield from block.content


def _is_plain(block: Block) -> bool:
    if isinstance(block, Text | ToolResult | ToolCall):
        return block.cache is None
    if isinstance(block, Media):
        return block.cache is None and block.url is None and block.kind == "image"
    return isinstance(block, Thinking | Refusal)


def begins_with_model(encoded: Sequence[Any]) -> bool:
    """Return whether translated messages begin with one of the model, which is not joined with the user's before."""
    return bool(encoded) and encoded[0].get("role", _OF_MODEL[0]) in _OF_MODEL


def ends_with_user(encoded: Sequence[Any]) -> bool:
    """Return whether translated messages end with one of the user, which is not joined with the model's behind."""
    return bool(encoded) and encoded[-1].get("role") not in _OF_MODEL


def write_turns(body: dict[str, Any], name: str, before: Sequence[bytes]) -> bytes:
    """Write a body of which the list `name` has pieces of JSON `before` its own items, but behind its instructions.
    Raises NeedsAllMessages where its own would be joined with those."""
    items: list[dict[str, Any]] = body[name]
    place = next((at for at, item in enumerate(items) if item.get("role") not in INSTRUCTIONS), len(items))
    if not begins_with_model(items[place:]):
        raise NeedsAllMessages
    names = list(body)
    at = names.index(name)
    head, tail = ({each: body[each] for each in part} for part in (names[:at], names[at + 1 :]))
    instructions = [write_unicode(items[:place])[1:-1]] if place else []
    first = b'%b"%b":[' % (write_unicode(head)[:-1] + b"," if head else b"{", name.encode())
    last = b"]%b" % (b"," + write_unicode(tail)[1:] if tail else b"}")
    listed = b",".join([*instructions, *before, write_unicode(items[place:])[1:-1]])
    return b"".join((first, listed, last))

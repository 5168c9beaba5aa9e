"""Finds the new parts of each exchange of a session: clients repeat the whole conversation with every turn.

A request is compared with the recent exchange that it has most in common with: side requests and other conversations
may stand between two turns. Begin reading at `SessionTranscript.add`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from llmproxy.transcripts.transcript import TranscriptPart

# The number of parallel conversations in one session, such as those of sub-agents, to compare with.
_RECENT = 16
_SYSTEM = ("system", "developer")
# Clients leave out old thinking, as providers ask them to: it does not count as dropped.
_IGNORED = (*_SYSTEM, "thinking")
# Parts that a model writes.
_BY_MODEL = ("assistant", "tool call")


class TranscriptDiff(NamedTuple):
    """New parts of a request, in order; how many of its parts are not new (`repeated`), and how many earlier parts
    it leaves out (`dropped`).
    """

    new: list[TranscriptPart]
    repeated: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _Conversation:
    """Conversation up to the end of one exchange."""

    parts: Sequence[TranscriptPart]
    different: frozenset[TranscriptPart]


@dataclass(slots=True)
class SessionTranscript:
    """Conversations of one session. Add its exchanges in order."""

    _conversations: deque[_Conversation] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _rules: set[str] = field(default_factory=set)

    def add(
        self, request: Sequence[TranscriptPart], answer: Sequence[TranscriptPart], *, refers: bool = False
    ) -> TranscriptDiff:
        """Add an exchange and return its new parts. `refers`: its request names stored messages instead of repeating
        them.
        """
        parts = [_plain(each) for each in request]
        base = self._base(parts)
        if refers or not _continues(parts, base):  # a short "yes" is new, not a repetition
            base = [each for each in base if each.role in _SYSTEM]
        conversation = [*parts, *map(_plain, answer)]
        self._conversations.append(_Conversation(conversation, frozenset(conversation)))
        new: list[TranscriptPart] = []
        repeated: list[TranscriptPart] = []
        dropped = 0
        for kind, start, end, at, until in SequenceMatcher(None, base, parts, autojunk=False).get_opcodes():
            if kind == "equal":
                repeated += parts[at:until]
            else:
                new += request[at:until]
                dropped += _spoken(base[start:end])
        # A request with only the system prompt in common is another conversation, and drops nothing.
        return TranscriptDiff(self._new_lines(new), len(repeated), dropped if _spoken(repeated) else 0)

    def _base(self, parts: Sequence[TranscriptPart]) -> Sequence[TranscriptPart]:
        """Return the conversation that has most in common with `parts`; of equals the latest."""
        different = frozenset(parts)
        base: Sequence[TranscriptPart] = ()
        most = 0
        for conversation in reversed(self._conversations):
            if (common := len(different & conversation.different)) > most:
                base, most = conversation.parts, common
        return base

    def _new_lines(self, parts: Sequence[TranscriptPart]) -> list[TranscriptPart]:
        """Reduce system prompts, which often change in a date only, to their new lines."""
        kept = []
        for part in parts:
            if part.role in _SYSTEM:
                lines = [line for line in part.text.splitlines() if line.strip()]
                new = [line for line in lines if line.strip() not in self._rules]
                self._rules.update(line.strip() for line in lines)
                if len(new) < len(lines):
                    part = TranscriptPart(f"{part.role}, changed", "\n".join(new))
            if part.text:
                kept.append(part)
        return kept


def _plain(part: TranscriptPart) -> TranscriptPart:
    """Strip white space at both ends: clients do not keep it."""
    return TranscriptPart(part.role, part.text.strip())


def _continues(parts: Sequence[TranscriptPart], base: Sequence[TranscriptPart]) -> bool:
    """Return whether a request continues `base` or repeats it: a new task may use the same words."""
    common = frozenset(parts).intersection(base)
    if any(each.role.startswith(_BY_MODEL) for each in common):
        return True
    return all(each in common for each in parts if each.role in _SYSTEM)


def _spoken(parts: Sequence[TranscriptPart]) -> int:
    return sum(each.role not in _IGNORED for each in parts)

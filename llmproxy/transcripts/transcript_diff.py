"""What each exchange of a session says that was not said before: with every turn clients send all of it again.

A request is compared with what it has most in common with, among the last exchanges: side requests and several
conversations may stand between two turns. Begin reading at `Heard.listen`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from llmproxy.transcripts.transcript import TranscriptPart

# As many conversations of one session may go on side by side, such as those of an agent's helpers.
_RECENT = 16
_SYSTEM = ("system", "developer")
# Clients leave out old thinking as they are meant to: that is no news.
_SILENT = (*_SYSTEM, "thinking")
# What a model said.
_MADE = ("assistant", "tool call")


class TranscriptDiff(NamedTuple):
    """What is new in a request, in its order; how many parts of it were `known`, and how many that were said before it
    leaves out (`dropped`)."""

    said: list[TranscriptPart]
    known: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _Talk:
    """What was said until the end of one exchange."""

    parts: Sequence[TranscriptPart]
    different: frozenset[TranscriptPart]


@dataclass(slots=True)
class SessionTranscript:
    """Listens to the exchanges of one session, in their order."""

    _talks: deque[_Talk] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _rules: set[str] = field(default_factory=set)

    def listen(
        self, asked: Sequence[TranscriptPart], answered: Sequence[TranscriptPart], *, refers: bool = False
    ) -> TranscriptDiff:
        """The news of an exchange. `refers`: its request names what was said before, instead of repeating it."""
        parts = [_plain(each) for each in asked]
        base = self._base(parts)
        if refers or not _continues(parts, base):  # a short "yes" is one more, and not the one of before
            base = [each for each in base if each.who in _SYSTEM]
        talk = [*parts, *map(_plain, answered)]
        self._talks.append(_Talk(talk, frozenset(talk)))
        news: list[TranscriptPart] = []
        known: list[TranscriptPart] = []
        dropped = 0
        for kind, start, end, at, until in SequenceMatcher(None, base, parts, autojunk=False).get_opcodes():
            if kind == "equal":
                known += parts[at:until]
            else:
                news += asked[at:until]
                dropped += _spoken(base[start:end])
        # What has only its system prompt in common with another conversation leaves nothing of that out.
        return TranscriptDiff(self._in_short(news), len(known), dropped if _spoken(known) else 0)

    def _base(self, parts: Sequence[TranscriptPart]) -> Sequence[TranscriptPart]:
        """What was said before that has most in common with `parts`; of equals the latest."""
        different = frozenset(parts)
        found: Sequence[TranscriptPart] = ()
        most = 0
        for talk in reversed(self._talks):
            if (common := len(different & talk.different)) > most:
                found, most = talk.parts, common
        return found

    def _in_short(self, news: Sequence[TranscriptPart]) -> list[TranscriptPart]:
        """System prompts change in a date or two: of one that is mostly known only the lines that are new."""
        found = []
        for said in news:
            if said.who in _SYSTEM:
                lines = [line for line in said.text.splitlines() if line.strip()]
                new = [line for line in lines if line.strip() not in self._rules]
                self._rules.update(line.strip() for line in lines)
                if len(new) < len(lines):
                    said = TranscriptPart(f"{said.who}, changed", "\n".join(new))
            if said.text:
                found.append(said)
        return found


def _plain(said: TranscriptPart) -> TranscriptPart:
    """White space at the ends of a text comes and goes."""
    return TranscriptPart(said.who, said.text.strip())


def _continues(parts: Sequence[TranscriptPart], base: Sequence[TranscriptPart]) -> bool:
    """Whether a request goes on with `base`, or asks the same again: another task may be about the same words."""
    common = frozenset(parts).intersection(base)
    if any(each.who.startswith(_MADE) for each in common):
        return True
    return all(each in common for each in parts if each.who in _SYSTEM)


def _spoken(parts: Sequence[TranscriptPart]) -> int:
    return sum(each.who not in _SILENT for each in parts)

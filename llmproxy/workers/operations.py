"""Describe what the parent and its workers call at each other over their link. Questions of pages and their answers are
encoded
twice, so that the parent passes them on without looking at them."""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.server.peers import ReloadReport, ServerHealth
from llmproxy.stores.link import Operation


class Ready(msgspec.Struct, array_like=True, frozen=True):
    """A worker serves. `traces` are the directories of its trace middlewares."""

    traces: list[str]


class Failed(msgspec.Struct, array_like=True, frozen=True):
    """A worker cannot start: the message for its user."""

    message: str


class Answers(msgspec.Struct, array_like=True, frozen=True):
    """What workers answered to one question, and what their parent knows."""

    parts: list[bytes]
    server: ServerHealth


# At the parent.
READY: Operation[None] = Operation("ready", tuple[Ready], None)
START_FAILED: Operation[None] = Operation("failed", tuple[Failed], None)
LEAVING: Operation[None] = Operation("leaving", tuple[()], None)
COUNTED: Operation[None] = Operation("counted", tuple[bytes], None)
ASK: Operation[Answers] = Operation("ask", tuple[str, bytes], Answers)
RELOAD: Operation[ReloadReport] = Operation("reload", tuple[str], ReloadReport)

# At a worker.
ANSWER_QUESTION: Operation[bytes] = Operation("answer", tuple[str, bytes], bytes)
RELOAD_HERE: Operation[ReloadReport] = Operation("reload here", tuple[str], ReloadReport)
RENDER_METRICS: Operation[tuple[bytes, str]] = Operation("metrics", tuple[str], tuple[bytes, str])
PING: Operation[None] = Operation("ping", tuple[()], None)
STOP: Operation[None] = Operation("stop", tuple[()], None)
CUT: Operation[None] = Operation("cut", tuple[()], None)

COUNTERS = "counters"
"""The question whose answers come from all workers, the asking one too, and from those that are gone."""


def packed(value: Any) -> bytes:
    """Return a question's argument, or its answer, as the other end unpacks it."""
    return msgspec.msgpack.encode(value)

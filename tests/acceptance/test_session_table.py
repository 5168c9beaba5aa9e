"""Recorded conversations of all dialects and of coding agents, each held against the sessions that it consists of.

The table stands below `tests/golden/sessions`; `tests.support.recorded_sessions` describes the files.
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from itertools import count
from string import ascii_uppercase as LABELS

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.recorded_sessions import RECORDINGS, Recording, Request

# `house-*` has a key of its own; the others get their clients' credentials.
CONFIG = """
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", models: ["claude-*"]}}
  - {{name: house, type: openai, base_url: "{url}/v1", api_key: sk-house, models: ["house-*"]}}
middlewares:
  - {{type: sessions}}
"""


@pytest.fixture(scope="module")
def program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("table"), config=CONFIG.format(url=lasting_upstream.url)) as program:
        yield program


@pytest.mark.ledger("X1")
@pytest.mark.ledger("X3")
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
def test_a_recording_consists_of_these_sessions(program: Program, upstream: Upstream, recording: Recording) -> None:
    _need_addresses(recording)
    found: list[str | None] = []
    for number, request in enumerate(recording.requests):
        upstream.forget()  # the proxy answers some requests itself
        upstream.next(recording.script(number))
        status, session = recording.speak(program, number)
        assert status == (200 if isinstance(request.answer, str) else request.answer.status)
        found.append(session)
    labels = _labels(found)
    rows = [_row(*row) for row in zip(count(1), recording.requests, labels, strict=False)]
    assert labels == [request.session for request in recording.requests], "\n".join(["", recording.title, *rows])
    assert {
        label: name for label, name in zip(labels, found, strict=True) if label in recording.names
    } == recording.names


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
def test_a_recording_is_told_in_full(recording: Recording) -> None:
    labels: list[str | None] = [request.session for request in recording.requests]
    assert labels == _labels(labels), "labels go from A on"
    assert recording.names.keys() <= set(labels)
    assert recording.title and recording.sources
    assert {request.client for request in recording.requests} <= recording.clients.keys()


def _labels(sessions: list[str | None]) -> list[str | None]:
    """Return each session's letter, in the order in which they begin."""
    seen = list(dict.fromkeys(session for session in sessions if session is not None))
    return [None if session is None else LABELS[seen.index(session)] for session in sessions]


def _row(number: int, request: Request, label: str | None) -> str:
    """Return a request as a failure shows it: the session that it belongs to, the one that was found, how it ends."""
    said = request.body.get("input", request.body.get("messages"))
    last = json.dumps(said[-1] if isinstance(said, list) and said else said, ensure_ascii=False)
    mark = "  " if label == request.session else "<-"
    return f"{number:2} {request.session} {label or '-'} {mark} {request.client} {request.path} {last[-70:]}"


def _need_addresses(recording: Recording) -> None:
    for client in recording.clients.values():
        with socket.socket() as bound:
            try:
                bound.bind((client.address, 0))
            except OSError as fault:
                assert fault.errno == errno.EADDRNOTAVAIL, fault
                pytest.skip(f"this machine has no address {client.address}")

"""Whatever providers sent, putting it in the other form gives that form or None, and never fails."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from llmproxy.dialects.chat import COMPLETIONS
from llmproxy.dialects.chat import DIALECT as CHAT
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.messages import DIALECT as MESSAGES
from llmproxy.dialects.responses import DIALECT as RESPONSES
from tests.dialects.test_reshape import CASES, DIALECTS, golden
from tests.support import vendors

ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], {}, [None], ["x"], [[]], [{}], {"x": 1}, {"type": None}]
ALL: list[Dialect] = [CHAT, COMPLETIONS, RESPONSES, MESSAGES]


def events_of(stream: bytes) -> list[Any]:
    lines = [line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def stream_of(events: list[Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, name
        if isinstance(each, (dict, list)):
            yield from places(each)


def spoiled(value: Any, dice: random.Random) -> Any:
    """`value` with some of it replaced, removed or doubled."""
    made = copy.deepcopy(value)
    for _ in range(dice.randrange(1, 4)):
        found = list(places(made))
        if not found:
            break
        inside, name = dice.choice(found)
        match dice.randrange(4):
            case 0:
                del inside[name]
            case 1 if isinstance(inside, list):
                inside.insert(name, copy.deepcopy(inside[name]))
            case _:
                inside[name] = copy.deepcopy(dice.choice(ODD))
    return made


def check(dialect: Dialect, reply: bytes, stream: bytes) -> None:
    replay = dialect.reshape
    replay.says_something(reply)
    for usage in (True, False):
        made = replay.stream_of(reply, usage=usage)
        assert made is None or made.endswith(b"\n\n")
    whole = replay.reply_of(stream)
    assert whole is None or isinstance(json.loads(whole), dict)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_spoiled_answers_give_the_other_form_or_none(case: tuple[str, str]) -> None:
    name, dialect = case
    reply, stream = golden(name, dialect)
    dice = random.Random(name + dialect)
    whole, events = json.loads(reply), events_of(stream)
    for _ in range(60):
        check(DIALECTS[dialect], json.dumps(spoiled(whole, dice)).encode(), stream_of(spoiled(events, dice)))


def test_spoiled_text_completions_do_too() -> None:
    dice = random.Random(1)
    whole, events = vendors.completion("m"), events_of(b"".join(vendors.completion_frames("m")))
    for _ in range(300):
        check(COMPLETIONS, json.dumps(spoiled(whole, dice)).encode(), stream_of(spoiled(events, dice)))


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
def test_no_depth_is_too_deep(dialect: Dialect) -> None:
    name = "plain" if dialect is not COMPLETIONS else ""
    if name:
        reply, stream = golden(name, dialect.name)
        whole, events = json.loads(reply), events_of(stream)
    else:
        whole, events = vendors.completion("m"), events_of(b"".join(vendors.completion_frames("m")))
    for depth in (*range(100, 1000, 20), 5000):
        for opening, closing in ((b'{"a":', b"}"), (b"[", b"]"), (b'[{"index":0,"a":', b"}]")):
            deep = opening * depth + b"1" + closing * depth
            check(dialect, _with(whole, deep), stream_of([]) if not events else _deep_stream(events, deep))


def _with(value: Any, deep: bytes) -> bytes:
    """`value` with `deep` in place of every empty text."""
    return json.dumps(value | {"deep": "@@"}).encode().replace(b'"@@"', deep)


def _deep_stream(events: list[Any], deep: bytes) -> bytes:
    made = []
    for event in events:
        changed = copy.deepcopy(event)
        changed["deep"] = "@@"
        for choice in changed.get("choices") or ():
            choice["deep"] = "@@"
        made.append(changed)
    return stream_of(made).replace(b'"@@"', deep)


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"data: \xff\n\n", b"data: 1\n\n", b"data: []\n\n", b"data: {\n\n", b"{}"]
)
def test_bytes_that_are_nothing_give_none(dialect: Dialect, data: bytes) -> None:
    assert dialect.reshape.reply_of(data) is None and dialect.reshape.stream_of(data, usage=True) is None

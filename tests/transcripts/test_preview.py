from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from llmproxy.dialects.catalog import find
from llmproxy.dialects.dialect import Dialect
from llmproxy.transcripts.preview import PREVIEW_BYTES, ExchangeBodies, Preview, preview, strip_context
from llmproxy.wire.sse import SSE
from tests.support import vendors

NAMES = tuple(name for _, name, _ in vendors.TOOL_CALLS)
WHOLE = {"chat": vendors.chat, "messages": vendors.message, "responses": vendors.response}
FRAMES = {"chat": vendors.chat_frames, "messages": vendors.message_frames, "responses": vendors.response_frames}


def dialect(name: str) -> Dialect:
    found = find("POST", "/chat/completions" if name == "chat" else f"/{name}")
    assert found is not None
    return found.dialect


def seen(name: str, request: object = None, response: bytes = b"", **changes: Any) -> Preview:
    body = b"" if request is None else json.dumps(request).encode()
    return preview(ExchangeBodies(dialect=dialect(name), secrets=(), request=body, response=[response], **changes))


@pytest.mark.parametrize("name", WHOLE)
def test_the_answers_text(name: str) -> None:
    assert seen(name, None, json.dumps(WHOLE[name]("m")).encode()).answer == vendors.TEXT
    streamed = seen(name, None, b"".join(FRAMES[name]("m")), framing=SSE)
    assert (streamed.answer, streamed.calls) == (vendors.TEXT, ())


@pytest.mark.parametrize("name", WHOLE)
def test_tools_are_named_once_each(name: str) -> None:
    assert seen(name, None, json.dumps(WHOLE[name]("m", True)).encode()).calls == NAMES
    assert seen(name, None, b"".join(FRAMES[name]("m", True)), framing=SSE).calls == NAMES


def test_tools_that_are_only_offered_are_not_called() -> None:
    offered = {"type": "function", "function": {"name": "weather"}}
    assert seen("chat", None, json.dumps({**vendors.chat("m"), "tools": [offered]}).encode()).calls == ()


MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "answer"},
    {"role": "user", "content": [{"type": "text", "text": "second\nline"}]},
]


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("chat", {"messages": MESSAGES}, "second\nline"),
        ("messages", {"system": "s", "messages": MESSAGES[1:]}, "second\nline"),
        ("responses", {"input": "hello"}, "hello"),
        (
            "chat",
            {"messages": [*MESSAGES, {"role": "tool", "tool_call_id": "c", "content": "21 degrees"}]},
            "21 degrees",
        ),
        ("chat", {"messages": [*MESSAGES, {"role": "assistant", "content": "so"}]}, "second\nline"),
        ("chat", {"messages": []}, None),
        ("chat", {"messages": 7}, None),
        ("chat", [1], None),
    ],
)
def test_the_last_question(name: str, request_: object, expected: str | None) -> None:
    assert seen(name, request_).question == expected


def test_bodies_are_decoded_first() -> None:
    talk = ExchangeBodies(
        dialect=dialect("chat"),
        secrets=(),
        request=gzip.compress(json.dumps({"messages": MESSAGES}).encode()),
        request_encoding="gzip",
        response=[gzip.compress(json.dumps(vendors.chat("m")).encode())],
        response_encoding="gzip",
    )
    assert preview(talk) == Preview("second\nline", vendors.TEXT, ())


def test_secrets_are_masked_as_in_traces() -> None:
    request = {"messages": [{"role": "user", "content": "my key sk-leaked and https://me:pw-1@host/"}]}
    body = json.dumps(request).encode()
    shown = preview(ExchangeBodies(dialect=dialect("chat"), secrets=("sk-leaked",), request=body)).question
    assert shown == "my key ********** and https://**********@host/"


def test_of_a_stream_that_broke_the_beginning_is_shown() -> None:
    frames = b"".join(vendors.chat_frames("m"))
    cut = seen("chat", None, frames[: frames.index(vendors.PIECES[2].encode())], framing=SSE, short=True)
    assert cut.answer == "".join(vendors.PIECES[:2])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"choices":' * 200,
        b"{" * 5,
        b'{"a":"\\ud83d"}',
        b"x" * (PREVIEW_BYTES + 1),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_cannot_be_read_gives_nothing(body: bytes, stream: bool) -> None:
    for name in WHOLE:
        for data in (body, b"data: " + body + b"\n\n"):
            talk = ExchangeBodies(
                dialect=dialect(name), secrets=(), request=body, response=[data], framing=SSE if stream else None
            )
            assert preview(talk) == Preview(None, None, ())


REMINDER = "<system-reminder>\nAs you answer, use this context:\n<b>x</b>\n</system-reminder>"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Fix the bug", "Fix the bug"),
        (f"{REMINDER}\nFix the bug", "Fix the bug"),
        (f"Fix the bug\n{REMINDER}\n{REMINDER}\n", "Fix the bug"),
        (REMINDER, ""),
        ("<environment_context>\n  <cwd>/x</cwd>\n</environment_context>", ""),
        ("<permissions instructions>\nAsk first\n</permissions instructions>", ""),
        ('<ide_selection file="x">a</ide_selection>\nWhat is it?', "What is it?"),
        ("# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nBe brief\n</INSTRUCTIONS>", ""),
        ("<task>\nFix it\n</task>\n\n<environment_details>\nfiles\n</environment_details>", "Fix it"),
        ("<user_query>Fix it</user_query>", "Fix it"),
        ("<command-message>init runs</command-message>\n<command-name>/init</command-name>", "/init"),
        ("What does <my-tag>x</my-tag> mean?", "What does <my-tag>x</my-tag> mean?"),
        ("Is a<b and c>d?", "Is a<b and c>d?"),
        (f"{REMINDER}Fix the bug", "Fix the bug"),
        (f"Fix the bug {REMINDER}", "Fix the bug"),
        (f"{REMINDER}{REMINDER} Fix <my-tag>the</my-tag> bug", "Fix <my-tag>the</my-tag> bug"),
        ("<my-tag>x</my-tag> is wrong", "<my-tag>x</my-tag> is wrong"),
        ("<system-reminder> never closed", "<system-reminder> never closed"),
        ("<div>\n<p>Fix this page</p>\n</div>", "<div>\n<p>Fix this page</p>\n</div>"),
    ],
)
def test_what_a_person_wrote_is_found_among_the_words_of_agents(text: str, written: str) -> None:
    assert strip_context(text) == written


@pytest.mark.parametrize("name", WHOLE)
def test_the_question_is_what_the_person_asked(name: str) -> None:
    kind = "input_text" if name == "responses" else "text"
    texts = [f"{REMINDER}\n", "Fix the bug", REMINDER]
    asked = {"role": "user", "content": [{"type": kind, "text": text} for text in texts]}
    reminded = {"role": "user", "content": REMINDER}
    for messages in ([asked], [asked, reminded], [asked, {"role": "assistant", "content": "ok"}, reminded]):
        body = {"input" if name == "responses" else "messages": messages}
        assert seen(name, body).question == "Fix the bug"
    alone = {"input" if name == "responses" else "messages": [reminded]}
    assert seen(name, alone).question == REMINDER, "there is nothing else"

"""What a codec gives, held against what the dialects have of their own, over the golden conversations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import DerivedReshape, DerivedWatch, history, request_text, summarize
from llmproxy.dialects.summary import Summary
from tests.dialects.test_reshape import CASES as ANSWERS
from tests.dialects.test_reshape import golden
from tests.support.translation_cases import CASES, NAMES

DIALECTS = {dialect.name: dialect for dialect in catalog.DIALECTS}
REQUESTS = [(case.name, name) for case in CASES for name in NAMES if name in case.requests]


def codec_of(dialect: str) -> Codec:
    codec = DIALECTS[dialect].codec
    assert codec is not None
    return codec


def request_of(case: str, dialect: str) -> dict[str, Any]:
    [body] = [each.requests[dialect] for each in CASES if each.name == case]
    return body


def neutral(summary: Summary, case: str = "") -> Summary:
    """Return what every dialect says alike: without its own word for the end and its ids; no text is an empty one.

    Not every special reader takes the words of a refusal for the text of the answer.
    """
    text = "" if case == "refusal" else summary.text or ""
    return msgspec.structs.replace(summary, id=None, finish_reason=None, text=text)


def counted(summary: Summary) -> Summary:
    """Return the same without what decides a price beside the tokens: that is of the provider's own answer."""
    usage = None if summary.usage is None else msgspec.structs.replace(summary.usage, details=msgspec.UNSET)
    return msgspec.structs.replace(neutral(summary), usage=usage)


@pytest.mark.parametrize(("case", "dialect"), ANSWERS)
def test_a_plain_answer_is_summarized_alike(case: str, dialect: str) -> None:
    body, _ = golden(case, dialect)
    own = DIALECTS[dialect].readers.summarize(body, text=True)
    derived = summarize(codec_of(dialect), body, text=True)
    assert neutral(derived, case) == neutral(own, case)
    assert derived.finish_reason is not None


@pytest.mark.parametrize(("case", "dialect"), ANSWERS)
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_stream_is_watched_alike(case: str, dialect: str, size: int) -> None:
    _, stream = golden(case, dialect)
    own, derived = DIALECTS[dialect].readers.watch(text=True), DerivedWatch(codec_of(dialect), text=True)
    for start in range(0, len(stream), size):
        own.feed(stream[start : start + size])
        derived.feed(stream[start : start + size])
    assert neutral(derived.close(), case) == neutral(own.close(), case)
    assert derived.started == own.started


@pytest.mark.parametrize("dialect", NAMES)
def test_a_stream_that_breaks_off_is_incomplete_and_no_error(dialect: str) -> None:
    _, stream = golden("plain", dialect)
    watch = DerivedWatch(codec_of(dialect))
    watch.feed(stream[: len(stream) // 2])
    summary = watch.close()
    assert (summary.complete, summary.error, summary.text) == (False, None, None)


@pytest.mark.parametrize("dialect", NAMES)
def test_an_error_is_the_providers_message(dialect: str) -> None:
    codec = codec_of(dialect)
    assert summarize(codec, b'{"error":{"message":"no more","type":"x"}}') == Summary(error="no more")
    assert summarize(codec, b"no json") == Summary()


@pytest.mark.parametrize(("case", "dialect"), REQUESTS)
def test_a_history_is_read_alike(case: str, dialect: str) -> None:
    body = request_of(case, dialect)
    own = DIALECTS[dialect].readers.history(body)
    assert history(codec_of(dialect), body).pieces == own.pieces


@pytest.mark.parametrize(("case", "dialect"), ANSWERS)
def test_a_stored_answer_and_its_stream_are_one(case: str, dialect: str) -> None:
    own, codec = DIALECTS[dialect].reshape, codec_of(dialect)
    derived = DerivedReshape(codec)
    body, stream = golden(case, dialect)
    assert derived.says_something(body) == own.says_something(body)
    assert derived.is_whole(stream) == own.is_whole(stream)
    made = derived.stream_of(body, usage=True)
    assert made is not None and derived.is_whole(made)
    again = derived.reply_of(made)
    assert again is not None
    assert counted(summarize(codec, again, text=True)) == counted(summarize(codec, body, text=True))


@pytest.mark.parametrize("dialect", NAMES)
def test_what_is_no_answer_has_no_other_form(dialect: str) -> None:
    derived = DerivedReshape(codec_of(dialect))
    for body in (b"", b"no json", b"{}", b'{"error":{"message":"m"}}'):
        assert derived.stream_of(body, usage=True) is None and not derived.says_something(body)
        assert derived.reply_of(body) is None and not derived.is_whole(body)


def heated(dialect: str, temperature: float) -> dict[str, Any]:
    """Return the members that ask for a temperature."""
    knob = {"temperature": temperature}
    holder = {"converse": "inferenceConfig", "gemini": "generationConfig"}.get(dialect)
    return knob if holder is None else {holder: knob}


@pytest.mark.parametrize("dialect", NAMES)
def test_what_a_request_wants_is_read_from_its_neutral_form(dialect: str) -> None:
    derived = DerivedReshape(codec_of(dialect))
    body = request_of("plain", dialect)
    assert derived.is_deterministic({**body, **heated(dialect, 0)}) and derived.is_repeatable(body)
    assert not derived.is_deterministic({**body, **heated(dialect, 0.5)})
    assert not derived.is_deterministic({})
    assert derived.counts_usage({**body}) is DIALECTS[dialect].reshape.counts_usage(body)


@pytest.mark.parametrize(
    ("dialect", "body", "text"),
    [
        (
            "chat",
            '{"messages":[{"role":"system","content":"Be"},{"role":"user","content":"Hi"}]}',
            "system: Be\nuser: Hi",
        ),
        ("chat", '{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"odd"}]}]}', "user: a"),
        ("chat", '{"messages":[]}', ""),
        ("chat", '{"messages":"none"}', None),
        ("messages", '{"system":"Be","messages":[{"role":"user","content":"Hi"}]}', "system: Be\nuser: Hi"),
        ("messages", '{"system":[{"type":"text","text":"Be"}],"messages":[]}', "system: Be"),
        ("messages", '{"system":"Be"}', None),
        ("responses", '{"input":"Hi"}', "user: Hi"),
        ("responses", '{"instructions":"Be","input":"Hi"}', "system: Be\nuser: Hi"),
        ("responses", '{"input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}', "user: Hi"),
        ("responses", '{"input":[{"type":"function_call_output","call_id":"c","output":"42"}]}', "tool: 42"),
        (
            "responses",
            '{"input":[{"role":"user","content":"a"},{"type":"function_call_output","call_id":"c","output":"b"},'
            '{"role":"assistant","content":"c"}]}',
            "user: a\ntool: b\nassistant: c",
        ),
        *((dialect, "no JSON", None) for dialect in NAMES),
    ],
)
def test_a_request_has_this_text(dialect: str, body: str, text: str | None) -> None:
    assert request_text(codec_of(dialect), body.encode()) == text

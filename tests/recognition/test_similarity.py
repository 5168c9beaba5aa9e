from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, Piece
from llmproxy.recognition.similarity import (
    PIECE_CHARACTERS,
    PIECES,
    SAMPLE,
    Sample,
    Talk,
    read_sketch,
    sample,
    sketch,
)
from llmproxy.stores.base import SKETCH_BYTES

LONG = "The quick brown fox jumps over the lazy dog while the moon is still up above the old mill"
OTHER = "Which of these recipes needs neither eggs nor butter and can be baked in an hour or less"


def known(*pieces: Piece) -> Sample:
    return read_sketch(sketch(pieces))


def test_white_space_does_not_count_and_who_said_it_does() -> None:
    assert sample((USER, "one two  three\nfour")) == sample((USER, "one two three four"))
    assert sample((USER, "one two three four")) != sample((TOOL, "one two three four"))


@pytest.mark.parametrize(
    ("text", "size"), [("one", 1), ("one two", 1), ("one two three", 1), ("one two three four", 2)]
)
def test_short_texts_have_few_triples(text: str, size: int) -> None:
    assert len(sample((USER, text))) == size


def test_a_sample_is_bounded_whatever_the_text() -> None:
    text = " ".join(map(str, range(100_000)))
    assert len(sample((USER, text))) == SAMPLE
    assert sample((USER, text)) == sample((USER, text[: PIECE_CHARACTERS + 5_000]))
    assert len(sample((USER, "x" * 1_000_000))) == 1


def test_samples_of_like_texts_overlap_in_proportion() -> None:
    words = [f"w{number}" for number in range(1000)]
    half = [*words[:500], *(f"v{number}" for number in range(500))]
    one, other = sample((USER, " ".join(words))), sample((USER, " ".join(half)))
    assert 0.2 < len(one & other) / SAMPLE < 0.8


@given(st.text())
def test_any_text_has_a_sample(text: str) -> None:
    assert sample((USER, text + "\ud800"))


def test_a_sketch_is_read_as_it_was_kept_and_after_its_beginning_was_cut_off() -> None:
    pieces: list[Piece] = [(USER, LONG), (ASSISTANT, OTHER)]
    raw = sketch(pieces)
    assert read_sketch(raw) == sample(pieces[0]) | sample(pieces[1])
    assert read_sketch(raw[5:]) < read_sketch(raw)
    assert read_sketch(raw[-4 * len(sample(pieces[1])) :]) == sample(pieces[1])
    assert read_sketch(b"") == read_sketch(b"abc") == frozenset()


def test_a_sketch_is_of_the_first_and_the_last_pieces() -> None:
    pieces = [(USER, f"number {number} of many pieces") for number in range(200)]
    hashes = known(*pieces)
    assert sample(pieces[0]) <= hashes and sample(pieces[-1]) <= hashes and not sample(pieces[100]) <= hashes
    texts = [" ".join(f"{number}x{word}" for word in range(500)) for number in range(PIECES)]
    assert len(sketch([(USER, text) for text in texts])) == PIECES * SAMPLE * 4 >= SKETCH_BYTES


def test_a_request_without_answers_is_compared_as_a_whole_both_ways() -> None:
    whole = known((USER, LONG))
    assert Talk([(USER, LONG)]).likeness(whole) == 1.0
    assert 0.6 < Talk([(USER, LONG + " again")]).likeness(whole) < 1.0
    assert Talk([(USER, LONG)]).likeness(known((USER, LONG), (ASSISTANT, OTHER))) < 0.85, "it is only a part of that"
    assert Talk([(USER, OTHER)]).likeness(whole) == 0.0


def test_what_stood_before_the_last_answer_is_compared() -> None:
    talk = Talk([(USER, LONG), (ASSISTANT, OTHER), (USER, "something quite new that nobody has said")])
    assert talk.likeness(known((USER, LONG))) == 1.0
    assert talk.likeness(known((ASSISTANT, OTHER))) == 0.0


def test_a_summary_at_the_front_is_passed_over() -> None:
    summary: Piece = (USER, "This is what was said so far in a few words of the model's own")
    pieces: list[Piece] = [summary, (ASSISTANT, OTHER), (USER, LONG), (ASSISTANT, "Well"), (USER, "And?")]
    assert Talk(pieces).likeness(known((ASSISTANT, OTHER), (USER, LONG))) == 1.0
    assert Talk([summary, (ASSISTANT, "Well"), (USER, "And?")]).likeness(known((USER, LONG))) == 0.0


def test_a_yes_is_no_evidence() -> None:
    assert Talk([(USER, "yes"), (ASSISTANT, OTHER), (USER, LONG)]).likeness(known((USER, "yes"))) == 0.0


def test_a_summary_alone_is_no_evidence() -> None:
    pieces: list[Piece] = [(USER, LONG), (USER, "ok"), (ASSISTANT, "Well"), (USER, "And?")]
    assert Talk(pieces).likeness(known((USER, "ok"))) < 0.1


def test_repeating_is_of_a_whole_piece() -> None:
    assert Talk([(USER, LONG)]).repeats(known((USER, LONG), (ASSISTANT, OTHER)))
    assert not Talk([(USER, LONG + " again")]).repeats(known((USER, LONG)))
    assert not Talk([(USER, LONG)]).repeats(frozenset())


def test_of_a_long_request_the_end_is_compared() -> None:
    pieces: list[Piece] = [(USER, f"number {number} of many pieces") for number in range(200)]
    assert Talk(pieces).likeness(known(*pieces[-PIECES:])) == 1.0


def test_nothing_is_like_nothing() -> None:
    assert Talk([]).likeness(frozenset()) == Talk([(ASSISTANT, LONG)]).likeness(frozenset()) == 0.0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, Piece
from llmproxy.recognition.similarity import (
    MOST_HASHES,
    PIECE_CHARACTERS,
    PIECES,
    ComparedRequest,
    WordHashes,
    read_sketch,
    sketch,
    word_hashes,
)
from llmproxy.stores.sessions import SKETCH_BYTES

LONG = "The quick brown fox jumps over the lazy dog while the moon is still up above the old mill"
OTHER = "Which of these recipes needs neither eggs nor butter and can be baked in an hour or less"


def known(*pieces: Piece) -> WordHashes:
    return read_sketch(sketch(pieces))


def test_white_space_does_not_count_but_the_role_does() -> None:
    assert word_hashes((USER, "one two  three\nfour")) == word_hashes((USER, "one two three four"))
    assert word_hashes((USER, "one two three four")) != word_hashes((TOOL, "one two three four"))


@pytest.mark.parametrize(
    ("text", "size"), [("one", 1), ("one two", 1), ("one two three", 1), ("one two three four", 2)]
)
def test_short_texts_have_few_triples(text: str, size: int) -> None:
    assert len(word_hashes((USER, text))) == size


def test_a_sample_is_bounded_whatever_the_text() -> None:
    text = " ".join(map(str, range(100_000)))
    assert len(word_hashes((USER, text))) == MOST_HASHES
    assert word_hashes((USER, text)) == word_hashes((USER, text[: PIECE_CHARACTERS + 5_000]))
    assert len(word_hashes((USER, "x" * 1_000_000))) == 1


def test_samples_of_like_texts_overlap_in_proportion() -> None:
    words = [f"w{number}" for number in range(1000)]
    half = [*words[:500], *(f"v{number}" for number in range(500))]
    one, other = word_hashes((USER, " ".join(words))), word_hashes((USER, " ".join(half)))
    assert 0.2 < len(one & other) / MOST_HASHES < 0.8


@given(st.text())
def test_any_text_has_a_sample(text: str) -> None:
    assert word_hashes((USER, text + "\ud800"))


def test_a_sketch_is_read_as_it_was_kept_and_after_its_beginning_was_cut_off() -> None:
    pieces: list[Piece] = [(USER, LONG), (ASSISTANT, OTHER)]
    raw = sketch(pieces)
    assert read_sketch(raw) == word_hashes(pieces[0]) | word_hashes(pieces[1])
    assert read_sketch(raw[5:]) < read_sketch(raw)
    assert read_sketch(raw[-4 * len(word_hashes(pieces[1])) :]) == word_hashes(pieces[1])
    assert read_sketch(b"") == read_sketch(b"abc") == frozenset()


def test_a_sketch_is_of_the_first_and_the_last_pieces() -> None:
    pieces = [(USER, f"number {number} of many pieces") for number in range(200)]
    hashes = known(*pieces)
    assert (
        word_hashes(pieces[0]) <= hashes
        and word_hashes(pieces[-1]) <= hashes
        and not word_hashes(pieces[100]) <= hashes
    )
    texts = [" ".join(f"{number}x{word}" for word in range(500)) for number in range(PIECES)]
    assert len(sketch([(USER, text) for text in texts])) == PIECES * MOST_HASHES * 4 >= SKETCH_BYTES


def test_a_request_without_answers_is_compared_as_a_whole_both_ways() -> None:
    whole = known((USER, LONG))
    assert ComparedRequest([(USER, LONG)]).similarity(whole) == 1.0
    assert 0.6 < ComparedRequest([(USER, LONG + " again")]).similarity(whole) < 1.0
    assert ComparedRequest([(USER, LONG)]).similarity(known((USER, LONG), (ASSISTANT, OTHER))) < 0.85, (
        "it is only a part of that"
    )
    assert ComparedRequest([(USER, OTHER)]).similarity(whole) == 0.0


def test_what_stood_before_the_last_answer_is_compared() -> None:
    compared = ComparedRequest([(USER, LONG), (ASSISTANT, OTHER), (USER, "something quite new that nobody has said")])
    assert compared.similarity(known((USER, LONG))) == 1.0
    assert compared.similarity(known((ASSISTANT, OTHER))) == 0.0


def test_a_summary_at_the_front_is_passed_over() -> None:
    summary: Piece = (USER, "This is what was said so far in a few words of the model's own")
    pieces: list[Piece] = [summary, (ASSISTANT, OTHER), (USER, LONG), (ASSISTANT, "Well"), (USER, "And?")]
    assert ComparedRequest(pieces).similarity(known((ASSISTANT, OTHER), (USER, LONG))) == 1.0
    assert ComparedRequest([summary, (ASSISTANT, "Well"), (USER, "And?")]).similarity(known((USER, LONG))) == 0.0


def test_a_yes_is_no_evidence() -> None:
    assert ComparedRequest([(USER, "yes"), (ASSISTANT, OTHER), (USER, LONG)]).similarity(known((USER, "yes"))) == 0.0


def test_a_summary_alone_is_no_evidence() -> None:
    pieces: list[Piece] = [(USER, LONG), (USER, "ok"), (ASSISTANT, "Well"), (USER, "And?")]
    assert ComparedRequest(pieces).similarity(known((USER, "ok"))) < 0.1


def test_repeating_is_of_a_whole_piece() -> None:
    assert ComparedRequest([(USER, LONG)]).repeats(known((USER, LONG), (ASSISTANT, OTHER)))
    assert not ComparedRequest([(USER, LONG + " again")]).repeats(known((USER, LONG)))
    assert not ComparedRequest([(USER, LONG)]).repeats(frozenset())


def test_of_a_long_request_the_end_is_compared() -> None:
    pieces: list[Piece] = [(USER, f"number {number} of many pieces") for number in range(200)]
    assert ComparedRequest(pieces).similarity(known(*pieces[-PIECES:])) == 1.0


def test_nothing_is_like_nothing() -> None:
    assert (
        ComparedRequest([]).similarity(frozenset())
        == ComparedRequest([(ASSISTANT, LONG)]).similarity(frozenset())
        == 0.0
    )

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.history import ASSISTANT, CALL, MADE, TOOL, USER, Piece
from llmproxy.recognition.prefix_hash import MAX_HASHES, PrefixHashes


def conversation(count: int) -> list[Piece]:
    """User and assistant in turn, the user first."""
    return [((USER, ASSISTANT)[number % 2], f"text {number}") for number in range(count)]


def all_keys(hashes: PrefixHashes) -> list[str]:
    return [*hashes.near, *hashes.further()]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 40, 170])
def test_each_beginning_has_the_key_that_it_had_as_a_whole(count: int) -> None:
    keys = all_keys(PrefixHashes("tenant", conversation(count)))
    assert keys == [PrefixHashes("tenant", conversation(number)).whole for number in range(count, 0, -1)]
    assert len(set(keys)) == count


@given(
    st.lists(st.tuples(st.sampled_from([USER, ASSISTANT, CALL, TOOL]), st.text(min_size=1)), min_size=1, max_size=40)
)
def test_what_a_request_is_known_by_is_found_by_every_longer_one(pieces: list[Piece]) -> None:
    known_by = PrefixHashes("tenant", pieces).learned
    for more in range(1, 30):
        longer = PrefixHashes("tenant", [*pieces, *[(USER, "more")] * more])
        assert set(known_by) <= set(all_keys(longer))


def test_no_more_than_one_key_a_piece_is_looked_for_and_the_longest_first() -> None:
    hashes = PrefixHashes("tenant", conversation(1000))
    keys = all_keys(hashes)
    assert len(hashes.near) == 3 and len(keys) == MAX_HASHES
    assert [hashes.length_at(place) for place in (0, 3, len(keys) - 1)] == [1000, 997, 1001 - MAX_HASHES]


@given(st.lists(st.sampled_from([USER, ASSISTANT, CALL, TOOL]), min_size=1, max_size=30), st.integers(1, 30))
def test_the_keys_of_a_request_without_its_answer_and_the_next_turn_are_built_first(
    roles: list[str], more: int
) -> None:
    request = [(role, f"text {number}") for number, role in enumerate(roles)]
    if request[-1][0] in MADE:
        request.append((USER, "begin"))
    answered = [*request, *[(CALL, "answer")] * more, *[(TOOL, "turn")] * more]
    assert PrefixHashes("tenant", request).whole == PrefixHashes("tenant", answered).near[-1]


def test_a_request_is_known_as_a_whole_and_without_its_last_turn() -> None:
    request = [*conversation(4), (USER, "one"), (USER, "two")]
    edited = [*conversation(4), (USER, "another")]
    assert PrefixHashes("tenant", request).learned == [
        PrefixHashes("tenant", conversation(4)).whole,
        PrefixHashes("tenant", request).whole,
    ]
    assert set(PrefixHashes("tenant", request).learned) & set(all_keys(PrefixHashes("tenant", edited)))


def test_many_results_after_the_last_call_do_not_hide_where_it_stands() -> None:
    begun = [*conversation(3), *[(CALL, f"look {number}") for number in range(50)]]
    request = [*begun, *[(TOOL, f"result {number}") for number in range(50)]]
    assert PrefixHashes("tenant", begun).whole in PrefixHashes("tenant", request).learned


def test_an_answer_that_the_client_began_is_known_without_it_too() -> None:
    request, begun = PrefixHashes("tenant", conversation(1)), PrefixHashes("tenant", conversation(2))
    assert len(request.learned) == 1
    assert set(begun.learned) == {request.whole, begun.whole}


def test_an_answer_alone_is_known_once() -> None:
    assert len(PrefixHashes("tenant", [(ASSISTANT, "so be it")]).learned) == 1


def test_another_tenant_has_other_keys() -> None:
    assert not set(all_keys(PrefixHashes("a", conversation(40)))) & set(all_keys(PrefixHashes("b", conversation(40))))


@pytest.mark.parametrize("place", [0, 1, 20, 38, 39])
def test_a_change_at_any_place_changes_all_keys_from_there_on(place: int) -> None:
    pieces = conversation(40)
    changed = [*pieces[:place], (pieces[place][0], f"TEXT {place}"), *pieces[place + 1 :]]
    one, other = all_keys(PrefixHashes("tenant", pieces)), all_keys(PrefixHashes("tenant", changed))
    assert [a == b for a, b in zip(one, other, strict=True)] == [number <= place for number in range(40, 0, -1)]


def test_the_role_counts() -> None:
    assert PrefixHashes("tenant", [(USER, "yes")]).whole != PrefixHashes("tenant", [(TOOL, "yes")]).whole


@pytest.mark.parametrize("text", ["\ud800", "é" * 9000, "\0", "日本語", " "])
def test_any_text_has_a_key_of_its_own(text: str) -> None:
    keys = all_keys(PrefixHashes("tenant", [(USER, text), *conversation(30)]))
    assert all(key.startswith("h:") and len(key) == 34 for key in keys)
    assert not set(keys) & set(all_keys(PrefixHashes("tenant", [(USER, text + "x"), *conversation(30)])))

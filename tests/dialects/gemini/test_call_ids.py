"""Ids where there are none."""

from __future__ import annotations

from llmproxy.dialects.gemini.call_ids import MADE_UP, CallIds, new_id


def test_results_without_ids_answer_the_first_call_of_their_name_that_waits() -> None:
    ids = CallIds()
    calls = [ids.call(None, name) for name in ("look", "look", "see")]
    assert len(set(calls)) == 3 and all(each.startswith(MADE_UP) for each in calls)
    assert [ids.result(None, name) for name in ("see", "look", "look")] == [calls[2], calls[0], calls[1]]


def test_given_ids_count() -> None:
    ids = CallIds()
    assert [ids.call("a", "look"), ids.call("b", "look")] == ["a", "b"]
    assert ids.result("b", "look") == "b" and ids.result(None, "look") == "a"
    assert ids.result("c", "look") == "c"


def test_the_same_request_has_the_same_ids_and_answers_never_have() -> None:
    assert CallIds().call(None, "look") == CallIds().call(None, "look")
    assert new_id() != new_id() and new_id().startswith(MADE_UP)


def test_a_result_without_a_call_has_an_id_too() -> None:
    ids = CallIds()
    assert ids.result(None, "look") != ids.result(None, "look")
    call = ids.call(None, "see")
    assert ids.result(None, "") == call

"""Runs that begin alike at the same time."""

from __future__ import annotations

from llmproxy.recognition.twin_runs import _MOST_KEYS, TwinRuns


def test_each_session_of_equal_requests_is_claimed_once_in_their_order() -> None:
    twins = TwinRuns()
    for session in ("a", "b", "c"):
        assert twins.running("k") is (session != "a")
        twins.begin("k", session)
    for session in ("b", "a", "c"):
        twins.end("k", session)
    assert not twins.running("k")
    assert [twins.claim("k") for _ in range(4)] == ["a", "b", "c", None]


def test_requests_one_after_the_other_are_no_twins() -> None:
    twins = TwinRuns()
    for _ in range(2):
        twins.begin("k", "a")
        twins.end("k", "a")
    assert twins.claim("k") is None and not twins.running("k")


def test_what_is_remembered_is_bounded() -> None:
    twins = TwinRuns()
    for number in range(_MOST_KEYS + 1):
        for session in ("a", "b"):
            twins.begin(str(number), session)
        for session in ("a", "b"):
            twins.end(str(number), session)
    assert twins.claim("0") is None and twins.claim("1") == "a"

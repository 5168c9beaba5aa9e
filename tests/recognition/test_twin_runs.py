"""Runs that begin alike at the same time."""

from __future__ import annotations

from llmproxy.recognition.twin_runs import _MOST_KEYS, TwinRuns


async def test_each_session_of_equal_requests_is_claimed_once_in_their_order() -> None:
    twins = TwinRuns()
    for session in ("a", "b", "c"):
        assert await _may_look_up(twins) is (session == "a")
        twins.begin("k", session)
    for session in ("b", "a", "c"):
        twins.end("k", session)
    assert await _may_look_up(twins)
    assert [twins.claim("k") for _ in range(4)] == ["a", "b", "c", None]


async def _may_look_up(twins: TwinRuns) -> bool:
    """Return whether a request may look up its session now; it does so at once."""
    alone = await twins.enter("k")
    if alone:
        twins.leave("k")
    return alone


async def test_requests_one_after_the_other_are_no_twins() -> None:
    twins = TwinRuns()
    for _ in range(2):
        twins.begin("k", "a")
        twins.end("k", "a")
    assert twins.claim("k") is None and await _may_look_up(twins)


def test_what_is_remembered_is_bounded() -> None:
    twins = TwinRuns()
    for number in range(_MOST_KEYS + 1):
        for session in ("a", "b"):
            twins.begin(str(number), session)
        for session in ("a", "b"):
            twins.end(str(number), session)
    assert twins.claim("0") is None and twins.claim("1") == "a"

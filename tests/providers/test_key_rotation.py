from __future__ import annotations

from llmproxy.providers.key_rotation import LIMITED_S, MOST_S, REFUSED_S, KeyRotation


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def used(keys: KeyRotation, count: int) -> str:
    return "".join(keys.next() for _ in range(count))


def test_keys_are_used_in_turn_without_those_that_were_refused() -> None:
    clock = Clock()
    keys = KeyRotation("abc", clock)
    assert used(keys, 4) == "abca"
    assert keys.refuse("b", 401, None)
    assert "b" not in used(keys, 6)
    clock.now_s = REFUSED_S
    assert sorted(used(keys, 3)) == ["a", "b", "c"]


def test_the_key_with_which_something_was_made_is_used_for_it_also_at_its_limit_but_not_once_it_is_refused() -> None:
    clock = Clock()
    keys = KeyRotation("abc", clock)
    mark = keys.mark_of("b")
    assert mark and mark != keys.mark_of("a") and keys.mark_of("x") == ""
    assert {keys.next(mark) for _ in range(4)} == {"b"}
    keys.refuse("b", 429, None)
    assert keys.next(mark) == "b"
    keys.refuse("b", 401, None)
    assert keys.next(mark) != "b"
    clock.now_s = REFUSED_S
    assert keys.next(mark) == "b"
    assert {keys.next("unknown") for _ in range(3)} == {"a", "b", "c"}


def test_a_key_at_its_limit_rests_as_long_as_the_provider_asks() -> None:
    clock = Clock()
    keys = KeyRotation("ab", clock)
    keys.refuse("a", 429, 2.0)
    clock.now_s = 2.0
    assert set(used(keys, 2)) == {"a", "b"}
    keys.refuse("a", 429, None)
    clock.now_s += LIMITED_S - 0.1
    assert used(keys, 2) == "bb"
    keys.refuse("a", 429, 1e12)
    clock.now_s += MOST_S
    assert set(used(keys, 2)) == {"a", "b"}


def test_when_all_are_out_the_one_that_is_back_first_is_used() -> None:
    keys = KeyRotation("ab", Clock())
    assert keys.refuse("a", 403, None)
    assert not keys.refuse("b", 429, None)
    assert used(keys, 3) == "bbb"


def test_it_says_when_the_first_key_is_back() -> None:
    clock = Clock()
    keys = KeyRotation("ab", clock)
    keys.refuse("a", 401, None)
    assert keys.rest_s() == 0.0
    keys.refuse("b", 429, 2.0)
    clock.now_s = 0.5
    assert keys.rest_s() == 1.5

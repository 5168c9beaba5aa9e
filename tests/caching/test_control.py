"""What clients may say about the cache, what is refused by name, and what of the header is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.answer import Headers
from llmproxy.caching.control import DEFAULT_CONTROL, CacheControl, read_cache_control
from llmproxy.errors import BadRequest


def of_body(member: object) -> CacheControl:
    return read_cache_control(member, True, Headers())


def of_header(*lines: str) -> CacheControl:
    return read_cache_control(None, False, Headers([("Cache-Control", line) for line in lines]))


def test_no_settings_are_the_default() -> None:
    assert read_cache_control(None, False, Headers()) is DEFAULT_CONTROL
    assert of_body({}) == of_header("") == DEFAULT_CONTROL


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"no-cache": True}, CacheControl(read=False)),
        ({"no-store": True}, CacheControl(store=False)),
        ({"no-cache": False, "no-store": False}, DEFAULT_CONTROL),
        ({"ttl": 60}, CacheControl(ttl_s=60)),
        ({"ttl": 0.5}, CacheControl(ttl_s=0.5)),
        ({"no-cache": True, "no-store": True, "ttl": 60}, CacheControl(read=False, store=False, ttl_s=60)),
    ],
)
def test_each_directive_of_a_body(member: dict[str, Any], expected: CacheControl) -> None:
    assert of_body(member) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["no-cache"], CacheControl(read=False)),
        (["no-store"], CacheControl(store=False)),
        (["max-age=30"], CacheControl(max_age_s=30)),
        (['max-age="30"'], CacheControl(max_age_s=30)),
        (["only-if-cached"], CacheControl(only=True)),
        (["No-Cache, MAX-AGE = 7 ,only-if-cached"], CacheControl(read=False, max_age_s=7, only=True)),
        (["no-cache", "no-store"], CacheControl(read=False, store=False)),
        (["max-age=, max-age=x, max-age=-1, max-age=1.5, max-age, private, =, ,,"], DEFAULT_CONTROL),
        (["max-stale=5, no-transform, no-cachet"], DEFAULT_CONTROL),
        (["max-age=" + "9" * 400], CacheControl(max_age_s=float("inf"))),
    ],
)
def test_each_directive_of_a_header_and_what_is_passed_over(lines: list[str], expected: CacheControl) -> None:
    assert of_header(*lines) == expected


def test_body_and_header_are_added_up() -> None:
    text = read_cache_control({"no-store": True, "ttl": 5}, True, Headers({"Cache-Control": "no-cache, max-age=9"}))
    assert text == CacheControl(read=False, store=False, ttl_s=5, max_age_s=9)


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (None, "cache"),
        (True, "cache"),
        ("no-cache", "cache"),
        ([{"no-cache": True}], "cache"),
        ({"no-cache": 1}, "cache.no-cache"),
        ({"no-cache": None}, "cache.no-cache"),
        ({"no-store": "true"}, "cache.no-store"),
        ({"ttl": "60"}, "cache.ttl"),
        ({"ttl": True}, "cache.ttl"),
        ({"ttl": None}, "cache.ttl"),
        ({"ttl": 0}, "cache.ttl"),
        ({"ttl": -1}, "cache.ttl"),
        ({"ttl": float("inf")}, "cache.ttl"),
        ({"ttl": float("nan")}, "cache.ttl"),
        ({"ttl": 10**400}, "cache.ttl"),
        ({"ttl": [1]}, "cache.ttl"),
        ({"no_cache": True}, "cache.no_cache"),
        ({"": 1}, "cache."),
        ({"x" * 1000: 1}, "cache." + "x" * 50),
    ],
)
def test_a_wrong_type_and_an_unknown_directive_are_refused_by_name(member: object, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        of_body(member)
    assert (caught.value.status, caught.value.param) == (400, named)
    assert str(caught.value).startswith(named + " ")

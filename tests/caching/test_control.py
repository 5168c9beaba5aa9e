"""What clients may say about the cache, what is refused by name, and what of the header is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.caching.control import DEFAULT_CONTROL, CacheControl, read_cache_control, take_settings
from llmproxy.errors import BadRequest
from tests.support.exchanges import new_exchange


def of_body(settings: dict[str, Any]) -> CacheControl:
    return read_cache_control(settings, Headers())


def of_header(*lines: str) -> CacheControl:
    return read_cache_control({}, Headers([("Cache-Control", line) for line in lines]))


def test_no_settings_are_the_default() -> None:
    assert read_cache_control({}, Headers()) is DEFAULT_CONTROL
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
    text = read_cache_control({"no-store": True, "ttl": 5}, Headers({"Cache-Control": "no-cache, max-age=9"}))
    assert text == CacheControl(read=False, store=False, ttl_s=5, max_age_s=9)


@pytest.mark.parametrize(
    ("member", "named"),
    [
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
    ],
)
def test_a_wrong_type_is_refused_by_name(member: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        of_body(member)
    assert (caught.value.status, caught.value.param) == (400, named)
    assert str(caught.value).startswith(named + " ")


@pytest.mark.parametrize(
    "member", [{}, {"no-cache": True}, {"no-store": True, "ttl": 5}, {"ttl": 0.5}, {"no-cache": False}]
)
def test_settings_alone_are_taken_out_of_the_body_once(member: dict[str, Any]) -> None:
    exchange = new_exchange(body={"model": "m", "cache": member, "n": 1})
    assert take_settings(exchange) == take_settings(exchange) == member
    assert exchange.held.raw == b'{"model": "m", "n": 1}'


@pytest.mark.parametrize(
    "member",
    [
        *(None, True, "no-cache", 7, [{"no-cache": True}], [], {"no_cache": True}, {"": 1}),
        *({"type": "ephemeral", "ttl": "5m"}, {"no-cache": True, "id": "x"}),
    ],
)
def test_any_other_member_of_that_name_is_the_providers(member: object) -> None:
    exchange = new_exchange(body={"model": "m", "cache": member})
    raw = exchange.held.raw
    assert take_settings(exchange) == {} and exchange.held.raw is raw


def test_a_body_that_cannot_be_decoded_has_none() -> None:
    exchange = new_exchange(body={})
    exchange.body = Body(b"not gzip", "gzip")
    assert take_settings(exchange) == {}

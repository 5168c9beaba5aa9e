from __future__ import annotations

from typing import Any

import pytest

from llmproxy.records.filters import parse_filters, session_filter
from tests.support.records import entry

MATCHES: list[tuple[str, dict[str, Any], bool]] = [
    ("model=gpt-4o", {}, True),
    ("model=GPT-*", {}, True),
    ("model=claude*", {}, False),
    ("model=served", {"served_model": "served"}, True),
    ("model=none", {"model": None, "served_model": None}, True),
    ("status=200", {}, True),
    ("status=4xx", {"status": 429}, True),
    ("status=4xx", {"status": 500}, False),
    ("status=400-499", {"status": 499}, True),
    ("status=400-499", {"status": 500}, False),
    ("status=none", {"status": None}, True),
    ("status=4xx", {"status": None}, False),
    ("session=s-*", {"session": "s-1"}, True),
    ("session=s", {}, False),
    ("provider=openai", {}, True),
    ("provider=first", {"attempts": [{"provider": "first"}, {"provider": "openai"}]}, True),
    ("slower=2s", {"duration_ms": 2001.0}, True),
    ("slower=2s", {"duration_ms": 2000.0}, False),
    ("faster=50ms", {"duration_ms": 49.0}, True),
    ("faster=50ms", {"duration_ms": 51.0}, False),
    ("client=127.*", {}, True),
    ("client=ci", {"client": {"address": "::1", "name": "ci"}}, True),
    ("path=*/chat/*", {}, True),
    ("method=get", {}, False),
    ("dialect=chat", {}, True),
    ("route=gpt-4o", {}, True),
    ("outcome=broken", {"outcome": "broken"}, True),
    ("error=upstream_*", {"error": {"code": "upstream_timeout", "message": "x"}}, True),
    ("error=none", {}, True),
    ("failed=true", {"status": 500}, True),
    ("failed=true", {}, False),
    ("stream=no", {}, True),
    ("stream=yes", {}, False),
    ("model=gpt-*,status=500", {}, False),
    ("model=gpt-* , status=2xx", {}, True),
    ("", {}, True),
]


@pytest.mark.parametrize(("given", "changes", "fits"), MATCHES)
def test_filters_choose(given: str, changes: dict[str, Any], fits: bool) -> None:
    assert parse_filters([given])(entry(**changes)) is fits


def test_several_filters_must_all_fit() -> None:
    assert parse_filters(["model=gpt-*", "status=200"])(entry())
    assert not parse_filters(["model=gpt-*", "status=500"])(entry())


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("colour=red", "unknown filter 'colour'"),
        ("model", "model needs a value"),
        ("model=", "model needs a value"),
        ("status=abc", "'abc' is not a status"),
        ("status=9", "'9' is not a status"),
        ("slower=fast", "invalid duration: 'fast'"),
        ("stream=maybe", "neither true nor false"),
    ],
)
def test_mistakes_are_named(given: str, output: str) -> None:
    with pytest.raises(ValueError, match=output):
        parse_filters([given])


@pytest.mark.parametrize("name", ["s1", "other, [x]", "a*"])
def test_a_session_of_any_name_is_that_one_alone(name: str) -> None:
    assert session_filter(name)(entry(session=name)) and session_filter(None)(entry())
    assert not session_filter(name)(entry(session=f"{name}b")) and not session_filter(name)(entry())

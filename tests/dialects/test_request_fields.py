"""Fields of requests that chat and responses have in common."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.request_fields import (
    TIERS,
    decode_format,
    decode_knobs,
    decode_strings,
    encode_format,
    encode_knob,
    put_tier,
)
from llmproxy.errors import BadRequest

OWN, OTHER = EncodeContext(losses=Losses(), own=True), EncodeContext(losses=Losses())


def test_knobs_are_those_that_the_request_has() -> None:
    members = Members({"user": "u", "metadata": {"a": "b"}, "store": False, "x": 1})
    assert decode_knobs(members, ("user", "verbosity"), ("metadata",)) == {
        "user": "u",
        "metadata": {"a": "b"},
        "store": False,
    }
    assert members.left() == {"x": 1}


def test_a_long_user_is_shortened_for_another_dialect() -> None:
    assert encode_knob("user", "u" * 100, OWN) == "u" * 100 and len(encode_knob("user", "u" * 100, OTHER)) == 64
    assert encode_knob("verbosity", "low", OTHER) == "low"


@pytest.mark.parametrize(("tier", "encoded"), [("flex", "flex"), ("standard_only", "default"), ("standard", "default")])
def test_a_tier_is_translated(tier: str, encoded: str) -> None:
    body = dict[str, Any]()
    put_tier(body, tier, TIERS, "service_tier", OTHER)
    assert body == {"service_tier": encoded}


def test_a_tier_that_does_not_exist_here_is_dropped() -> None:
    context, body = EncodeContext(losses=Losses()), dict[str, Any]()
    put_tier(body, "batch", TIERS, "reply.service_tier", context)
    assert body == {} and context.losses.dropped == ["reply.service_tier"]
    put_tier(body, "batch", TIERS, "reply.service_tier", OWN)
    assert body == {"service_tier": "batch"}


def test_an_array_of_strings_holds_nothing_else() -> None:
    assert decode_strings(["a"], "stop") == ["a"]
    with pytest.raises(BadRequest, match=r"stop\[1\] must be a string, not a number"):
        decode_strings(["a", 5], "stop")


@pytest.mark.parametrize("member", ["json_schema", None])
def test_a_format_comes_back(member: str | None) -> None:
    schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
    body = {"type": "json_schema", **({member: schema} if member else schema)}
    form = decode_format(Members(body, "f"), member)
    assert form is not None and encode_format(form, member, OWN) == body
    assert decode_format(Members({"type": "text"}, "f"), member) is None


def test_a_name_is_made_up_for_a_format_of_another_dialect() -> None:
    form = decode_format(Members({"type": "json_schema", "schema": {}}, "f"), None)
    assert form is not None and encode_format(form, None, OTHER)["name"] == "response"

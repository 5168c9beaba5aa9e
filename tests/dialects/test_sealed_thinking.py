"""Seals as they are told apart, and what of a conversation they stand in."""

from __future__ import annotations

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.sealed_thinking import SEAL_CHARACTERS, beginning, numbered, without_blocks


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ab-_cd==", "ab+/cd"),  # either alphabet of base64, with its padding or without
        ("a" * 5000, "a" * SEAL_CHARACTERS + "b"),  # a long one is known by its beginning
    ],
)
def test_a_seal_is_the_same_in_each_form_in_which_clients_send_it_back(one: str, other: str) -> None:
    assert beginning(one) == beginning(other) != b""


@pytest.mark.parametrize("value", [None, 7, [], {}, "", "\ud800", "é"])
def test_what_is_no_seal_has_no_beginning(value: object) -> None:
    assert beginning(value) == b""


def test_messages_lose_the_refused_blocks_of_the_assistant_alone() -> None:
    messages = [
        {"role": "user", "content": ["no"]},
        {"role": "assistant", "content": ["no", "yes"]},
        {"role": "assistant", "content": ["no"]},
        {"role": "assistant", "content": "no"},
        {"role": "assistant", "content": []},
        7,
    ]
    kept, dropped = without_blocks(messages, lambda block: block == "no")
    assert kept == [messages[0], {"role": "assistant", "content": ["yes"]}, *messages[3:]]
    assert dropped == ["messages[1].content[0]", "messages[2].content[0]"]


def test_only_arrays_have_elements() -> None:
    assert list(numbered([1, 2])) == [(0, 1), (1, 2)]
    assert list(numbered({"a": 1})) == list(numbered("ab")) == list(numbered(None)) == []


def test_who_accepts_a_seal_is_the_account_unless_the_vendor_signs_for_all_services() -> None:
    names = ("claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929")
    assert {catalog.seal_owner(str(place), name) for place, name in enumerate(names)} == {"claude-sonnet-4-5"}
    assert catalog.seal_owner("a", "claude-opus-4-6") != catalog.seal_owner("a", "claude-opus-4-7")
    assert catalog.seal_owner("a", "gpt-5.5") != catalog.seal_owner("b", "gpt-5.5")

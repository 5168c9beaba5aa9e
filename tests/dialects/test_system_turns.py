"""System messages among the others, for models and services that do not accept them there."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses, Options
from llmproxy.dialects.model import Message, Request, Text
from llmproxy.dialects.system_turns import as_user_turns, has_system_turns
from llmproxy.providers.base import COMPATIBLE_OPTIONS


def said(*roles: Any) -> list[Message]:
    return [Message(path=f"m[{at}]", role=role, content=[Text(text=str(at))]) for at, role in enumerate(roles)]


def sent(target: str, messages: list[Message], options: Options, model: str = "m") -> tuple[list[str], list[str]]:
    losses = Losses()
    request = Request(dialect="gemini", model=model, messages=messages)
    body = codecs()[target].encode_request(request, codecs()[target].context("gemini", losses, options))
    return [each["role"] for each in body["messages" if target != "responses" else "input"]], losses.dropped


def test_requests_without_any_are_told_apart() -> None:
    assert not has_system_turns(said("user", "assistant"))
    assert has_system_turns(said("user", "developer")) and has_system_turns(said("system"))


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_a_service_that_refuses_them_has_them_as_the_users_in_their_place(target: str) -> None:
    turns = said("user", "system", "user", "assistant", "developer")
    assert sent(target, turns, COMPATIBLE_OPTIONS) == (
        ["user", "user", "user", "assistant", "user"],
        ["m[1].role", "m[4].role"],
    )
    assert sent(target, turns, Options()) == (["user", "system", "user", "assistant", "developer"], [])


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-5", "claude-opus-5-5", "claude-fable-5-2"])
def test_newer_claudes_keep_one_between_the_user_and_the_answer(model: str) -> None:
    placed = said("user", "system", "assistant", "user")
    assert sent("messages", placed, Options(), model) == (["user", "system", "assistant", "user"], [])


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "system", "user"),
        ("user", "assistant", "system", "user"),
        ("user", "system"),
        ("user", "system", "system", "assistant", "user"),
    ],
)
@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-4-5", "kimi-k2"])
def test_any_other_place_makes_it_the_users(roles: tuple[str, ...], model: str) -> None:
    changed = [f"m[{at}].role" for at, role in enumerate(roles) if role == "system"]
    assert sent("messages", said(*roles), Options(), model) == (
        ["user" if role == "system" else role for role in roles],
        changed,
    )


def test_older_claudes_have_none() -> None:
    placed = said("user", "system", "assistant", "user")
    assert sent("messages", placed, Options(), "claude-opus-4-7")[0] == ["user", "user", "assistant", "user"]


def test_a_provider_may_be_configured_otherwise() -> None:
    placed = said("user", "system", "assistant", "user")
    kept = sent("messages", placed, Options(system_turns=True), "claude-opus-4-5")[0]
    assert kept == ["user", "system", "assistant", "user"]
    assert "system" not in sent("messages", placed, Options(system_turns=False), "claude-opus-5")[0]


def test_the_words_stay_as_they_are_and_nothing_is_changed_in_place() -> None:
    losses = Losses()
    turns = said("user", "system", "user")
    context = codecs()["chat"].context("messages", losses)
    made = as_user_turns(turns, "gemma", context, some=False)
    assert [block.text for turn in made for block in turn.content if isinstance(block, Text)] == ["0", "1", "2"]
    assert turns[1].role == "system" and "gemma" in losses.adapted["m[1].role"].why

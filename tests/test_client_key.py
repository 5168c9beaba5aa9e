"""What a client key allows."""

from __future__ import annotations

from llmproxy.client_key import ClientKey


def key(*, models: tuple[str, ...] = (), providers: tuple[str, ...] = (), relay: bool = False) -> ClientKey:
    return ClientKey(id="ci", name="ci", tenant="key:ci", models=models, providers=providers, relay=relay)


def test_a_key_without_restrictions_may_use_everything() -> None:
    assert key().may_use_model(["gpt-4o"])
    assert key().may_use_provider("openai")
    assert key().may_relay


def test_a_model_is_allowed_under_any_of_its_names() -> None:
    restricted = key(models=("gpt-*", "smart"))

    assert restricted.may_use_model(["gpt-4o"])
    assert restricted.may_use_model(["eu/gpt4o", "smart"])
    assert not restricted.may_use_model(["claude-opus-5-5", "anthropic/gpt"])
    assert not restricted.may_use_model([])


def test_only_the_named_providers_are_allowed() -> None:
    assert key(providers=("openai",)).may_use_provider("openai")
    assert not key(providers=("openai",)).may_use_provider("openai2")


def test_a_restricted_key_may_relay_only_when_that_is_allowed() -> None:
    assert not key(models=("gpt-*",)).may_relay
    assert not key(providers=("openai",)).may_relay
    assert key(models=("gpt-*",), relay=True).may_relay

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.providers.provider_config import HttpProviderConfig, ProviderConfig
from tests.providers.test_base import prepared, vendor


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ({"name": "a/b"}, "name", "letters, digits"),
        ({"name": ""}, "name", "letters, digits"),
        ({"name": "a b"}, "name", "letters, digits"),
        ({"models": ["a", " "]}, "models", "empty"),
        ({"priority": True}, "priority", "whole number"),
        ({"type": "anywhere"}, "base_url", "missing"),
        ({"base_url": "h/v1"}, "base_url", "https://h/v1"),
        ({"base_url": ""}, "base_url", "http://"),
        ({"api_key": "sk-hush hush"}, "api_key", "white space"),
        ({"api_key": "sk-hush\r\nX-Evil: 1"}, "api_key", "white space"),
        ({"api_key": "sk-\u201chush\u201d"}, "api_key", "characters"),
        ({"api_key_env": "sk-hush-1"}, "api_key_env", "api_key"),
        ({"auth": "both"}, "auth", "passthrough"),
        ({"timeouts": {"connect": 0}}, "timeouts.connect", "0"),
        ({"proxy": "p:3128"}, "proxy", "http://host:port"),
        ({"unknown": 1}, "unknown", ""),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(keys: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        vendor(**keys)
    [error] = refused.value.errors()
    assert ".".join(map(str, error["loc"])) == place and words in error["msg"]
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("key", ["sk-1", " sk-1\n", "\tsk-1 "])
def test_white_space_around_a_key_is_cut(key: str) -> None:
    assert prepared(vendor(api_key=key))[1] == {"Authorization": "Bearer sk-1"}


def test_every_key_of_a_provider_says_what_it_is_for() -> None:
    for model in (ProviderConfig, HttpProviderConfig):
        assert all(field.description for field in model.model_fields.values())

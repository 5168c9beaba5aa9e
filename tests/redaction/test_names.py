from __future__ import annotations

import pytest
from pydantic import SecretStr

from llmproxy.redaction.names import MASK, is_secret, redact, redact_url


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apiKey",
        "APIKey",
        "API-KEY",
        "x-goog-api-key",
        "OPENAI_API_KEY",
        "Authorization",
        "proxy-authorization",
        "Set-Cookie",
        "password",
        "redis_password",
        "token",
        "access_token",
        "accessTokens",
        "aws_access_key_id",
        "AWS_SECRET_ACCESS_KEY",
        "client_secret",
        "secrets",
        "api_keys",
        "keys",
        "connection_string",
        "X-Amz-Signature",
        "Authentication",
        "x-amzn-oidc-data",
    ],
)
def test_a_name_whose_last_word_is_one_for_credentials_is_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "maxTokens",
        "input_tokens",
        "api_key_env",
        "token_url",
        "credentials_file",
        "key_file",
        "keyboard",
        "monkey",
        "tokenizer",
        "secretary",
        "auth",
        "author",
        "connect",
        "string",
        "",
        "42",
    ],
)
def test_a_name_that_only_contains_such_a_word_is_not_secret(name: str) -> None:
    assert not is_secret(name)


def test_secrets_are_hidden_at_any_depth_and_everything_else_stays() -> None:
    value = {
        "providers": [{"name": "openai", "api_key": SecretStr("sk-1"), "timeouts": {"connect_s": 10.0}}],
        "middlewares": [{"type": "x", "config": {"nested": ({"password": "p", "max_tokens": 7},)}}],
    }

    assert redact(value) == {
        "providers": [{"name": "openai", "api_key": MASK, "timeouts": {"connect_s": 10.0}}],
        "middlewares": [{"type": "x", "config": {"nested": [{"password": MASK, "max_tokens": 7}]}}],
    }


def test_a_secret_type_is_hidden_whatever_its_name() -> None:
    assert redact({"greeting": SecretStr("sk-1"), "absent": SecretStr("")}) == {"greeting": MASK, "absent": ""}


def test_what_is_no_secret_yet_stays_readable_under_a_secret_name() -> None:
    assert redact({"api_key": None, "token": "", "password": False}) == {
        "api_key": None,
        "token": "",
        "password": False,
    }


def test_numbers_and_lists_and_blocks_under_a_secret_name_are_hidden() -> None:
    assert redact({"password": 1234, "tokens": ["a", "b"], "secrets": {"first": {"second": "s"}}}) == {
        "password": MASK,
        "tokens": [MASK, MASK],
        "secrets": {"first": {"second": MASK}},
    }


def test_in_a_list_of_entries_the_names_decide() -> None:
    assert redact({"keys": [{"name": "ci", "key": "k", "models": ["gpt-*"]}]}) == {
        "keys": [{"name": "ci", "key": MASK, "models": ["gpt-*"]}]
    }


def test_a_header_written_as_name_and_value_is_hidden() -> None:
    assert redact([{"name": "Authorization", "value": "Bearer x"}, {"name": "Accept", "value": "*/*"}]) == [
        {"name": "Authorization", "value": MASK},
        {"name": "Accept", "value": "*/*"},
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://me:pass@api.example.com:8443/v1", f"https://{MASK}@api.example.com:8443/v1"),
        ("https://token@api.example.com", f"https://{MASK}@api.example.com"),
        ("http://u:p@ss@proxy:3128/", f"http://{MASK}@proxy:3128/"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("redis://:p/w#@host:6379/0", f"redis://{MASK}@host:6379/0"),
        ("redis://:a@one,redis://:b@two", f"redis://{MASK}@one,redis://{MASK}@two"),
        ("https://x/v1?key=abc&alt=sse", f"https://x/v1?key={MASK}&alt=sse"),
        (
            "https://x?max_tokens=5&api-key=k#access_token=t",
            f"https://x?max_tokens=5&api-key={MASK}#access_token={MASK}",
        ),
        ("see https://u:p@a, then https://b?sig=1", f"see https://{MASK}@a, then https://b?sig={MASK}"),
        ("sk-looks-like-a-key", "sk-looks-like-a-key"),
    ],
)
def test_credentials_in_urls_are_hidden_and_the_rest_stays(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact({"base_url": url}) == {"base_url": shown}

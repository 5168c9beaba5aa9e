"""The section `auth`: which ways in are on, and the forms of its values."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmproxy.config.auth import AuthConfig, KeyConfig, write_time

KEYS = [{"name": "a", "key": "a-long-key"}]
JWT = {"secret": "s" * 32}


@pytest.mark.parametrize(
    ("auth", "ways"),
    [
        ({}, (False, False)),
        ({"keys": KEYS}, (True, False)),
        ({"keys_file": "k.yaml"}, (True, False)),
        ({"jwt": JWT}, (False, True)),
        ({"keys": KEYS, "jwt": JWT}, (True, True)),
        ({"mode": "keys", "keys": KEYS, "jwt": JWT}, (True, False)),
        ({"mode": ["keys", "jwt"], "keys": KEYS, "jwt": JWT}, (True, True)),
        ({"mode": "none", "keys": KEYS, "jwt": JWT}, (False, False)),
    ],
)
def test_what_is_configured_is_on_unless_the_mode_says_otherwise(auth: dict[str, object], ways: object) -> None:
    config = AuthConfig.model_validate(auth)
    assert (config.uses_keys, config.uses_tokens) == ways


@pytest.mark.parametrize(
    "auth", [{"mode": "keys"}, {"mode": "jwt"}, {"mode": ["none", "keys"], "keys": KEYS}, {"mode": [], "keys": KEYS}]
)
def test_a_mode_needs_its_settings(auth: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="mode"):
        AuthConfig.model_validate(auth)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
        ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
    ],
)
def test_times_are_utc(text: str, written: str) -> None:
    assert write_time(KeyConfig.model_validate({**KEYS[0], "expires": text}).expires) == written


@pytest.mark.parametrize("text", ["soon", "31.1.2027", "", "12:00", True])
def test_other_times_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        KeyConfig.model_validate({**KEYS[0], "expires": text})

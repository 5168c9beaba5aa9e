from __future__ import annotations

import json

import pytest

from llmproxy.cli.client_setups import CLIENTS, DUMMY_KEY, variables
from llmproxy.cli.env import ClientName

URL = "http://127.0.0.1:3000"


def test_the_command_knows_every_client() -> None:
    assert {each.value for each in ClientName} == CLIENTS.keys()


def test_every_client_has_variables_or_lines_of_a_file() -> None:
    for name, client in CLIENTS.items():
        assert bool(variables(client, URL, None, {})) is not bool(client.lines), name
        assert bool(client.file) is bool(client.lines), name


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.lines is None])
def test_the_address_and_the_key_are_in_the_variables(name: str) -> None:
    text = json.dumps(variables(CLIENTS[name], URL, "the-key", {"AWS_SECRET_ACCESS_KEY": "any"}))
    assert URL in text and "the-key" in text and DUMMY_KEY not in text


def test_a_credential_that_is_set_stays_where_clients_need_no_key() -> None:
    client, environ = CLIENTS["openai"], {"OPENAI_API_KEY": "sk-mine"}
    assert variables(client, URL, None, environ) == {"OPENAI_BASE_URL": f"{URL}/v1"}
    assert variables(client, URL, "the-key", environ)["OPENAI_API_KEY"] == "the-key"
    assert variables(client, URL, None, {"OPENAI_API_KEY": ""})["OPENAI_API_KEY"] == DUMMY_KEY


def test_a_region_that_is_set_stays() -> None:
    assert "AWS_REGION" not in variables(CLIENTS["bedrock"], URL, "k", {"AWS_REGION": "eu-west-1"})


def test_codex_names_a_key_only_where_one_is_needed() -> None:
    lines = CLIENTS["codex"].lines
    assert lines is not None
    assert f'base_url = "{URL}/v1"' in lines(URL, False) and "env_key" not in lines(URL, False)
    assert 'env_key = "LLMPROXY_KEY"' in lines(URL, True)

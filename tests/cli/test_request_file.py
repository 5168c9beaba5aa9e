"""Commands read a request as the server does: what only a server knows is said to be unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmproxy.cli.request_file import call_in, decode_as_served, exchange_with
from llmproxy.errors import BadRequest
from tests.support.program import run


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x", **members}).encode()


@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "'resp_1' not found. It is in the store of a server",
        ),
        ({"conversation": "conv_1"}, "conversation", "'conv_1' not found. It is in the store of a server"),
        (
            {"input": [{"type": "item_reference", "id": "msg_1"}]},
            "input[0].id",
            "'msg_1' not found. It is in the store",
        ),
        ({"background": True}, "background", "background responses need a provider that runs them"),
    ],
)
def test_state_of_a_server_is_unknown(members: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_as_served("responses", body(**members))
    assert caught.value.param == param and words in caught.value.message


def test_a_request_is_decoded_as_for_translation() -> None:
    request = decode_as_served("responses", body(instructions="s"))
    assert (request.model, request.dialect, len(request.system), len(request.messages)) == ("m", "responses", 1, 1)


def test_the_exchange_is_that_of_a_client() -> None:
    exchange = exchange_with(call_in("messages"), b"{}", "m")
    assert (exchange.method, exchange.path, exchange.model) == ("POST", "/v1/messages", "m")


def test_translate_ends_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(body(previous_response_id="resp_1"))
    done = run("translate", "r.json", "--from", "responses", "--to", "chat", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "previous_response_id" in done.stderr and "Put the whole conversation into input" in done.stderr

"""Paths of an input that was continued from earlier items."""

from __future__ import annotations

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.responses.input_paths import InputPaths
from llmproxy.errors import BadRequest
from tests.support.full_responses_request import read

PATHS = InputPaths(earlier=2, source="previous_response_id")
NOTE = {"type": "file_path", "file_id": "f", "index": 0}


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("input[2]", "input[0]"),
        ("input[13].content[0].text", "input[11].content[0].text"),
        ("input[1].content", "previous_response_id"),
        ("tools[0].name", "tools[0].name"),
        ("input", "input"),
    ],
)
def test_a_path_is_the_clients(path: str, own: str) -> None:
    assert PATHS.of(path) == own


def test_an_input_that_is_a_string_is_one_place() -> None:
    assert InputPaths(earlier=1, source="conversation", whole=True).of("input[1].content[0]") == "input"


def test_an_error_names_the_clients_place() -> None:
    error = PATHS.correct_error(BadRequest("input[2].role is missing", code="invalid_value", param="input[2].role"))
    assert (error.message, error.param) == ("input[0].role is missing", "input[0].role")
    other = BadRequest("No", status=404)
    assert PATHS.correct_error(other) is other


def test_every_node_of_a_request_gets_its_place() -> None:
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [NOTE]}]}
    result = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x", "odd": 1}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"}
    request = read(
        input=[{"role": "system", "content": "s"}, said, {"role": "user", "content": "Hi"}, said, call, result]
    )
    PATHS.correct(request)
    losses = Losses()
    codecs()["messages"].encode_request(request, codecs()["messages"].context(request.dialect, losses))
    assert request.system[0].path == request.messages[0].path == "previous_response_id"
    assert [message.path for message in request.messages[1:]] == ["input[0]", "input[1]", "input[3]"]
    assert sorted(losses.dropped) == [
        "input[1].content[0].annotations[0]",
        "input[3].output[0].odd",
        "previous_response_id",
    ]

"""Operations of an OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Endpoint
from llmproxy.server.pages.operations import Described, call_body, call_responses, operation, stream_query

DESCRIBED = Described(tag="pages", summary="Read it", responses={}, query={"by": {"type": "string"}})


def called(path: str) -> Endpoint:
    endpoint = catalog.find("POST", path)
    assert endpoint is not None
    return endpoint


def test_an_operation_names_the_parameters_of_its_path_and_query() -> None:
    made = operation("GET", "/files/{id}/{path}", DESCRIBED, [{"key": []}])
    assert made["operationId"] == "get_files_id_path"
    assert [(each["name"], each["in"], each["required"]) for each in made["parameters"]] == [
        ("id", "path", True),
        ("path", "path", True),
        ("by", "query", False),
    ]
    assert made["security"] == [{"key": []}] and "requestBody" not in made


@pytest.mark.parametrize(
    ("path", "required", "example"),
    [
        (
            "/v1/chat/completions",
            ["model", "messages"],
            {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
        ),
        ("/v1/responses", ["model", "input"], {"model": "m", "input": "Hello"}),
        ("/v1/completions", ["model", "prompt"], {"model": "m", "prompt": "Say hello"}),
        ("/v1/models/m:generateContent", ["contents"], {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
        ("/v1/images/generations", ["model"], {"model": "m"}),
    ],
)
def test_a_call_has_an_example_in_its_own_dialect(path: str, required: list[str], example: dict[str, Any]) -> None:
    content = call_body(called(path), "m")["content"]["application/json"]
    assert (content["schema"]["required"], content["example"]) == (required, example)


def test_a_call_with_files_may_be_a_form() -> None:
    body = call_body(called("/v1/audio/transcriptions"), "m")
    assert list(body["content"]) == ["application/json", "multipart/form-data"]


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("/v1/chat/completions", ["application/json", "text/event-stream"]),
        ("/v1/embeddings", ["application/json"]),
        ("/proxy", ["application/json"]),
        ("/proxy/stream", ["text/event-stream"]),
        ("/v1/models/m:streamGenerateContent", ["text/event-stream", "application/json"]),
        ("/model/m/converse-stream", ["application/vnd.amazon.eventstream"]),
    ],
)
def test_a_call_is_answered_whole_or_as_a_stream(path: str, types: list[str]) -> None:
    assert list(call_responses(called(path))["200"]["content"]) == types


def test_the_parameter_that_chooses_a_framing_is_listed_where_there_is_one() -> None:
    names = {each.name: list(stream_query(each)) for each in catalog.DIALECTS if stream_query(each)}
    assert names == {"gemini": ["alt"]}

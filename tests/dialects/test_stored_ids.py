from __future__ import annotations

import pytest

from llmproxy.dialects.stored_ids import ids_in_answer, ids_in_request


@pytest.mark.parametrize(
    ("path", "body", "ids"),
    [
        ("/v1/files/file-abc123/content", None, ["file-abc123"]),
        ("/v1/vector_stores/vs_1/files/file-2", None, ["vector_stores", "vs_1", "file-2"]),
        ("/v1beta/cachedContents/k3y", b"{}", ["k3y"]),
        ("/v1beta/files/a1b2:download", None, ["a1b2"]),
        ("/v1/batches", b'{"input_file_id": "file-1", "endpoint": "/v1/responses"}', ["file-1"]),
        ("/v1/files", None, []),
    ],
)
def test_calls_without_a_model_name_things_in_path_and_body(path: str, body: bytes | None, ids: list[str]) -> None:
    assert ids_in_request(path, body, with_path=True) == ids


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"previous_response_id": "resp_1", "input": "hi"}', ["resp_1"]),
        (b'{"conversation": {"id": "conv_1"}}', ["conv_1"]),
        (b'{"conversation":"conv_1"}', ["conv_1"]),
        (
            b'{"input":[{"content":[{"type":"input_file","file_id":"file-1"},{"file_id":"file-2"}]}]}',
            ["file-1", "file-2"],
        ),
        (b'{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}', ["vs_1"]),
        (b'{"cachedContent": "cachedContents/k3y"}', ["k3y"]),
        (b'{"fileData": {"fileUri": "https://g.example/v1beta/files/a1b2"}}', ["a1b2"]),
        (b'{"messages": [{"role": "user", "content": "previous_response_id"}]}', []),
    ],
)
def test_requests_of_models_name_things_in_the_body(body: bytes, ids: list[str]) -> None:
    assert ids_in_request("/v1/responses", body, with_path=False) == ids


@pytest.mark.parametrize(
    ("field", "ids"), [("previous_response_id", ["resp_1"]), ("file_id", ["resp_1"]), ("other", [])]
)
def test_large_bodies_are_looked_through_in_part(field: str, ids: list[str]) -> None:
    value = b'"resp_1"'
    top = {"messages": b"[]", field: value} if field != "file_id" else {"messages": b"[]"}
    body = b'{"messages": ["%b"], "%b": %b}' % (b"x" * 20_000, field.encode(), value)
    assert ids_in_request("/v1/responses", body, top, with_path=False) == ids


def test_answers_say_what_was_made() -> None:
    response = b'{"id":"resp_1","conversation":{"id":"conv_1"},"x":[{"id":"msg_1"}]}'
    event = b'event: response.created\ndata: {"response":' + response + b"}\n\n"
    assert ids_in_answer(event, first=True) == ["resp_1", "conv_1"]
    listed = b'{"data":[{"id":"batch_1","output_file_id":"file-out"},{"id":"batch_2","output_file_id":null}]}'
    assert ids_in_answer(listed, first=False) == ["batch_1", "file-out", "batch_2"]
    assert ids_in_answer(b'{"id": "vs_1", "name": "mine"}', first=False) == ["vs_1"]
    assert ids_in_answer(b'{"name": "cachedContents/k3y789", "model": "models/g"}', first=False) == ["k3y789"]

"""Which calls are known, by method and path."""

from __future__ import annotations

import pytest

from llmproxy.dialects.catalog import find, names_stored

MODEL_CALLS = [
    ("/chat/completions", "chat", "chat"),
    ("/completions", "completions", "completions"),
    ("/embeddings", "embeddings", "embeddings"),
    ("/responses", "responses", "responses"),
    ("/responses/compact", "responses", "responses"),
    ("/responses/input_tokens", "responses", "responses"),
    ("/messages", "messages", "messages"),
    ("/messages/count_tokens", "messages", "messages"),
    ("/images/generations", "openai", "chat"),
    ("/audio/speech", "openai", "chat"),
    ("/moderations", "openai", "chat"),
    ("/images/edits", "openai", "chat"),
    ("/images/variations", "openai", "chat"),
    ("/audio/transcriptions", "openai", "chat"),
    ("/audio/translations", "openai", "chat"),
    ("/videos", "openai", "chat"),
    ("/rerank", "openai", "chat"),
]

OTHER_CALLS = [
    ("GET", "/responses/resp_1", "responses", "/v1/responses/{id}"),
    ("DELETE", "/responses/resp_1", "responses", "/v1/responses/{id}"),
    ("POST", "/responses/resp_1", "responses", "/v1/responses/{id}"),
    ("GET", "/responses/compact", "responses", "/v1/responses/{id}"),
    ("GET", "/responses/resp_1/input_items", "responses", "/v1/responses/{id}/input_items"),
    ("POST", "/responses/resp_1/cancel", "responses", "/v1/responses/{id}/cancel"),
    ("POST", "/messages/batches", "messages", "/v1/messages/batches"),
    ("GET", "/messages/batches", "messages", "/v1/messages/batches"),
    ("DELETE", "/messages/batches/b", "messages", "/v1/messages/batches/{id}"),
    ("GET", "/messages/batches/b/results", "messages", "/v1/messages/batches/{id}/results"),
    ("POST", "/messages/batches/b/cancel", "messages", "/v1/messages/batches/{id}/cancel"),
    ("GET", "/chat/completions", "openai", "/v1/chat/completions"),
    ("POST", "/chat/completions/c", "openai", "/v1/chat/completions/{id}"),
    ("GET", "/chat/completions/c/messages", "openai", "/v1/chat/completions/{id}/messages"),
    ("DELETE", "/models/ft:gpt-4o:me", "openai", "/v1/models/{id}"),
    ("GET", "/images/edits", "openai", "/v1/images/{path}"),
    ("POST", "/audio/voices", "openai", "/v1/audio/{path}"),
    ("GET", "/videos", "openai", "/v1/videos"),
    ("PATCH", "/models/m", "openai", "/v1/models/{id}"),
    ("POST", "/files", "openai", "/v1/files"),
    ("GET", "/files/file-1/content", "openai", "/v1/files/{path}"),
    ("POST", "/batches", "openai", "/v1/batches"),
    ("GET", "/fine_tuning/jobs/j/events", "openai", "/v1/fine_tuning/{path}"),
    ("POST", "/uploads/u/parts", "openai", "/v1/uploads/{path}"),
    ("GET", "/vector_stores", "openai", "/v1/vector_stores"),
    ("POST", "/assistants", "openai", "/v1/assistants"),
    ("POST", "/threads/t/runs", "openai", "/v1/threads/{path}"),
    ("GET", "/conversations/c/items", "openai", "/v1/conversations/{path}"),
    ("POST", "/realtime/client_secrets", "openai", "/v1/realtime/{path}"),
    ("GET", "/files/\udcff", "openai", "/v1/files/{path}"),
]

UNKNOWN = [
    ("GET", "/models"),
    ("GET", "/models/gpt-4o"),
    ("GET", "/messages"),
    ("PUT", "/responses"),
    ("GET", "/responses"),
    ("GET", "/responses/"),
    ("GET", "/responses/r/unheard_of"),
    ("POST", "/chat/completions/"),
    ("POST", "/Chat/Completions"),
    ("GET", "/realtime"),
    ("POST", "/filesystem"),
    ("POST", "/v2/chat/completions"),
    ("POST", "/openai/chat/completions"),
    ("GET", "/"),
]


@pytest.mark.parametrize("version", ["/v1", ""])
@pytest.mark.parametrize(("path", "capability", "dialect"), MODEL_CALLS)
def test_calls_that_name_a_model_are_read(version: str, path: str, capability: str, dialect: str) -> None:
    endpoint = find("POST", version + path)
    assert endpoint is not None and endpoint.model
    assert (endpoint.capability, endpoint.dialect.name) == (capability, dialect)
    assert (endpoint.path, endpoint.template) == (path, "/v1" + path)


@pytest.mark.parametrize("version", ["/v1", ""])
@pytest.mark.parametrize(("method", "path", "capability", "template"), OTHER_CALLS)
def test_other_calls_pass_through(version: str, method: str, path: str, capability: str, template: str) -> None:
    endpoint = find(method, version + path)
    assert endpoint is not None and not endpoint.model
    assert (endpoint.capability, endpoint.template) == (capability, template)
    assert endpoint.dialect.name == (capability if capability != "openai" else "chat")


@pytest.mark.parametrize("path", ["/agents", "/sessions/s/events", "/memory_stores/m", "/live"])
def test_newer_families_are_known_behind_a_version(path: str) -> None:
    endpoint = find("POST", f"/v1{path}")
    assert endpoint is not None and not endpoint.model and endpoint.capability == "openai"
    assert find("POST", path) is None


def test_calls_with_files_may_be_forms_also_below_a_deployment() -> None:
    for path in ("/audio/transcriptions", "/images/edits"):
        plain, deployed = find("POST", path), find("POST", f"/openai/deployments/d{path}")
        assert plain is not None and plain.takes_forms
        assert (
            deployed is not None and deployed.takes_forms and deployed.model_of(f"/openai/deployments/d{path}") == "d"
        )
    speech = find("POST", "/audio/speech")
    assert speech is not None and not speech.takes_forms


@pytest.mark.parametrize("version", ["/v1", ""])
@pytest.mark.parametrize(("method", "path"), UNKNOWN)
def test_everything_else_is_unknown(version: str, method: str, path: str) -> None:
    assert find(method, version + path) is None


@pytest.mark.parametrize("path", ["", "/v1", "files", "v1/files", "/v1/v1/chat/completions", "*"])
def test_what_is_no_path_of_a_call_is_unknown(path: str) -> None:
    assert find("POST", path) is None


def test_the_same_call_is_the_same_value_every_time() -> None:
    assert find("POST", "/v1/messages") is find("POST", "/messages")
    assert find("GET", "/files/a") is find("DELETE", "/v1/files/b/c")


@pytest.mark.parametrize(
    ("method", "path", "stored"),
    [
        ("GET", "/v1/responses/resp_1", True),
        ("POST", "/v1/conversations", True),
        ("GET", "/v1/conversations/conv_1/items", True),
        ("POST", "/v1/responses", False),
        ("GET", "/v1/files/f", False),
        ("GET", "/v1/chat/completions/c", False),
    ],
)
def test_calls_about_what_was_stored_are_known(method: str, path: str, stored: bool) -> None:
    endpoint = find(method, path)
    assert endpoint is not None and names_stored(endpoint) is stored

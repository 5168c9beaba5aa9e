"""The OpenAPI document: what a configuration serves, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from llmproxy.access.admission import Audience
from llmproxy.dialects import catalog
from llmproxy.dialects.rest_calls import REST
from llmproxy.middleware.base import PageOperation
from llmproxy.routing.router import Router
from llmproxy.server.pages.openapi import DescribedPage, OpenApi, Protection
from llmproxy.target import Provider
from tests.server.pages.test_models import Place

PAGES = [
    DescribedPage(path="/health", audience=Audience.EVERYBODY, operations=[PageOperation(summary="Read")]),
    DescribedPage(path="/v1/models", audience=Audience.CLIENTS, operations=[PageOperation(summary="List")]),
    DescribedPage(
        path="/cache",
        audience=Audience.OPERATORS,
        operations=[
            PageOperation(summary="Read"),
            PageOperation(summary="Forget", method="DELETE"),
            PageOperation(summary="Forget", method="DELETE", below=True),
        ],
    ),
]


def document(*providers: Provider, catch_all: Provider | None = None, **settings: Any) -> dict[str, Any]:
    return OpenApi(Router(providers, catch_all=catch_all), version="1", **settings).document(PAGES)


def paths(made: dict[str, Any]) -> set[str]:
    return set(made["paths"])


def security(made: dict[str, Any], method: str, path: str) -> Any:
    return made["paths"][path][method]["security"]


def test_a_provider_of_chat_serves_what_is_translated_and_no_files() -> None:
    listed = paths(document(Place("main", "gpt-*", models=("gpt-x",))))
    assert {
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/responses",
        "/proxy",
        "/main/{path}",
        "/place/{path}",
    } <= listed
    assert {"/v1/models/{model}:generateContent", "/model/{model}/converse", "/v1/responses/{id}"} <= listed
    assert not {"/v1/files", "/v1/embeddings", "/v1/messages/count_tokens", "/v1/messages/batches", "/{path}"} & listed


def test_a_provider_of_messages_has_its_other_calls() -> None:
    listed = paths(document(Place("claude", "claude-*", speaks="messages")))
    assert {"/v1/messages/count_tokens", "/v1/messages/batches/{id}", "/v1/chat/completions"} <= listed
    assert "/v1/completions" not in listed


def test_the_rest_of_an_api_is_listed_with_every_method() -> None:
    made = document(Place("main", "*", speaks=REST))
    assert set(made["paths"]["/v1/files/{path}"]) == {"get", "post", "put", "patch", "delete"}
    assert set(made["paths"]["/v1/chat/completions"]) == {"get"}, "stored ones; nobody here has the dialect itself"


def test_a_catch_all_gets_every_other_path() -> None:
    assert "/{path}" in paths(document(catch_all=Place("llm", "*")))


def test_estimates_are_listed_where_they_are_made() -> None:
    counts = {"/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1/models/{model}:countTokens"}
    assert counts <= paths(document(Place("main", "*"), estimates=True))


def test_every_listed_call_is_found_by_the_router() -> None:
    everything = Place("main", "*")
    everything.speaks = frozenset(catalog.capabilities())
    made = document(everything)
    validate(made)
    router = Router([everything])
    for path, item in made["paths"].items():
        if path in {page.path for page in PAGES} | {"/cache/{name}"}:
            continue
        for method in item:
            called = path.replace("{model}", "m").replace("{id}", "x").replace("{path}", "a/b")
            resolved = router.locate(method.upper(), called)
            assert resolved.template.rstrip("/") in (path, path.removesuffix("/{path}") + "/{path}"), (method, path)


def test_without_keys_calls_may_carry_a_key_and_proxy_must() -> None:
    made = document(Place("main", "*"))
    assert security(made, "post", "/v1/chat/completions") == [{}, {"authorization": []}]
    assert security(made, "post", "/proxy") == [{"authorization": []}]
    assert security(made, "get", "/cache") == []
    assert set(made["components"]["securitySchemes"]) == {"authorization"}


def test_an_admin_key_lets_others_change_pages() -> None:
    made = document(Place("main", "*"), protection=Protection(admin_key=True))
    assert security(made, "get", "/cache") == []
    assert security(made, "delete", "/cache/{name}") == [{}, {"adminKey": []}]


@pytest.mark.parametrize(
    ("protection", "client"),
    [
        (Protection(keys=True), [{"clientKey": []}, {"clientKeyHeader": []}]),
        (Protection(tokens=True), [{"clientKey": []}]),
        (Protection(certificates=True), [{"certificate": []}]),
    ],
)
def test_with_keys_calls_need_the_clients_and_pages_the_operators(protection: Protection, client: object) -> None:
    made = document(Place("main", "*"), protection=protection)
    assert security(made, "post", "/v1/chat/completions") == client
    assert security(made, "get", "/v1/models") == client
    assert security(made, "get", "/cache") == [{"adminKey": []}]
    assert security(made, "get", "/health") == []

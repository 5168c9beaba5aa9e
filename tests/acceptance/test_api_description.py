"""`/openapi.json`, and the pages that show it: what this configuration serves, without the internet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from llmproxy.server.pages.openapi import PAGES
from tests.support.program import Program
from tests.support.provider import Upstream

pytestmark = pytest.mark.ledger("H8")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ADMIN, KEY = "admin-key-1", "client-key-1"


def described(program: Program, *headers: str) -> dict[str, Any]:
    answer = program.get("/openapi.json", *headers)
    assert (answer.status, answer.value("content-type")) == (200, "application/json")
    document: dict[str, Any] = answer.json
    validate(document)
    return document


def send_what_it_allows(program: Program, examples: int, mode: GenerationMode = GenerationMode.POSITIVE) -> int:
    """Send requests that the document allows, or does not, to every path of it; the answers are as it says."""
    session, sent = requests.Session(), 0
    with session:
        schema: Any = schemathesis.openapi.from_dict(described(program))
        for result in schema.get_all_operations():
            operation = result.ok()
            body = operation.definition.raw.get("requestBody", {"content": {}})["content"]
            if mode is GenerationMode.NEGATIVE and not (operation.query or "application/json" in body):
                continue  # nothing that is sent there is wrong

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                nonlocal sent
                sent += 1
                case.headers["Authorization"] = "Bearer sk-any"
                case.validate_response(case.call(base_url=program.url, session=session), checks=CHECKS)

            send()
    return sent


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_page_and_its_files_come_from_here(stub: Program, path: str) -> None:
    page = stub.get(path)
    assert (page.status, page.value("content-type")) == (200, "text/html; charset=utf-8")
    for file in ("docs/reference.css", "docs/reference.js"):
        assert f'"{file}"' in page.body.decode()
        assert stub.get(f"/{file}").status == 200


def test_the_stub_serves_what_is_listed(stub: Program) -> None:
    document = described(stub)
    assert {"/proxy", "/proxy/stream", "/v1/chat/completions", "/healthz", "/metrics", "/docs"} <= set(
        document["paths"]
    )
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/proxy"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert stub.post(path, example, "Authorization: Bearer x").status == 200


def test_it_lists_what_this_configuration_has_and_nothing_else(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
server: {{admin_key: {ADMIN}}}
providers: [{{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: k, models: [claude-x]}}]
auth: {{mode: keys, keys: [{{name: ci, key: {KEY}}}]}}
middlewares: [{{type: cache}}]
"""
    with Program(tmp_path, config=config) as program:
        assert program.get("/docs").status == 200
        assert program.get("/openapi.json", f"Authorization: Bearer {KEY}").status == 401
        document = described(program, f"Authorization: Bearer {ADMIN}")
    paths = document["paths"]
    assert {"/v1/messages/count_tokens", "/claude/{path}", "/anthropic/{path}", "/cache", "/cache/{name}"} <= set(paths)
    assert not {"/v1/embeddings", "/v1/files", "/sessions", "/stub/{path}", "/{path}"} & set(paths)
    assert paths["/v1/messages"]["post"]["security"] == [{"clientKey": []}, {"clientKeyHeader": []}]
    assert paths["/config"]["get"]["security"] == [{"adminKey": []}]
    example: Mapping[str, Any] = paths["/v1/messages"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert example["model"] == "claude-x"
    assert KEY not in str(document) and ADMIN not in str(document)


def test_what_it_allows_is_answered_as_it_says(stub: Program) -> None:
    assert send_what_it_allows(stub, 1) > 30


@pytest.mark.long
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_is_sent_is_answered_as_it_says(stub: Program, mode: GenerationMode) -> None:
    assert send_what_it_allows(stub, 50, mode) > 500


def test_every_own_path_allows_what_is_described_and_names_it(tmp_path: Path) -> None:
    with Program(
        tmp_path, config="middlewares: [{type: sessions}, {type: cache}]\nproviders: [{name: s, type: stub}]\n"
    ) as program:
        own = {
            path: {method.upper() for method in operations}
            for path, operations in described(program)["paths"].items()
            if {each["tags"][0] for each in operations.values()} == {PAGES}
        }
        assert {"/health", "/admin/reload", "/sessions", "/sessions/{name}", "/cache", "/cache/{name}"} <= own.keys()
        with program.client() as client:
            for path, methods in own.items():
                allowed = methods | ({"HEAD"} if "GET" in methods else set())
                for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
                    client.request(method, path.format(name="x"))
                    answer = client.read_answer(method)
                    assert (answer.status, set((answer.value("allow") or "").split(", "))) == (405, allowed), (
                        method,
                        path,
                    )

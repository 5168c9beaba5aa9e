"""`/v1/models` and `/v1/models/{id}`: relayed where one upstream takes everything, else asked of who would answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Reply, Upstream

MODEL = {"id": "odd-1", "object": "model", "created": 7, "owned_by": "them", "own": {"x": 1.0}}
MISSING = Reply(status=404, pieces=[b'{"error": {"message": "no such model", "code": "model_not_found"}}'])
JSON = (("Content-Type", "application/json"),)


@pytest.fixture
def alone(upstream: Upstream, tmp_path: Path) -> Iterator[Program]:
    """Yield the program with `llm:` alone."""
    with Program(tmp_path, "serve", config=f'llm: {{base_url: "{upstream.url}/v1", api_key: k}}') as program:
        yield program


def raw(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
@pytest.mark.parametrize("header", ["x-none: 1", "anthropic-version: 2026-10-21"])
def test_the_list_of_the_only_upstream_is_relayed_query_and_all(
    alone: Program, upstream: Upstream, path: str, header: str
) -> None:
    listed = raw({"data": [MODEL], "has_more": True, "own": 1})
    upstream.next(Reply(headers=(*JSON, ("x-theirs", "1")), pieces=[listed]))
    answer = alone.get(f"{path}?limit=1&after_id=a%2Fb&beta=true", header)
    assert (answer.status, answer.body, answer.value("x-theirs")) == (200, listed, "1")
    assert upstream.only.target == b"/v1/models?limit=1&after_id=a%2Fb&beta=true"
    assert upstream.only.value("authorization") == "Bearer k"


@pytest.mark.parametrize("path", ["/v1/models/odd-1", "/models/ft:gpt-4o%3Ax?beta=true"])
def test_a_model_of_the_only_upstream_is_relayed(alone: Program, upstream: Upstream, path: str) -> None:
    upstream.next(Reply(pieces=[raw(MODEL)]), MISSING)
    found, missing = alone.get(path), alone.get(path)
    assert (found.status, found.body) == (200, raw(MODEL))
    assert (missing.status, missing.body) == (404, b"".join(MISSING.pieces))  # type: ignore[arg-type]  # all are bytes
    targets = {f"/v1/{path.removeprefix('/v1').lstrip('/')}".encode()}
    assert {request.target for request in upstream.requests} == targets


def test_an_error_of_the_only_upstream_is_its_own(alone: Program, upstream: Upstream) -> None:
    upstream.next(Reply(status=401, pieces=[b'{"error": {"message": "no"}}']))
    assert alone.get("/v1/models").status == 401
    upstream.next(Reply(status=302, headers=(("Location", "https://x.example/"),)))
    assert alone.get("/v1/models").value("location") == "https://x.example/"


def test_sdks_list_and_find_models(alone: Program, upstream: Upstream) -> None:
    upstream.next(Reply(pieces=[raw(MODEL)]))
    with openai.OpenAI(base_url=f"{alone.url}/v1", api_key="dummy", max_retries=0) as client:
        assert client.models.retrieve("odd-1").owned_by == "them"
    described = {"id": "c", "type": "model", "display_name": "C", "created_at": "2026-01-01T00:00:00Z"}
    page = {"data": [described], "has_more": False, "first_id": "c", "last_id": "c"}
    upstream.next(Reply(pieces=[raw(page)]), Reply(pieces=[raw(described)]))
    with anthropic.Anthropic(base_url=alone.url, api_key="dummy", max_retries=0) as messages:
        assert [each.id for each in messages.models.list(limit=1, after_id="b")] == ["c"]
        assert messages.models.retrieve("c").display_name == "C"


KNOWN = ("/v1/models/gpt-new", "/claude/v1/models/claude-new", "/llm/v1/models/odd-1", "/v1/models/gpt-small")


async def describe(call: Call) -> None:
    """Describe the models that are `KNOWN`, and list none."""
    path = call.request.path
    if path.endswith("/models"):
        await call.give(vendors.plain({"data": []}))
    else:
        await call.give(Reply(pieces=[raw(MODEL)]) if path in KNOWN else MISSING)


@pytest.fixture
def describing() -> Iterator[Upstream]:
    with Upstream(describe) as upstream:
        yield upstream


@pytest.fixture
def several(describing: Upstream, tmp_path: Path) -> Iterator[Program]:
    upstream = describing
    config = f"""
llm: {{base_url: "{upstream.url}/llm/v1", api_key: rest}}
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}/claude", api_key: c}}
models:
  - {{name: "fast-*", targets: [main/gpt-small]}}
"""
    with Program(tmp_path, "serve", config=config) as program:
        yield program


@pytest.mark.parametrize(
    ("name", "asked", "as_it_is"),
    [
        ("gpt-new", "/v1/models/gpt-new", True),
        ("claude-new", "/claude/v1/models/claude-new", False),
        ("odd-1", "/llm/v1/models/odd-1", True),
        ("main/gpt-new", "/v1/models/gpt-new", False),
        ("fast-1", "/v1/models/gpt-small", False),
    ],
)
def test_a_model_that_nobody_lists_is_asked_of_who_would_answer_it(
    several: Program, describing: Upstream, name: str, asked: str, as_it_is: bool
) -> None:
    found = several.get(f"/v1/models/{name}")
    assert (found.status, found.json["own"]) == (200, {"x": 1.0})
    assert found.body == raw(MODEL) if as_it_is else found.json["id"] == name
    assert [each.path for each in describing.requests if not each.path.endswith("/models")] == [asked]


@pytest.mark.parametrize("name", ["gpt-none", "claude-none", "none", "main/none"])
def test_what_that_provider_does_not_have_is_a_404(several: Program, name: str) -> None:
    answer = several.get(f"/v1/models/{name}")
    assert answer.status == 404 and answer.json["error"]["code"] == "model_not_found"


def test_heads_of_the_root_are_answered_like_health_checks(several: Program, describing: Upstream) -> None:
    with several.client() as client:
        client.request("HEAD", "/")
        answer = client.read_answer("HEAD")
        client.request("HEAD", "/health")
        assert (answer.status, answer.value("content-type")) == (200, client.read_answer("HEAD").value("content-type"))
    assert describing.requests == []

"""Requests between the forms of a call: the model in the path, and fields of the query."""

from __future__ import annotations

import json

import pytest

from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.dialects import catalog
from llmproxy.errors import BadRequest
from llmproxy.providers.call_forms import form_named, reform
from tests.support.exchanges import new_exchange

DEPLOYMENT = "/openai/deployments/{}/chat/completions"
RAW = b'{ "messages" : [],\n"n":1.0}'


def test_the_model_of_a_path_goes_into_the_body_and_nothing_else_changes() -> None:
    exchange = new_exchange(DEPLOYMENT.format("my%2Fgpt"), body=RAW, query="a=1&api-version=2024-10-21&b")
    exchange.read_model()
    assert exchange.endpoint is not None and exchange.model == "my/gpt"
    path, query, body = reform(exchange, exchange.endpoint, None, Headers())
    assert (path, query) == ("/chat/completions", "a=1&b") and isinstance(body, Body)
    assert json.loads(body.raw) == {"messages": [], "n": 1.0, "model": "my/gpt"}
    assert body.raw.startswith(RAW[:-1]) and exchange.held.raw == RAW


@pytest.mark.parametrize("model", ["gpt-4o", "a/b", "ä b", "..", "x:y@1"])
def test_the_model_of_a_body_goes_into_the_path(model: str) -> None:
    exchange = new_exchange("/v1/chat/completions", body={"model": model})
    assert exchange.endpoint is not None
    form = form_named(exchange.endpoint, "azure")
    assert form is not None
    path, _, body = reform(exchange, exchange.endpoint, form, Headers())
    assert body is exchange.body
    found = catalog.find("POST", path)
    assert found is not None and found.form is form and found.model_of(path) == model and path.count("/") == 5


def test_without_a_model_there_is_no_path() -> None:
    exchange = new_exchange("/v1/chat/completions", body=b"{}")
    assert exchange.endpoint is not None
    with pytest.raises(BadRequest, match="no model"):
        reform(exchange, exchange.endpoint, form_named(exchange.endpoint, "azure"), Headers())


def test_a_form_that_is_wanted_stays_as_it_came() -> None:
    exchange = new_exchange(DEPLOYMENT.format("d"), body=RAW, query="api-version=x")
    assert exchange.endpoint is not None
    same = reform(exchange, exchange.endpoint, form_named(exchange.endpoint, "azure"), Headers())
    assert same == (exchange.path, "api-version=x", exchange.body)


VERTEX = "/v1/projects/p/locations/l/publishers/anthropic/models"


@pytest.mark.parametrize("stream", [False, True])
def test_messages_at_vertex_have_the_model_in_the_path_and_the_version_in_the_body(stream: bool) -> None:
    raw = b'{"model":"claude-x@1", "messages" : [],"stream":%s}' % (b"true" if stream else b"false")
    exchange = new_exchange("/v1/messages", body=raw)
    exchange.read_model()
    assert exchange.endpoint is not None
    path, _, body = reform(exchange, exchange.endpoint, form_named(exchange.endpoint, "vertex"), Headers())
    verb = "streamRawPredict" if stream else "rawPredict"
    assert path == f"/publishers/anthropic/models/claude-x@1:{verb}" and isinstance(body, Body)
    assert json.loads(body.raw) == {"messages": [], "stream": stream, "anthropic_version": "vertex-2023-10-16"}
    assert b'"messages" : [],"stream"' in body.raw


def test_the_call_that_counts_tokens_keeps_its_model() -> None:
    exchange = new_exchange("/v1/messages/count_tokens", body=b'{"model":"claude-x"}')
    assert exchange.endpoint is not None
    path, _, body = reform(exchange, exchange.endpoint, form_named(exchange.endpoint, "vertex"), Headers())
    assert path == "/publishers/anthropic/models/count-tokens:rawPredict" and isinstance(body, Body)
    assert json.loads(body.raw) == {"model": "claude-x", "anthropic_version": "vertex-2023-10-16"}


@pytest.mark.parametrize(
    ("header", "member"),
    [(None, "vertex-2023-10-16"), ("2023-06-01", "vertex-2023-10-16"), ("2026-10-21", "2026-10-21")],
)
def test_the_version_of_the_api_goes_along(header: str | None, member: str) -> None:
    exchange = new_exchange("/v1/messages", body=b'{"model":"claude-x"}')
    headers = Headers() if header is None else Headers({"anthropic-version": header})
    assert exchange.endpoint is not None
    _, _, body = reform(exchange, exchange.endpoint, form_named(exchange.endpoint, "vertex"), headers)
    assert isinstance(body, Body) and json.loads(body.raw)["anthropic_version"] == member and not headers


@pytest.mark.parametrize(("member", "header"), [("vertex-2023-10-16", None), ("2026-10-21", "2026-10-21")])
def test_and_back(member: str, header: str | None) -> None:
    body = json.dumps({"anthropic_version": member, "max_tokens": 1}).encode()
    exchange, headers = new_exchange(f"{VERTEX}/claude-x:rawPredict", body=body), Headers()
    exchange.read_model()
    assert exchange.endpoint is not None and exchange.model == "claude-x"
    path, _, back = reform(exchange, exchange.endpoint, None, headers)
    assert path == "/messages" and headers.get("anthropic-version") == header and isinstance(back, Body)
    assert json.loads(back.raw) == {"max_tokens": 1, "model": "claude-x"}

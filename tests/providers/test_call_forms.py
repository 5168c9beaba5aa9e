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

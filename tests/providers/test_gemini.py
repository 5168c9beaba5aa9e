"""The Gemini API's addresses and credentials, without a server."""

from __future__ import annotations

import pytest

from llmproxy.access.identity import cache_scope
from llmproxy.providers.gemini import Gemini
from llmproxy.route import Route
from llmproxy.target import Target, UpstreamRequest
from tests.support.exchanges import new_exchange

CALL = "/models/gemini-3-pro:generateContent"


def gemini(**keys: object) -> Gemini:
    return Gemini(Gemini.Config.model_validate({"name": "gemini", "type": "gemini", **keys}))


def sent(provider: Gemini, path: str, *headers: tuple[str, str], query: str | None = None) -> UpstreamRequest:
    exchange = new_exchange(path, *headers, query=query, body={"model": "gemini-3-pro", "contents": []})
    return provider.prepare(exchange, Target(provider=provider))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (CALL, f"/v1beta{CALL}"),
        (f"/v1{CALL}", f"/v1{CALL}"),
        (f"/v1beta1/projects/p/locations/l/publishers/google{CALL}", f"/v1beta{CALL}"),
        (f"/v1alpha{CALL}", f"/v1alpha{CALL}"),
        ("/v1/embeddings", "/v1beta/openai/embeddings"),
        ("/v1/chat/completions", "/v1beta/openai/chat/completions"),
        ("/v1beta/cachedContents/7", "/v1beta/cachedContents/7"),
        ("/upload/v1beta/files", "/upload/v1beta/files"),
    ],
)
@pytest.mark.parametrize("base", ["", "/v1beta", "/gateway", "/gateway/v1beta"])
def test_the_paths_of_each_api(path: str, target: str, base: str) -> None:
    provider = gemini(base_url=f"https://google.example{base}", api_key="k")
    assert sent(provider, path).target == base.removesuffix("/v1beta") + target


def test_googles_form_of_openais_api_may_be_the_address() -> None:
    provider = gemini(base_url="https://google.example/v1beta/openai", dialects=["chat"], api_key="k")
    assert sent(provider, "/v1/chat/completions").target == "/v1beta/openai/chat/completions"


def test_a_key_stands_where_each_api_wants_it() -> None:
    provider = gemini(api_key="AIza")
    theirs = (("x-goog-api-key", "x"), ("authorization", "Bearer y"), ("x-goog-user-project", "z"))
    native = sent(provider, f"/v1beta{CALL}", *theirs, query="key=q&alt=sse&access_token=t")
    assert native.target.endswith("?alt=sse") and native.headers["x-goog-api-key"] == "AIza"
    assert not {"authorization", "x-goog-user-project"} & {name.lower() for name in native.headers}
    chat = sent(provider, "/v1/embeddings", *theirs).headers
    assert chat["authorization"] == "Bearer AIza" and "x-goog-api-key" not in chat


def test_a_clients_own_key_goes_on_where_there_is_none() -> None:
    provider = gemini()
    assert sent(provider, f"/v1beta{CALL}", query="key=mine").target.endswith("?key=mine")
    assert sent(provider, f"/v1beta{CALL}", ("x-goog-api-key", "mine")).headers["x-goog-api-key"] == "mine"


def test_a_key_in_the_query_counts_as_the_clients_own() -> None:
    provider = gemini(api_key="ours", auth="passthrough")
    mine = sent(provider, f"/v1beta{CALL}", query="key=mine")
    assert mine.target.endswith("?key=mine") and "x-goog-api-key" not in mine.headers
    assert sent(provider, f"/v1beta{CALL}").headers["x-goog-api-key"] == "ours"


def test_answers_for_keys_in_queries_are_kept_apart() -> None:
    route = Route(name="r", targets=(Target(provider=gemini()),))
    scopes = set()
    for key in ("a", "b"):
        exchange = new_exchange(f"/v1beta{CALL}", query=f"key={key}", body={"contents": []})
        exchange.route = route
        scopes.add(cache_scope(exchange))
    assert len(scopes) == 2 and "" not in scopes


def test_it_translates_unless_its_form_of_openais_api_is_asked_for() -> None:
    assert gemini().speaks == {"gemini"}
    assert gemini(dialects=["chat"]).speaks == {"chat"}

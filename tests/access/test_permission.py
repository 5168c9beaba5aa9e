"""What a client key may use, once the route is known."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.access.permission import check_known_path, hide_names, may_use, permitted_route
from llmproxy.client_key import ClientKey
from llmproxy.dialects.catalog import find
from llmproxy.dialects.socket_catalog import find_socket
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.exchanges import NamedProvider, new_exchange

A, B = NamedProvider("a"), NamedProvider("b")
BOTH = Route(name="gpt-*", targets=(Target(provider=A), Target(provider=B)))


def key(**grants: Any) -> ClientKey:
    return ClientKey(id="k", name="k", tenant="key:k", **grants)


def asks(body: object, path: str = "/v1/chat/completions") -> Exchange:
    return new_exchange(path, body=body)


def refusal(asked: ClientKey, route: Route, exchange: Exchange) -> tuple[int, str]:
    with pytest.raises(ProxyError) as caught:
        permitted_route(asked, route, exchange)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("grants", [{}, {"models": ("gpt-*",)}, {"providers": ("a", "b")}])
def test_an_allowed_request_keeps_its_route(grants: dict[str, Any]) -> None:
    assert permitted_route(key(**grants), BOTH, asks({"model": "gpt-4o"})) is BOTH


def test_targets_of_other_providers_are_skipped() -> None:
    route = permitted_route(key(providers=("b",)), BOTH, asks({"model": "gpt-4o"}))
    assert [target.provider.name for target in route.targets] == ["b"]
    assert route.name == BOTH.name


def test_no_copy_of_a_request_goes_to_another_provider() -> None:
    route = Route(name="gpt-*", targets=(Target(provider=A),), shadow=Target(provider=B))
    assert permitted_route(key(providers=("a", "b")), route, asks({"model": "gpt-4o"})) is route
    assert permitted_route(key(providers=("a",)), route, asks({"model": "gpt-4o"})).shadow is None


@pytest.mark.parametrize(
    ("grants", "body"),
    [
        ({"models": ("gpt-*",)}, {"model": "claude-x"}),
        ({"models": ("gpt-*",)}, {"model": "GPT-4o"}),
        ({"models": ("gpt-4",)}, {"model": "gpt-4o"}),
        ({"models": ("gpt-*",)}, {}),
        ({"models": ("gpt-*",)}, {"model": "gpt-4o", "models": ["gpt-4", "claude-x"]}),
        ({"models": ("gpt-*",)}, {"model": "gpt-4o", "fallbacks": [{"model": "claude-x"}]}),
        ({"models": ("gpt-*",)}, {"model": "gpt-4o", "fallbacks": "claude-x"}),
        ({"models": ("gpt-*",)}, {"model": "gpt-4o", "fallback_models": {"a": "claude-x"}}),
        ({"providers": ("c",)}, {"model": "gpt-4o"}),
    ],
)
def test_other_models_and_providers_are_refused(grants: dict[str, Any], body: object) -> None:
    assert refusal(key(**grants), BOTH, asks(body)) == (403, "permission_denied")


def test_models_to_fall_back_to_may_be_allowed_too() -> None:
    body = {"model": "gpt-4o", "models": ["gpt-4"], "fallbacks": [{"model": "gpt-5"}]}
    assert permitted_route(key(models=("gpt-*",)), BOTH, asks(body)) is BOTH


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "claude-x", "model": "gpt-4o"}',
        b'{"model": "gpt-4o", "Model": "claude-x"}',
        b'{"model": "gpt-4o", "\\u006dodel": "claude-x"}',
        b'{"MODEL": "claude-x", "model": "gpt-4o"}',
    ],
)
def test_a_model_that_readers_understand_differently_is_refused(body: bytes) -> None:
    exchange = asks(body)
    exchange.model = "gpt-4o"
    assert refusal(key(models=("gpt-*",)), BOTH, exchange) == (400, "duplicate_member")


def test_a_model_behind_the_name_of_its_provider_is_the_same_model() -> None:
    route = Route(name="a/*", targets=(Target(provider=A, model="gpt-4o"),))
    assert permitted_route(key(models=("gpt-*",)), route, asks({"model": "a/gpt-4o"})) is route
    assert refusal(key(models=("gpt-*",)), BOTH, asks({"model": "other/gpt-4o"})) == (403, "permission_denied")


def test_an_alias_is_not_what_stands_behind_it() -> None:
    route = Route(name="team/*", targets=(Target(provider=A, model="gpt-4o"),))
    assert refusal(key(models=("gpt-*",)), route, asks({"model": "team/gpt-4o"})) == (403, "permission_denied")
    assert permitted_route(key(models=("team/*",)), route, asks({"model": "team/gpt-4o"})) is route


def test_the_model_in_a_path_counts() -> None:
    exchange = asks({"model": "gpt-4o"}, "/v1beta/models/gemini-x:generateContent")
    exchange.read_model()
    assert refusal(key(models=("gpt-*",)), BOTH, exchange) == (403, "permission_denied")
    assert permitted_route(key(models=("gemini-*",)), BOTH, exchange) is BOTH


FILES, STORED = find("GET", "/v1/files"), find("GET", "/v1/responses/resp_1")
CHAT = find("POST", "/v1/chat/completions")


@pytest.mark.parametrize("grants", [{"models": ("gpt-*",)}, {"providers": ("a",)}])
def test_paths_that_nobody_knows_need_relay(grants: dict[str, Any]) -> None:
    with pytest.raises(ProxyError, match="relay: true") as caught:
        check_known_path(key(**grants), None)
    assert (caught.value.status, caught.value.code) == (403, "permission_denied")
    check_known_path(key(relay=True, **grants), None)
    check_known_path(key(), None)


def test_known_paths_without_a_model_need_relay_where_models_are_restricted() -> None:
    with pytest.raises(ProxyError, match="relay: true"):
        check_known_path(key(models=("gpt-*",)), FILES)
    check_known_path(key(models=("gpt-*",), relay=True), FILES)
    check_known_path(key(providers=("a",)), FILES)
    check_known_path(key(models=("gpt-*",)), CHAT)


def test_what_a_provider_has_stored_may_be_anothers() -> None:
    exchange = new_exchange("/v1/responses/resp_1", method="GET")
    assert exchange.endpoint is STORED
    for path in ("/v1/responses/resp_1", "/v1/conversations", "/v1/conversations/conv_1/items"):
        check_known_path(key(models=("gpt-*",)), find("POST" if path.endswith("conversations") else "GET", path))
    assert refusal(key(models=("gpt-*",)), BOTH, exchange) == (404, "not_found")
    assert permitted_route(key(models=("gpt-*",), relay=True), BOTH, exchange) is BOTH
    assert permitted_route(key(providers=("a", "b")), BOTH, exchange) is BOTH
    assert refusal(key(providers=("c",)), BOTH, exchange) == (404, "not_found")


def test_an_unknown_model_is_not_answered_with_the_names_of_others() -> None:
    error = BadRequest("Unknown model 'gpt-9'. Available: secret-model", status=404, code="model_not_found")
    with pytest.raises(BadRequest, match=r"^Unknown model 'gpt-9'\. GET /v1/models lists yours$"):
        hide_names(key(models=("gpt-*",)), asks({"model": "gpt-9"}), error)
    with pytest.raises(ProxyError) as caught:
        hide_names(key(models=("gpt-*",)), asks({"model": "claude-9"}), error)
    assert caught.value.status == 403
    hide_names(key(), asks({"model": "claude-9"}), error)


def test_what_a_key_may_use_is_listed() -> None:
    assert may_use(key(models=("gpt-*",)), BOTH, "gpt-4o")
    assert not may_use(key(models=("gpt-*",)), BOTH, "o4")
    assert not may_use(key(providers=("c",)), BOTH, "gpt-4o")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("model=gpt-4o", 0),
        ("model=gpt-4o&deployment=gpt-4o&models=x&a=b", 0),
        ("model=gpt-4o&model=other", 400),
        ("model=gpt-4o&mod%65l=other", 400),
        ("Model=other&model=gpt-4o", 400),
        ("model=gpt-4o&deployment=other", 400),
        ("a=b;model=other&model=gpt-4o", 400),
        ("model=gpt-4o&model[]=other", 400),
        ("model=gpt-4o&model%00=other", 400),
        ("model=other&model=gpt-4o", 403),
    ],
)
def test_the_query_of_a_websocket_names_one_model_to_every_reader(query: str, status: int) -> None:
    exchange = new_exchange("/v1/realtime")
    exchange.endpoint, exchange.query, exchange.upgrade = find_socket("/v1/realtime", query), query, True
    exchange.read_model()
    if status:
        assert refusal(key(models=("gpt-*",)), BOTH, exchange)[0] == status
    else:
        assert permitted_route(key(models=("gpt-*",)), BOTH, exchange) is BOTH

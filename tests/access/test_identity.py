"""Whose a request is, in words: each test is one rule."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.access.identity import cache_scope, digest, identity_of
from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.exchange import Exchange
from llmproxy.providers.openai import OpenAI
from llmproxy.providers.stub import Stub
from llmproxy.route import Route
from llmproxy.target import Provider, Target
from tests.support.exchanges import ended

CREDENTIALS = (
    *("Authorization", "x-api-key", "api-key", "x-goog-api-key", "Cookie"),
    *("x-portkey-api-key", "cf-aig-authorization", "X-Auth-Token", "X-Upstream"),
)
GATEWAYS = CREDENTIALS[4:]
VENDORS = CREDENTIALS[:4]
HERE, THERE = "10.0.0.1", "10.0.0.2"


def openai(key: str | None = None, **keys: Any) -> OpenAI:
    return OpenAI(
        OpenAI.Config.model_validate(
            {"name": "p", "type": "openai", "base_url": "http://h.test/v1", "api_key": key, "proxy": None, **keys}
        )
    )


STUB = Stub(Stub.Config.model_validate({"name": "stub", "type": "stub"}))


def asked(*providers: Provider, **more: Any) -> Exchange:
    """Return a request that would go to these providers; `more` are its `client` and `query`, and its headers."""
    client, query = more.pop("client", None), more.pop("query", None)
    sent = Headers({name.replace("_", "-"): value for name, value in more.items()})
    route = Route(name="r", targets=tuple(Target(provider=each) for each in providers)) if providers else None
    return ended(client=client or Client(address=HERE, agent="sdk/1"), headers=sent, route=route, query=query)


def who(verified: bool = False, address: str = HERE, **more: Any) -> str:
    agent, tenant = more.pop("agent", "sdk/1"), more.pop("tenant", "")
    client = Client(address=address, agent=agent, tenant=tenant, credentials_verified=verified)
    return identity_of(asked(client=client, **more))


class TestIdentity:
    """Who the client is."""

    @pytest.mark.parametrize("verified", [True, False])
    def test_a_verified_client_key_is_its_tenant_wherever_and_whatever_else_it_sends(self, verified: bool) -> None:
        one = who(verified, HERE, agent="a", tenant="acme", Authorization="Bearer first-key")
        assert one == who(verified, THERE, agent="b", tenant="acme", Cookie="a=b")
        assert one not in (who(verified, tenant="other"), who(verified))

    @pytest.mark.parametrize("name", [each for each in CREDENTIALS if each != "Cookie"])
    def test_a_credential_that_providers_verify_is_enough(self, name: str) -> None:
        here, there = (
            who(True, address, agent=agent, **{name: "Bearer abcdef"}) for address, agent in ((HERE, "a"), (THERE, "b"))
        )
        assert here == there

    @pytest.mark.parametrize("name", CREDENTIALS)
    def test_one_that_nobody_verifies_is_not(self, name: str) -> None:
        sent: dict[str, Any] = {name: "Bearer abcdef"}
        assert len({who(**sent), who(address=THERE, **sent), who(agent="sdk/2", **sent)}) == 3

    @pytest.mark.parametrize(
        "sent",
        [
            {"Cookie": "theme=dark"},
            {"Authorization": "Bearer ollama"},
            {"api_key": "x"},
            {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261129/x/y/aws4_request, Signature=1"},
            {},
        ],
    )
    def test_cookies_placeholders_and_signatures_prove_nothing(self, sent: dict[str, Any]) -> None:
        assert who(True, **sent) != who(True, THERE, **sent)

    @pytest.mark.parametrize("verified", [True, False])
    def test_every_credential_tells_clients_apart(self, verified: bool) -> None:
        base: list[dict[str, Any]] = [{}, {"Authorization": "Bearer common"}]
        for common in base:
            changed = [{**common, name: f"Bearer {value}-key"} for name in CREDENTIALS for value in ("one", "other")]
            found = [who(verified, HERE, **sent) for sent in (common, *changed)]
            assert len(set(found)) == len(found)
        assert who(verified, query="key=one-key") != who(verified, query="key=other-key") != who(verified)

    def test_headers_that_are_no_credentials_do_not(self) -> None:
        assert who() == who(X_Other="a", traceparent="b", query="beta=true")

    def test_it_does_not_depend_on_the_route_or_on_the_order_of_headers(self) -> None:
        sent: dict[str, Any] = {"Authorization": "Bearer one-key", "Cookie": "a=b"}
        found = {identity_of(asked(*targets, **sent)) for targets in ((), (openai(),), (openai("ours"), STUB))}
        assert len(found) == 1
        assert {identity_of(asked(**dict(order))) for order in itertools.permutations(sent.items())} == found

    def test_it_is_computed_once_for_an_exchange(self) -> None:
        exchange = asked(Authorization="Bearer one-key")
        first = identity_of(exchange)
        exchange.headers["Authorization"] = "Bearer put there by a hook"
        assert identity_of(exchange) is identity_of(exchange.view()) is first

    def test_it_shows_no_secret(self) -> None:
        assert "secret" not in who(Authorization="Bearer secret")


class TestCacheScope:
    """Whose cached answers a request may get."""

    @pytest.mark.parametrize("targets", [(openai("ours"),), (STUB,), (openai("ours"), openai("ours")), ()])
    def test_clients_share_where_nothing_of_theirs_goes_on(self, targets: tuple[Provider, ...]) -> None:
        sent: list[dict[str, Any]] = [{}, {"Authorization": "Bearer a"}, {"x_api_key": "b"}]
        scopes = {
            cache_scope(asked(*targets, client=Client(address=each), **headers)) for each in "ab" for headers in sent
        }
        assert scopes == {""}

    @pytest.mark.parametrize("name", CREDENTIALS)
    @pytest.mark.parametrize(
        "targets", [(openai(),), (openai("ours", auth="passthrough"),), (openai("ours"), openai())]
    )
    def test_every_credential_that_goes_on_keeps_them_apart(self, targets: tuple[Provider, ...], name: str) -> None:
        scopes = [cache_scope(asked(*targets)), *(cache_scope(asked(*targets, **{name: f"Bearer {x}"})) for x in "ab")]
        assert len(set(scopes)) == 3
        same = (
            cache_scope(asked(*targets, client=Client(address=each), **{name: "Bearer a"})) for each in (HERE, THERE)
        )
        assert set(same) == {scopes[1]}

    @pytest.mark.parametrize("name", GATEWAYS)
    def test_cookies_and_keys_of_gateways_go_on_beside_a_key_of_ours(self, name: str) -> None:
        scopes = [cache_scope(asked(openai("ours"), **{name: f"Bearer {value}"})) for value in "ab"]
        assert len({"", *scopes}) == 3

    @pytest.mark.parametrize("name", CREDENTIALS)
    def test_a_provider_that_answers_by_itself_sees_none(self, name: str) -> None:
        assert cache_scope(asked(STUB, **{name: "Bearer abc"})) == ""

    def test_a_verified_client_key_is_its_tenant(self) -> None:
        one, again, other = (Client(address="a", tenant=tenant) for tenant in ("t1", "t1", "t2"))
        scope = cache_scope(asked(openai(), client=one, Authorization="Bearer a"))
        assert scope == cache_scope(asked(openai("ours"), client=again)) != cache_scope(asked(client=other))
        assert scope

    def test_all_share_where_the_configuration_says_so(self) -> None:
        client = Client(address="a", tenant="t1")
        assert cache_scope(asked(openai(), client=client, Authorization="Bearer a"), shared=True) == ""

    @pytest.mark.parametrize("shared", [True, False])
    def test_headers_that_are_named_separate_answers_always(self, shared: bool) -> None:
        vary = ("x-region", "x-tenant")
        sent: list[dict[str, Any]] = [{}, {"X_Tenant": ""}, {"X_Tenant": "a"}, {"x_tenant": "b"}, {"X_Region": "a"}]
        scopes = [cache_scope(asked(openai("ours"), **each), vary, shared=shared) for each in sent]
        assert len(set(scopes)) == len(sent)
        assert scopes[2] == cache_scope(asked(openai("ours"), X_TENANT="a", X_Other="c"), vary, shared=shared)

    @pytest.mark.parametrize("shared", [False, True])
    def test_what_is_stored_for_a_client_separates_identities_always(self, shared: bool) -> None:
        sent = [{"x_api_key": "a"}, {"x_api_key": "b"}, {"x_api_key": "a"}]
        scopes = [cache_scope(asked(openai("ours"), **each), shared=shared, stored=True) for each in sent]
        assert scopes[0] == scopes[2] != scopes[1]

    def test_it_shows_no_secret(self) -> None:
        assert "secret" not in cache_scope(asked(openai(), Authorization="Bearer secret"), ("authorization",))


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_no_two_lists_of_parts_share_a_digest(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) is (one == other)

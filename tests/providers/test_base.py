from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from llmproxy.body import Body, StreamedBody
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.providers.own_answers import FrameStream
from llmproxy.target import Target
from llmproxy.wire.compression import compress
from tests.support.exchanges import new_exchange


class Vendor(HttpProvider):
    """A vendor as simple as any, and one that is particular in everything."""

    class Config(HttpProvider.Config):
        services: ClassVar[Mapping[str, Service]] = {
            "plain": Service(origin="https://api.plain.test", speaks=frozenset({"chat"}), patterns=("p-*", "p")),
            "odd": Service(
                origin="https://api.odd.test",
                root="/api/v2",
                roots={"messages": "/other/v3"},
                beside=frozenset({"api"}),
                speaks=frozenset({"chat", "messages"}),
                key_header="x-odd-key",
                key_scheme="",
                headers=(("odd-version", "7"),),
                models_query="all=1",
            ),
            "anywhere": Service(origin=None, speaks=frozenset({"chat"})),
        }


def vendor(**keys: Any) -> Vendor:
    return Vendor(Vendor.Config.model_validate({"name": "v", "type": "plain", **keys}))


def prepared(provider: Vendor, *args: Any, **kwargs: Any) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of what goes upstream."""
    request = provider.prepare(new_exchange(*args, **kwargs), Target(provider=provider))
    origin = request.origin
    headers = dict(request.headers)
    assert headers.pop("Accept-Encoding") == "identity"
    return f"{origin.scheme}://{origin.authority}{request.target}", headers


def test_the_request_goes_to_the_usual_address_of_its_type() -> None:
    assert prepared(vendor()) == ("https://api.plain.test/v1/chat/completions", {})


def test_the_request_goes_to_base_url_with_both_queries() -> None:
    provider = vendor(base_url="http://[::1]:81/x/v4/?tenant=%2Fa&b")
    assert prepared(provider)[0] == "http://[::1]:81/x/v4/chat/completions?tenant=%2Fa&b"
    assert prepared(provider, query="q=1&q=%zz")[0] == "http://[::1]:81/x/v4/chat/completions?tenant=%2Fa&b&q=1&q=%zz"
    assert prepared(vendor(), query="q")[0].endswith("/completions?q")


def test_a_capability_may_have_a_root_of_its_own() -> None:
    provider = vendor(type="odd")
    assert prepared(provider)[0] == "https://api.odd.test/api/v2/chat/completions"
    assert prepared(provider, "/v1/messages")[0] == "https://api.odd.test/other/v3/messages"
    assert prepared(provider, "/api/v2/else", prefix="/odd")[0] == "https://api.odd.test/api/v2/else"
    assert prepared(vendor(type="odd", base_url="http://h/all/v1"), "/v1/messages")[0] == "http://h/all/v1/messages"


def test_only_what_was_caught_goes_to_a_bare_origin_as_it_is() -> None:
    assert prepared(vendor(), "/some/where")[0] == "https://api.plain.test/some/where"
    assert prepared(vendor(), "/some/where", prefix="/plain")[0] == "https://api.plain.test/v1/some/where"
    assert prepared(vendor(), "/chat/completions")[0] == "https://api.plain.test/v1/chat/completions"


@pytest.mark.parametrize(
    "credential", [("Authorization", "Bearer dummy"), ("X-Api-Key", "dummy"), ("api-key", "dummy")]
)
def test_a_configured_key_replaces_whatever_the_client_sent(credential: tuple[str, str]) -> None:
    assert prepared(vendor(api_key="sk"), "/v1/chat/completions", credential)[1] == {"Authorization": "Bearer sk"}
    assert prepared(vendor(type="odd", api_key="sk"), "/v1/chat/completions", credential)[1] == {
        "x-odd-key": "sk",
        "odd-version": "7",
    }


def test_without_a_key_the_clients_own_credential_goes_on() -> None:
    sent = ("Authorization", "Bearer own"), ("x-api-key", "own")
    assert prepared(vendor(), "/v1/chat/completions", *sent)[1] == dict(sent)
    assert prepared(vendor(api_key=" "), "/v1/chat/completions", *sent)[1] == dict(sent), "an empty key is none"


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ([("Authorization", "Bearer own")], {"Authorization": "Bearer own"}),
        ([("x-api-key", "own")], {"x-api-key": "own"}),
        ([("Authorization", "Bearer ")], {"Authorization": "Bearer sk"}),
        ([], {"Authorization": "Bearer sk"}),
    ],
)
def test_passthrough_takes_the_clients_credential_first(sent: list[tuple[str, str]], got: dict[str, str]) -> None:
    assert prepared(vendor(api_key="sk", auth="passthrough"), "/v1/chat/completions", *sent)[1] == got


def test_headers_of_the_type_give_way_to_the_clients() -> None:
    assert prepared(vendor(type="odd"))[1] == {"odd-version": "7"}
    assert prepared(vendor(type="odd"), "/v1/messages", ("Odd-Version", "8"))[1] == {"Odd-Version": "8"}


def test_the_body_goes_as_it_stands_and_its_coding_only_while_that_is_true() -> None:
    provider = vendor()
    raw = compress(b'{"model": "m"}', "gzip")
    packed = new_exchange("/v1/chat/completions", ("Content-Encoding", "gzip"), body=raw, encoding="gzip")
    request = provider.prepare(packed, Target(provider=provider))
    assert request.body is packed.body and request.headers["Content-Encoding"] == "gzip"
    packed.body = Body(b"{}")
    assert "Content-Encoding" not in provider.prepare(packed, Target(provider=provider)).headers
    packed.body = StreamedBody(stream=FrameStream([]), length=None)
    assert "Content-Encoding" in provider.prepare(packed, Target(provider=provider)).headers


def test_the_exchange_keeps_its_own_headers() -> None:
    exchange = new_exchange("/v1/chat/completions", ("Host", "h"), ("Authorization", "Bearer own"))
    provider = vendor(api_key="sk")
    provider.prepare(exchange, Target(provider=provider)).headers["x-new"] = "1"
    assert dict(exchange.headers) == {"Host": "h", "Authorization": "Bearer own"}


def test_models_are_asked_for_at_the_root_with_the_key_and_nobody_elses() -> None:
    request = vendor(type="odd", api_key="sk", base_url="https://h/?t=1").list_models(None)
    assert (request.method, request.target, request.body) == ("GET", "/api/v2/models?t=1&all=1", None)
    assert dict(request.headers) == {"x-odd-key": "sk", "odd-version": "7"}
    assert not vendor().list_models(None).headers


def test_models_are_asked_for_with_the_clients_credential_when_it_is_meant() -> None:
    sent = ("Authorization", "Bearer own"), ("If-None-Match", '"x"'), ("openai-organization", "o")
    request = vendor().list_models(new_exchange("/v1/models", *sent, method="GET"))
    assert request.target == "/v1/models"
    assert dict(request.headers) == {
        "Authorization": "Bearer own",
        "openai-organization": "o",
        "Accept-Encoding": "identity",
    }


def test_timeouts_trust_and_proxy_belong_to_the_origin() -> None:
    origin = vendor(timeouts={"connect": "2s", "total": "1m", "idle": "none"}, proxy="http://user:pw@p:3128").origin
    limits = origin.timeouts
    assert (limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s) == (2.0, 600.0, None, 60.0)
    assert origin.proxy == "http://user:pw@p:3128"
    assert vendor(proxy="none").origin.proxy is None
    assert vendor().origin.proxy == "auto"


def test_a_provider_answers_the_patterns_of_its_type_or_the_models_it_is_given() -> None:
    assert (vendor().patterns, vendor().models, vendor().sole_catch_all) == (("p-*", "p"), ("p",), False)
    own = vendor(models=["a", "b-*"], type="odd")
    assert (own.patterns, own.models, own.sole_catch_all) == (("a", "b-*"), ("a",), False)
    assert vendor(type="odd").sole_catch_all, "a type that is known for no model answers all when it stands alone"
    assert not vendor(type="odd", models=[]).sole_catch_all


def test_a_description_shows_the_address_and_never_a_key() -> None:
    output = vendor(api_key="sk-hush", base_url="https://h/x/?token=hush", priority=3).describe()
    assert output["base_url"] == "https://h/x" and output["auth"] == "inject"
    assert "hush" not in repr(output)
    assert vendor().describe()["auth"] == "client", "whose credential it is"


def test_the_key_and_what_the_address_says_behind_its_question_mark_are_secrets() -> None:
    url = "https://api.plain.test/v1?api-version=2024-10-21&code=a%2Fb"
    assert vendor(base_url=url, api_key="k").secrets == ("k", "a/b")
    assert vendor().secrets == ()


def test_a_class_with_one_type_may_be_called_anything() -> None:
    class Mine(HttpProvider):
        class Config(HttpProvider.Config):
            services: ClassVar[Mapping[str, Service]] = {
                "mine": Service(origin="https://h", speaks=frozenset({"chat"}))
            }

    mine = Mine(Mine.Config(name="m", type="./mine.py:Mine"))
    assert mine.prepare(new_exchange(), Target(provider=mine)).target == "/v1/chat/completions"

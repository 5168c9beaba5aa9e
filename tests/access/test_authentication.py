"""Who a client is, and that what showed it goes no further."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from llmproxy.access.authentication import Authentication
from llmproxy.access.certificates import parts_of, read_certificate
from llmproxy.access.identity import identity_of
from llmproxy.access.keys import KeyRing, digest_of
from llmproxy.client_key import ClientKey
from llmproxy.errors import Unauthenticated
from llmproxy.exchange import Exchange
from llmproxy.providers.openai import OpenAI
from llmproxy.target import Target
from tests.support.exchanges import new_exchange

KEY = "llmp_aaaaaaaa_secret"
CI = ClientKey(id="aaaaaaaa", name="ci", tenant="key:ci")
BOX = ClientKey(id="box", name="box", tenant="key:box")
RING = KeyRing([(digest_of(KEY), CI), (digest_of("plain-key"), BOX)])


def asked(*headers: tuple[str, str], query: str | None = None) -> Exchange:
    return new_exchange("/v1/chat/completions", *headers, query=query, body={"model": "gpt-x"})


def refused(authentication: Authentication, exchange: Exchange) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        authentication.identify(exchange)
    return caught.value


class Fetching:
    """A verifier that knows `token` after a fetch."""

    def __init__(self) -> None:
        self.fetched = 0

    def find(self, token: str) -> ClientKey | None:
        return CI if self.fetched and token == "token" else None

    def needs_fetch(self, token: str) -> bool:
        return token == "token"

    async def fetch(self) -> None:
        self.fetched += 1


def test_a_known_key_names_its_client() -> None:
    exchange = asked(("x-api-key", KEY))
    assert Authentication(RING).identify(exchange) is None
    client = exchange.client
    assert (client.key, client.name, client.tenant) == (CI, "ci", "key:ci")


def test_the_client_of_a_key_is_the_same_wherever_it_comes_from() -> None:
    exchanges = [asked(("x-api-key", KEY)), asked(("Authorization", f"Bearer {KEY}"), ("User-Agent", "other"))]
    exchanges[1].client.address = "10.0.0.1"
    for exchange in exchanges:
        Authentication(RING).identify(exchange)
    assert len({identity_of(exchange) for exchange in exchanges}) == 1


def test_every_refusal_is_the_same() -> None:
    expired = ClientKey(id="old", name="old", tenant="key:old", expires_s=1.0)
    authentication = Authentication(KeyRing([(digest_of(KEY), CI), (digest_of("expired-key"), expired)]))
    errors = [
        refused(authentication, asked(*headers))
        for headers in (
            [],
            [("x-api-key", KEY[:-1])],
            [("x-api-key", "expired-key")],
            [("Authorization", "Basic eA==")],
        )
    ]
    assert len({(error.message, error.status, error.code, error.headers) for error in errors}) == 1
    assert (errors[0].status, errors[0].code) == (401, "invalid_api_key")


@pytest.mark.parametrize("settings", [{}, {"api_key": "sk"}, {"api_key": "sk", "auth": "passthrough"}])
@pytest.mark.parametrize(
    "headers", [[("Authorization", f"Bearer {KEY}")], [("x-api-key", KEY), ("x-goog-api-key", KEY)], [("api-key", KEY)]]
)
def test_what_authenticated_the_client_goes_to_no_provider(settings: dict[str, Any], headers: list[Any]) -> None:
    exchange = asked(*headers, ("Cookie", f"k={KEY}"), query=f"key={KEY}&alt=sse")
    Authentication(RING).identify(exchange)
    config = {"name": "p", "type": "openai", "base_url": "http://h.test/v1", "proxy": None, **settings}
    provider = OpenAI(OpenAI.Config.model_validate(config))
    sent = provider.prepare(exchange, Target(provider=provider))
    assert KEY not in str(sent.headers) and KEY not in sent.target
    assert sent.headers.get("Authorization") == ("Bearer sk" if settings else None)
    assert sent.target.endswith("?alt=sse")


def test_a_credential_for_the_provider_goes_on_beside_the_key() -> None:
    exchange = asked(("x-llmproxy-key", KEY), ("Authorization", "Bearer sk-own"))
    Authentication(RING).identify(exchange)
    assert dict(exchange.headers) == {"Authorization": "Bearer sk-own"}


def test_keys_of_ours_go_on_neither_when_they_have_expired() -> None:
    exchange = asked(("x-api-key", "llmp_bbbbbbbb_old"), ("Authorization", f"Bearer {KEY}"))
    Authentication(RING).identify(exchange)
    assert not exchange.headers


def test_the_first_valid_key_counts_and_all_of_them_are_removed() -> None:
    exchange = asked(("Authorization", "Bearer unknown"), ("x-api-key", "plain-key"), ("api-key", KEY))
    Authentication(RING).identify(exchange)
    assert exchange.client.key == BOX
    assert dict(exchange.headers) == {"Authorization": "Bearer unknown"}


def test_replaced_keys_count_at_once() -> None:
    authentication = Authentication(RING)
    authentication.keys = KeyRing([(digest_of("new-key"), CI)])
    authentication.identify(asked(("x-api-key", "new-key")))
    refused(authentication, asked(("x-api-key", KEY)))


def test_refusals_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    authentication = Authentication(RING)
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            refused(authentication, asked(("x-api-key", f"wrong-{number}")))
    assert [record.getMessage() for record in caplog.records] == [
        "requests refused without a valid key: 1 so far, the last from 127.0.0.1"
    ]


async def test_a_token_waits_for_the_key_set_it_needs() -> None:
    tokens = Fetching()
    authentication, exchange = Authentication(RING, tokens), asked(("Authorization", "Bearer token"))
    waiting = authentication.identify(exchange)
    assert waiting is not None and exchange.client.key is None
    await waiting
    assert exchange.client.key == CI and not exchange.headers
    refused(authentication, asked(("Authorization", "Bearer other")))
    assert tokens.fetched == 1


async def test_a_token_that_the_key_set_does_not_verify_is_refused() -> None:
    class Never(Fetching):
        def find(self, token: str) -> None:
            return None

    waiting = Authentication(RING, Never()).identify(asked(("Authorization", "Bearer token")))
    assert inspect.isawaitable(waiting)
    with pytest.raises(Unauthenticated):
        await waiting


class TestCertificates:
    """Clients with a certificate, which TLS has verified."""

    CERTIFICATE = read_certificate(((("organizationName", "Acme"),), (("commonName", "box"),)))

    def found(self, authentication: Authentication, *headers: tuple[str, str]) -> ClientKey | None:
        exchange = asked(*headers)
        exchange.client.certificate = self.CERTIFICATE
        authentication.identify(exchange)
        return exchange.client.key

    @pytest.mark.parametrize("subject", ["O=Acme,CN=box", "CN=box, O=Acme", "box"])
    def test_a_key_may_belong_to_a_certificate(self, subject: str) -> None:
        assert self.found(Authentication(RING, subjects={parts_of(subject): BOX})) == BOX

    @pytest.mark.parametrize("subject", ["CN=box", "O=Acme", "O=Acme,CN=other", "Acme"])
    def test_another_subject_is_nobody(self, subject: str) -> None:
        with pytest.raises(Unauthenticated):
            self.found(Authentication(RING, subjects={parts_of(subject): BOX}))

    def test_a_key_counts_before_the_certificate(self) -> None:
        authentication = Authentication(RING, subjects={parts_of("box"): BOX})
        assert self.found(authentication, ("x-api-key", KEY)) == CI

    def test_a_key_of_a_certificate_may_expire(self) -> None:
        old = ClientKey(id="box", name="box", tenant="key:box", expires_s=1.0)
        with pytest.raises(Unauthenticated):
            self.found(Authentication(RING, subjects={parts_of("box"): old}))

    def test_where_certificates_suffice_the_subject_names_the_client(self) -> None:
        key = self.found(Authentication(KeyRing(), certificates_suffice=True))
        assert key is not None
        assert (key.name, key.tenant) == ("box", "certificate:O=Acme,CN=box")


def test_an_expired_key_beside_a_valid_one_goes_no_further() -> None:
    expired = ClientKey(id="old", name="box", tenant="key:box", expires_s=1.0)
    keys = KeyRing([(digest_of("plain-key"), BOX), (digest_of("expired-key"), expired)])
    exchange = asked(("x-api-key", "expired-key"), ("Authorization", "Bearer plain-key"))
    Authentication(keys).identify(exchange)

    assert exchange.client.key == BOX
    assert "key" not in " ".join(exchange.headers.values())


def test_a_key_that_is_repeated_as_the_whole_query_goes_no_further() -> None:
    exchange = asked(("Authorization", "Bearer plain-key"), query="plain-key")
    Authentication(RING).identify(exchange)

    assert (exchange.client.key, exchange.query) == (BOX, None)

"""The published keys of an identity provider: kept, renewed, and never asked for too often."""

from __future__ import annotations

import asyncio
import logging

import pytest

from llmproxy.access.key_set import KeySet, read_key_set
from llmproxy.errors import ProxyError, UpstreamError
from tests.support.tokens import ED25519, P256, RSA, SMALL_RSA, jwk, jwks


class Address:
    """What stands at an address, and how often it was asked for."""

    def __init__(self, content: bytes | Exception) -> None:
        self.content = content
        self.asked = 0
        self.now_s = 1000.0

    async def fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def keys(self) -> KeySet:
        return KeySet(self.fetch, "https://x/jwks", refresh_s=600, min_interval_s=30, clock=lambda: self.now_s)


DOWN = UpstreamError("it does not answer")


def test_keys_are_read_with_the_algorithm_of_their_kind() -> None:
    keys = read_key_set(jwks(jwk(RSA, "r"), jwk(P256, "p"), jwk(ED25519, "e")))
    assert [(key.id, key.algorithm) for key in keys] == [("r", "RS256"), ("p", "ES256"), ("e", "EdDSA")]


def test_keys_for_other_things_are_passed_over() -> None:
    others = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {**jwk(RSA, "encrypts"), "use": "enc"},
        {**jwk(RSA, "other"), "alg": "RS512"},
        {**jwk(RSA, "none"), "alg": "none"},
        jwk(SMALL_RSA, "small"),
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "unheard-of"},
        "text",
    ]
    assert [key.id for key in read_key_set(jwks(*others, jwk(P256, "p")))] == ["p"]


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}']
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        read_key_set(data)


async def test_keys_are_fetched_once_and_found_by_algorithm_and_name() -> None:
    address = Address(jwks(jwk(RSA, "r"), jwk(P256, "p")))
    keys = address.keys()
    await keys.start()
    await keys.refresh()
    assert [key.id for key in keys.find("RS256", "r")] == ["r"]
    assert [key.id for key in keys.find("RS256", None)] == ["r"]
    assert keys.find("ES256", "r") == keys.find("HS256", None) == keys.find("none", None) == []
    assert address.asked == 1
    await keys.close()


async def test_an_unknown_name_is_fetched_anew_with_a_floor_between() -> None:
    address = Address(jwks(jwk(RSA, "old")))
    keys = address.keys()
    await keys.refresh()
    assert not keys.lacks("RS256", "new")
    address.now_s += 31
    address.content = jwks(jwk(RSA, "new"))
    assert keys.lacks("RS256", "new")
    await asyncio.gather(*(keys.refresh() for _ in range(100)))
    assert [key.id for key in keys.find("RS256", "new")] == ["new"]
    assert not keys.find("RS256", "old")
    for number in range(10_000):
        assert not keys.lacks("RS256", f"flood-{number}")
    assert (address.asked, keys.generation) == (2, 2)


async def test_an_address_that_is_down_keeps_the_old_keys(caplog: pytest.LogCaptureFixture) -> None:
    address = Address(jwks(jwk(RSA, "r")))
    keys = address.keys()
    await keys.refresh()
    with caplog.at_level(logging.INFO):
        for content in (DOWN, b"<html>"):
            address.content = content
            address.now_s += 61
            await keys.refresh()
            assert keys.find("RS256", "r")
        address.content = jwks(jwk(RSA, "r"))
        address.now_s += 61
        await keys.refresh()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "the 1 known keys stay" in caplog.text
    assert keys.generation == 1


async def test_without_any_keys_it_is_said_that_they_are_missing() -> None:
    address = Address(DOWN)
    keys = address.keys()
    for _ in range(3):
        assert keys.lacks("RS256", "r")
        with pytest.raises(ProxyError) as caught:
            await keys.refresh()
        assert (caught.value.status, caught.value.code) == (503, "key_set_unavailable")
    assert address.asked == 1


async def test_old_keys_are_renewed_while_they_serve() -> None:
    address = Address(jwks(jwk(RSA, "r")))
    keys = address.keys()
    await keys.refresh()
    address.now_s += 601
    assert keys.find("RS256", "r")
    await asyncio.sleep(0)
    await keys.close()
    assert address.asked == 2


async def test_closing_ends_a_fetch() -> None:
    fetching: list[str] = []

    async def fetch_forever() -> bytes:
        fetching.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            fetching.append("ended")
        return b""

    keys = KeySet(fetch_forever, "x", refresh_s=600, min_interval_s=30)
    await keys.start()
    await asyncio.sleep(0)
    await keys.close()
    assert fetching == ["began", "ended"]

"""A provider that repeats our key does not show it to clients; what a model writes stays."""

from __future__ import annotations

import gzip

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.call import Call
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.redaction.echoes import hide_keys, mask_error, shows_key
from llmproxy.redaction.names import MASK
from llmproxy.target import Target
from tests.support.exchanges import ended
from tests.support.proxy import Scripted

KEY = 'sk-Zq7+w/9="x'
BODY = b'{"error": "no %b"}' % KEY.replace('"', '\\"').encode()


def answer(status: int, body: bytes = b"", *headers: tuple[str, str], reason: str = "") -> Answer:
    return Answer(status=status, headers=Headers(headers), body=body, length=len(body), reason=reason)


def called(*keys: str) -> Exchange:
    """An exchange with one call to a provider that has these keys."""
    provider = Scripted("main", ProxyError("unused"))
    provider.secrets = keys
    exchange = ended()
    exchange.calls = [Call(target=Target(provider=provider), model="m", started_s=0.0)]
    return exchange


@pytest.mark.parametrize("status", [200, 302, 401])
def test_the_headers_of_every_answer_are_searched(status: int) -> None:
    found = answer(
        status, b"", ("X-Echo", f"a {KEY}"), ("x-echo", "b"), ("Location", "/sk-Zq7%2Bw%2F9%3D%22x"), reason=KEY
    )
    hide_keys(found, (KEY,))
    assert sorted(found.headers.items()) == [("Location", f"/{MASK}"), ("X-Echo", f"a {MASK}"), ("x-echo", "b")]
    assert found.reason == MASK


@pytest.mark.parametrize("status", [300, 401, 500])
def test_the_body_of_an_error_is_searched(status: int) -> None:
    found = answer(status, BODY)
    hide_keys(found, (KEY,))
    assert (found.body, found.length) == (b'{"error": "no %b"}' % MASK.encode(), None)


def test_a_compressed_error_is_searched_too() -> None:
    found = answer(401, gzip.compress(BODY), ("Content-Encoding", "gzip"))
    hide_keys(found, (KEY,))
    assert MASK.encode() in found.body and "Content-Encoding" not in found.headers


@pytest.mark.parametrize("body", [gzip.compress(b"fine", mtime=0), b"no gzip"], ids=["gzip", "none"])
def test_an_error_without_the_key_stays_byte_for_byte(body: bytes) -> None:
    found = answer(401, body, ("Content-Encoding", "gzip"), ("X", "y"))
    hide_keys(found, (KEY,))
    assert (found.body, found.length) == (body, len(body))
    assert list(found.headers.items()) == [("Content-Encoding", "gzip"), ("X", "y")]


@pytest.mark.parametrize("status", [200, 206])
def test_what_a_model_writes_stays(status: int) -> None:
    found = answer(status, BODY)
    hide_keys(found, (KEY,))
    assert (found.body, found.length) == (BODY, len(BODY))


@pytest.mark.parametrize("keys", [(), ("ollama",), ("short",)])
def test_what_is_no_secret_is_not_masked(keys: tuple[str, ...]) -> None:
    found = answer(401, b"ollama is short", ("X", "ollama short"))
    hide_keys(found, keys)
    assert found.body == b"ollama is short" and found.headers["X"] == "ollama short"


def test_our_own_errors_show_neither_keys_nor_credentials_in_urls() -> None:
    error = UpstreamError(f"not {KEY} at https://u:pw@h.test/x?sig=abc&n=1", code=f"bad {KEY}")
    mask_error(called(KEY), error)
    assert error.message == f"not {MASK} at https://{MASK}@h.test/x?sig={MASK}&n=1"
    assert error.code == f"bad {MASK}"
    assert shows_key(called(KEY), b"data: " + BODY) and not shows_key(called("sk-other"), BODY)


def test_the_clients_own_credential_stays_in_what_only_it_gets() -> None:
    error = UpstreamError("not sk-of-the-client")
    exchange = called()
    exchange.headers["Authorization"] = "Bearer sk-of-the-client"
    mask_error(exchange, error)
    assert error.message == "not sk-of-the-client"

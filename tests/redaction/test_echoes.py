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
from tests.support.pieces import Pieces
from tests.support.proxy import Scripted

KEY = 'sk-Zq7+w/9="x'
BODY = b'{"error": "no %b"}' % KEY.replace('"', '\\"').encode()


def answer(status: int, body: bytes = b"", *headers: tuple[str, str], reason: str = "") -> Answer:
    return Answer(status=status, headers=Headers(headers), body=body, length=len(body), reason=reason)


def called(*keys: str) -> Exchange:
    """Return an exchange with one call to a provider that has these keys."""
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


def test_a_signature_that_is_repeated_is_hidden() -> None:
    found = answer(200, b"", ("X-Echo", f"AWS4-HMAC-SHA256 Credential=a, Signature={'0f' * 32}"))
    hide_keys(found, (KEY,))
    assert found.headers["X-Echo"].endswith(f"Signature={MASK}")


@pytest.mark.parametrize("status", [300, 401, 500])
def test_the_body_of_an_error_is_searched(status: int) -> None:
    found = answer(status, BODY)
    hide_keys(found, (KEY,))
    assert (found.body, found.length) == (b'{"error": "no %b"}' % MASK.encode(), None)


def test_a_compressed_error_is_searched_too() -> None:
    found = answer(401, gzip.compress(BODY), ("Content-Encoding", "gzip"))
    hide_keys(found, (KEY,))
    assert MASK.encode() in found.body and "Content-Encoding" not in found.headers


@pytest.mark.parametrize(("cut", "junk"), [(-4, b""), (-9, b""), (None, b"junk")])
def test_what_can_be_decoded_of_a_broken_one_is_searched(cut: int | None, junk: bytes) -> None:
    found = answer(401, gzip.compress(BODY)[:cut] + junk, ("Content-Encoding", "gzip"))
    hide_keys(found, (KEY,))
    assert (found.body, "Content-Encoding" in found.headers) == (b'{"error": "no %b"}' % MASK.encode(), False)


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_error_that_comes_in_pieces_is_searched_across_them(encoding: str, size: int) -> None:
    whole = b"x" * 500 + BODY + b'\\u0073k-Zq7+w/9=\\"x' + b"y" * 500
    sent = gzip.compress(whole) if encoding else whole
    first, *rest = [sent[at : at + size] for at in range(0, len(sent), size)]
    found = answer(401, first, *([("Content-Encoding", encoding)] if encoding else []))
    found.stream, found.length = Pieces(*rest), len(sent)
    hide_keys(found, (KEY,))
    got = found.body
    while data := await found.stream.read():
        got += data
    assert got == b"x" * 500 + (b'{"error": "no %b"}' + MASK.encode()) % MASK.encode() + b"y" * 500
    assert found.length is None and not found.headers
    found.close()


def test_a_coding_that_nobody_reads_stays_as_it_is() -> None:
    found = answer(401, b"\x0b\x02\x80", ("Content-Encoding", "br"))
    found.stream = rest = Pieces(b"\x03")
    hide_keys(found, (KEY,))
    assert (found.body, found.stream, found.headers["Content-Encoding"]) == (b"\x0b\x02\x80", rest, "br")


@pytest.mark.parametrize("status", [200, 401])
def test_a_header_whose_name_holds_the_key_is_left_out(status: int) -> None:
    found = answer(status, b"", ("X-Sk-Secret-0123456789", "1"), ("X-Other", "2"))
    hide_keys(found, ("sk-SECRET-0123456789",))
    assert list(found.headers.items()) == [("X-Other", "2")]


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

"""Keep a provider that repeats our key from showing it to clients, who do not know it.

Our own messages, the headers of every answer and the bodies of errors are searched for it. The body of an answer that
is no error stays byte for byte: what a model writes is the client's, who may have shown it the same key. Begin reading
at `hide_keys`.
"""

from __future__ import annotations

from functools import lru_cache

from llmproxy.answer import Answer, Headers
from llmproxy.body import ByteStream
from llmproxy.errors import BrokenStream, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.redaction.secrets import forms_of, mask_bytes, mask_text, with_credentials
from llmproxy.wire.compression import Decoder, DecodingError, decompressed_pieces

_FIRST_REFUSAL = 300
_LARGEST_BYTES = 1024 * 1024
_MOST_NAMES, _LONGEST_NAME = 1000, 100
# A character takes six bytes where JSON escapes it, and a few more in JSON within JSON.
_ESCAPED_LENGTH = 10


def hide_keys(answer: Answer, keys: tuple[str, ...]) -> None:
    """Mask `keys` in the headers of a provider's answer and, when it is an error or a redirect, in its body. A header
    whose name holds one is left out.
    """
    secrets, forms, harmless = _forms(keys)
    headers = answer.headers
    head = "\0".join((answer.reason, *headers.values()))
    for form in forms:
        if form in head:
            _hide_in_head(answer, secrets)
            break
    if not harmless.issuperset(headers):
        _judge_names(headers, forms, harmless)
    if answer.status >= _FIRST_REFUSAL and secrets:
        _hide_in_body(answer, secrets)


# 2 µs for each answer in place of 16.
@lru_cache(maxsize=256)
def _forms(keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], set[str]]:
    """Return those of `keys` that are secrets, the forms in which they are written, and a place for names of headers
    that hold none."""
    secrets = with_credentials((), keys)
    forms = [form.decode("utf-8", "surrogateescape") for form in forms_of(secrets)]
    return secrets, (*forms, "Signature="), set()


def _judge_names(headers: Headers, forms: tuple[str, ...], harmless: set[str]) -> None:
    """Remove the headers whose names hold one of `forms`, in any case. Providers send the same few names again."""
    if len(harmless) > _MOST_NAMES:
        harmless.clear()
    for name in set(headers):
        lower = name.lower()
        if any(form.lower() in lower for form in forms):
            headers.popall(name, None)
        elif len(name) <= _LONGEST_NAME:
            harmless.add(name)


def _hide_in_head(answer: Answer, secrets: tuple[str, ...]) -> None:
    headers = [(name, _mask(value, secrets)) for name, value in answer.headers.items()]
    answer.headers.clear()
    answer.headers.extend(headers)
    answer.reason = _mask(answer.reason, secrets)


def _mask(text: str, secrets: tuple[str, ...]) -> str:
    return mask_bytes(text.encode("utf-8", "surrogateescape"), secrets).decode("utf-8", "surrogateescape")


def _hide_in_body(answer: Answer, secrets: tuple[str, ...]) -> None:
    encoding = answer.headers.get("Content-Encoding", "")
    if answer.stream is not None:  # more comes than was waited for
        try:
            stream = MaskedStream(answer.stream, answer.body, encoding, secrets)
        except DecodingError:  # of a coding that nobody here reads
            return
        answer.stream, answer.body, answer.length = stream, b"", None
        answer.headers.popall("Content-Encoding", None)
        return
    body = _decoded(answer.body, encoding) if encoding else answer.body
    masked = mask_bytes(body, secrets)
    if masked is not body:
        answer.body, answer.length = masked, None
        answer.headers.popall("Content-Encoding", None)


def _decoded(body: bytes, encoding: str) -> bytes:
    """Return what a client can decode of `body`, which may be cut off; b"" for a coding that nobody here reads."""
    decoded = bytearray()
    try:
        for piece in decompressed_pieces(body, encoding, _LARGEST_BYTES):
            decoded += piece
    except DecodingError:
        pass
    return bytes(decoded)


class MaskedStream:
    """The body of an error without `secrets`, decoded: `first` and what `stream` brings. So much is held back that no
    secret is cut in two. The constructor raises DecodingError for an unsupported `encoding`.
    """

    __slots__ = ("_decoder", "_first", "_held", "_held_bytes", "_secrets", "_stream")

    def __init__(self, stream: ByteStream, first: bytes, encoding: str, secrets: tuple[str, ...]) -> None:
        self._decoder: Decoder | None = Decoder(encoding, _LARGEST_BYTES)
        self._stream = stream
        self._first = first
        self._secrets = secrets
        self._held = b""
        self._held_bytes = _ESCAPED_LENGTH * max(map(len, forms_of(secrets)))

    async def read(self) -> bytes:
        while self._decoder is not None and len(self._held) <= self._held_bytes:
            await self._read_more()
        cut = len(self._held) - (self._held_bytes if self._decoder is not None else 0)
        data, self._held = self._held[:cut], self._held[cut:]
        return data

    async def _read_more(self) -> None:
        decoder = self._decoder
        assert decoder is not None, "more is read until the end"
        data, self._first = self._first or await self._stream.read(), b""
        try:
            if data:
                self._held = mask_bytes(self._held + decoder.feed(data), self._secrets)
            else:
                decoder.close()
                self._decoder = None
        except DecodingError as error:
            raise BrokenStream(f"The provider's answer cannot be decoded: {error.message}") from error

    def close(self) -> None:
        self._stream.close()


def mask_error(exchange: Exchange, error: ProxyError) -> None:
    """Mask the keys of the providers of an exchange, and credentials in URLs, in an error that a client is to get: it
    may repeat what the provider sent."""
    secrets = provider_keys(exchange)
    error.message, error.code = mask_text(error.message, secrets), mask_text(error.code, secrets)


def shows_key(exchange: Exchange, frames: bytes) -> bool:
    """Return whether a key of the providers of an exchange stands in `frames`."""
    return any(form in frames for form in forms_of(provider_keys(exchange)))


def provider_keys(exchange: Exchange) -> tuple[str, ...]:
    """Return the credentials that providers add to calls of this exchange, longest first."""
    targets = [call.target for call in exchange.calls]
    targets += exchange.route.targets if exchange.route is not None else ()
    return with_credentials((), [key for target in targets for key in target.provider.secrets])

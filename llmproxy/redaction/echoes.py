"""Keep a provider that repeats our key from showing it to clients, who do not know it.

Our own messages, the headers of every answer and the bodies of errors are searched for it. The body of an answer that
is no error stays byte for byte: what a model writes is the client's, who may have shown it the same key. Begin reading
at `hide_keys`.
"""

from __future__ import annotations

from functools import lru_cache

from llmproxy.answer import Answer
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.redaction.secrets import forms_of, mask_bytes, mask_text, with_credentials
from llmproxy.wire.compression import DecodingError, decompress

_FIRST_REFUSAL = 300
_LARGEST_BYTES = 1024 * 1024


def hide_keys(answer: Answer, keys: tuple[str, ...]) -> None:
    """Mask `keys` in the headers of a provider's answer and, when it is an error or a redirect, in what is here of its
    body."""
    secrets, forms = _forms(keys)
    headers = answer.headers
    head = "\0".join((answer.reason, *headers.values()))
    for form in forms:
        if form in head:
            _hide_in_head(answer, secrets)
            break
    if answer.status >= _FIRST_REFUSAL and answer.body and secrets:
        _hide_in_body(answer, secrets)


# 1 µs for each answer in place of 16.
@lru_cache(maxsize=256)
def _forms(keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those of `keys` that are secrets, and the forms in which they are written."""
    secrets = with_credentials((), keys)
    return secrets, tuple(form.decode("utf-8", "surrogateescape") for form in forms_of(secrets))


def _hide_in_head(answer: Answer, secrets: tuple[str, ...]) -> None:
    headers = [(name, _mask(value, secrets)) for name, value in answer.headers.items()]
    answer.headers.clear()
    answer.headers.extend(headers)
    answer.reason = _mask(answer.reason, secrets)


def _mask(text: str, secrets: tuple[str, ...]) -> str:
    return mask_bytes(text.encode("utf-8", "surrogateescape"), secrets).decode("utf-8", "surrogateescape")


def _hide_in_body(answer: Answer, secrets: tuple[str, ...]) -> None:
    encoding = answer.headers.get("Content-Encoding", "")
    try:
        body = decompress(answer.body, encoding, _LARGEST_BYTES) if encoding else answer.body
    except DecodingError:  # not whole, or of a coding that nobody here reads
        return
    masked = mask_bytes(body, secrets)
    if masked is not body:
        answer.body, answer.length = masked, None
        answer.headers.popall("Content-Encoding", None)


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

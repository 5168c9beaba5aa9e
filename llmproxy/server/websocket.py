"""The opening handshake of a client's WebSocket: which requests ask for one, and what is wrong with them.

Sources: RFC 6455, 4.2.1, and RFC 9110, 7.8: a request to upgrade to anything else is served as if it did not ask.
"""

from __future__ import annotations

from llmproxy.answer import Headers
from llmproxy.dialects.rest_calls import REST
from llmproxy.errors import BadRequest, ProxyError, http_only
from llmproxy.exchange import Exchange
from llmproxy.wire.websocket import has_token, is_key

_VERSION = "13"


def asks_for_socket(exchange: Exchange) -> bool:
    """Return whether a request of HTTP/1.1 opens a WebSocket."""
    headers = exchange.headers
    return (
        "Upgrade" in headers
        and exchange.method == "GET"
        and has_token(headers.getall("Upgrade"), "websocket")
        and has_token(headers.getall("Connection", ()), "upgrade")
    )


def check_socket(exchange: Exchange) -> None:
    """Raise ProxyError for a WebSocket that is not to be opened, whoever its provider is."""
    check_handshake(exchange.headers)
    _check_restrictions(exchange)


def check_handshake(headers: Headers) -> None:
    """Raise ProxyError for a handshake that no server may accept: 426 for another version, else 400."""
    if headers.getall("Sec-WebSocket-Version", ()) != [_VERSION]:
        error = ProxyError("WebSockets need Sec-WebSocket-Version: 13", status=426, code="invalid_handshake")
        error.headers = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", _VERSION))
        raise error
    keys = headers.getall("Sec-WebSocket-Key", ())
    if len(keys) != 1 or not is_key(keys[0].strip()):
        raise BadRequest("Sec-WebSocket-Key must be 16 random bytes in base64", code="invalid_handshake")
    if headers.get("Content-Length", "0").strip() != "0" or "Transfer-Encoding" in headers:
        raise BadRequest("A request for a WebSocket has no body", code="invalid_handshake")


def _check_restrictions(exchange: Exchange) -> None:
    """Raise a 426 where the messages of a WebSocket name models, and the client's key may use only some: over HTTP
    each request is checked."""
    key, endpoint = exchange.client.key, exchange.endpoint
    if key is None or not key.models or key.may_relay or endpoint is None or endpoint.model:
        return
    if endpoint.capability not in (endpoint.dialect.name, REST):
        raise http_only("This API key may use some models only, which messages of a WebSocket would name")

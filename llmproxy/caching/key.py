"""What makes two requests the same: a digest of everything an answer may depend on.

The whole request counts, in canonical JSON: key order and white space do not matter, every value does, but for the
members that only say how the answer is sent and those that were declared volatile. So do the call, the route, the
headers that its dialect names, and whose answer it is. Begin reading at `cache_key`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmproxy.exchange import Exchange

VERSION = b"llmproxy-1"
_ENCODE = msgspec.json.Encoder(order="sorted").encode
_MODEL_DIGITS = 12
_DIGITS = 52


def cache_key(exchange: Exchange, content: Mapping[str, Any], left_out: Iterable[tuple[str, ...]], tenant: str) -> str:
    """64 hexadecimal digits: first those of the model's name, see `model_prefix`.

    `content` is the request without what `left_out` names, each as a path of members.
    """
    endpoint, route = exchange.endpoint, exchange.route
    assert endpoint is not None
    place = (
        endpoint.dialect.name,
        endpoint.path,
        None if route is None else (route.name, route.relay),
        exchange.query,
        exchange.headers.get("x-llmproxy-provider"),
        [(name, exchange.headers.getall(name)) for name in endpoint.dialect.significant if name in exchange.headers],
        tenant,
    )
    digest = hashlib.sha256(VERSION)
    digest.update(_canonical(place))
    for path in left_out:
        content = _without(content, path)
    digest.update(_canonical(content))
    return model_prefix(exchange.model or "") + digest.hexdigest()[:_DIGITS]


def owner_of(exchange: Exchange) -> str:
    """Whose answers they are: the verified client's, else those of the credential that goes on to a provider; else
    everybody's, since all of them are the proxy's own."""
    if exchange.client.tenant:
        return f"tenant {exchange.client.tenant}"
    targets = exchange.route.targets if exchange.route is not None else ()
    return "\0".join(target.provider.passed_on(exchange) for target in targets)


def model_prefix(model: str) -> str:
    """What the keys of all requests for `model` begin with."""
    return hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:_MODEL_DIGITS]


def _without(value: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """`value` without the member at `path`; an object that is empty then goes too."""
    name, *rest = path
    if name not in value:
        return value
    inner = value[name]
    kept = {key: each for key, each in value.items() if key != name}
    if not rest:
        return kept
    if not isinstance(inner, dict):
        return value
    left = _without(inner, tuple(rest))
    return {**kept, name: left} if left or not inner else kept


def _canonical(value: object) -> bytes:
    try:
        return _ENCODE(value)
    except (UnicodeEncodeError, TypeError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

"""Decide what a client key may use, once the route is known: models, providers, and paths without a known model.

A hook may change the model and so the route; then it is decided again. Begin reading at `permitted_route`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from llmproxy.body import Body
from llmproxy.client_key import ClientKey
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.catalog import names_stored
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.socket_calls import names_models
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.route import Route, model_names

# Members in which services take models to fall back to: OpenRouter's, Anthropic's, and those of other gateways.
_MORE_MODELS = frozenset(("models", "fallbacks", "fallback_models"))
_LONGEST = 200


def check_known_path(key: ClientKey, endpoint: Endpoint | None) -> None:
    """Raise a 403 when the model of a request at this path cannot be known, and `key` may use only some. Paths of what
    the client itself has stored are let through."""
    if key.may_relay or (endpoint is not None and (endpoint.model or not key.models or names_stored(endpoint))):
        return
    raise _refused("this path. It needs `relay: true`")


def permitted_route(key: ClientKey, route: Route, request: ClientRequest) -> Route:
    """Return `route` with the targets and the shadow that `key` may use. Raise a 403 when it may not use the model, or
    no target, and a 404 for what a provider has stored, perhaps for others."""
    endpoint = request.endpoint
    if key.models and endpoint is not None and endpoint.model:
        _check_request(key, route, request, endpoint)
    elif key.models and not key.may_relay:  # a provider has it, and whose it is nobody knows
        raise _not_found()
    allowed = route if not key.providers else _with_providers(route, key.providers)
    if allowed is not None:
        return allowed
    if endpoint is not None and names_stored(endpoint):
        raise _not_found()
    raise _refused("this provider" if request.model is None else f"the model {_quote(request.model)}")


@lru_cache(maxsize=1024)
def _with_providers(route: Route, providers: tuple[str, ...]) -> Route | None:
    """Return `route` with the targets and the shadow that belong to `providers`; None without a target."""
    targets = tuple([target for target in route.targets if target.provider.name in providers])
    shadow = route.shadow if route.shadow is not None and route.shadow.provider.name in providers else None
    if len(targets) == len(route.targets) and shadow is route.shadow:
        return route
    return replace(route, targets=targets, shadow=shadow) if targets else None


def _check_request(key: ClientKey, route: Route, request: ClientRequest, endpoint: Endpoint) -> None:
    """Raise a 403 for a model that `key` may not use, wherever the request names it; a 400 where that is not clear."""
    model, body = request.model, request.body
    if model is None or not key.may_use_model((model,)):
        check_model(key, model, route)
    if endpoint.socket is not None and names_models(request.query) > 1:
        raise BadRequest("The query names more than one model; name one", code="duplicate_member", param="model")
    if isinstance(body, Body):
        if endpoint.model_in is None:
            body.require_single("model")
        if not _MORE_MODELS.isdisjoint(body.members):
            for each in _more_models(body):
                check_model(key, each)


def may_use(key: ClientKey, route: Route, model: str) -> bool:
    """Return whether `key` may use `model`, which is answered by `route`."""
    if not key.may_use_model(model_names(model, route)):
        return False
    return any(key.may_use_provider(target.provider.name) for target in route.targets)


def hide_names(key: ClientKey, request: ClientRequest, error: ProxyError) -> None:
    """Raise the error for a model that nobody has as the client of a restricted `key` may see it: without the names
    that there are, and for a model that it may not use as for any of these."""
    if key.restricted and request.model is not None:
        check_model(key, request.model)
        message = f"Unknown model {_quote(request.model)}. GET /v1/models lists yours"
        raise BadRequest(message, status=404, code=error.code, param="model") from error


def check_model(key: ClientKey, model: str | None, route: Route | None = None) -> None:
    """Raise a 403 when `key` may not use `model`. Without a name it is whatever the provider takes."""
    if not key.may_use_model(model_names(model, route)):
        raise _refused("a model that the request does not name" if model is None else f"the model {_quote(model)}")


def _more_models(body: Body) -> Iterator[str | None]:
    """Yield what the body names beside its model; None for what cannot be read."""
    for name in _MORE_MODELS:
        entries = body.value(name)
        for entry in entries if isinstance(entries, list) else () if entries is None else (entries,):
            named = entry.get("model") if isinstance(entry, dict) else entry
            yield named if isinstance(named, str) else None


def _not_found() -> BadRequest:
    return BadRequest("Not found", status=404, code="not_found")


def _refused(what: str) -> ProxyError:
    return ProxyError(f"This API key may not use {what}", status=403, code="permission_denied")


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")

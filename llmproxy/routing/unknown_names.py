"""Says that a model, a path or a method is unknown, and what the client probably meant.

The nearest name comes first, then how to name a provider, then what there is: what a person would want before what
hardly anybody asks for. Only requests that have failed come here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llmproxy.dialects import catalog
from llmproxy.dialects.rest_calls import ANY_METHOD
from llmproxy.errors import BadRequest, ProxyError, method_not_allowed
from llmproxy.registry import nearest
from llmproxy.route import Route
from llmproxy.target import Provider, is_pattern

_MAX_NAMES = 40
# How many patterns of one provider are listed: OpenAI has fifteen, most of them for models that nobody chats with.
_MAX_PATTERNS = 4
_LONGEST = 1000  # characters of what clients send that are compared with names
_WORD = re.compile(r"[A-Za-z]+")
_LITERAL = re.compile(r"[^*?\[]*")


def unknown_model(model: str, routes: Sequence[Route], providers: Sequence[Provider]) -> BadRequest:
    """Return the 404 for a model that nobody has."""
    message = f"Unknown model {quote(model)}. {_model_hint(model, routes, providers)}Available: "
    return BadRequest(message + _available(routes, providers), status=404, code="model_not_found", param="model")


def unknown_path(method: str, full_path: str, providers: Iterable[str]) -> ProxyError:
    """Return the 404 for a path that nobody has, the 405 for one that is called with other methods."""
    if methods := _methods(full_path):
        return method_not_allowed(method, quote(full_path), methods)
    message = f"Not found: {method} {quote(full_path)}. {_path_hint(full_path, providers)}"
    return BadRequest(message, status=404, code="not_found")


def quote(text: str) -> str:
    """Return a name of a client's in quotes, the beginning of a long one."""
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def _model_hint(model: str, routes: Sequence[Route], providers: Sequence[Provider]) -> str:
    """Return the nearest name, how to name a provider, or nothing, as a sentence."""
    owner, _, rest = model.partition("/")
    names = [provider.name for provider in providers]
    if rest and (near := nearest(owner, names)):
        return f"Did you mean {quote(f'{near}/{rest}')}? "
    exact = [route.name for route in routes if not is_pattern(route.name)]
    exact += [pattern for provider in providers for pattern in provider.patterns if not is_pattern(pattern)]
    if near := nearest(model, exact):
        return f"Did you mean {quote(near)}? "
    if (like := _nearest_pattern(model, providers)) is not None:
        pattern, name = like
        return f"Did you mean a name like {pattern!r}, or {quote(f'{name}/{model}')}? "
    return f"To choose the provider, name it: {quote(f'{names[0]}/{model}')}. " if names else ""


def _nearest_pattern(model: str, providers: Sequence[Provider]) -> tuple[str, str] | None:
    """Return the pattern whose beginning is nearest to that of `model`, with its provider: `gpt-*` for `gpt4o`."""
    beginning = _WORD.match(model)
    if beginning is None:
        return None
    known = {
        _literal(pattern): (pattern, provider.name)
        for provider in reversed(providers)
        for pattern in reversed(provider.patterns)
        if is_pattern(pattern) and _literal(pattern)
    }
    near = nearest(beginning[0][:_LONGEST], list(known))
    return known[near] if near else None


def _literal(pattern: str) -> str:
    found = _LITERAL.match(pattern)
    return found[0].rstrip("-_.:/") if found is not None else ""


def _available(routes: Sequence[Route], providers: Sequence[Provider]) -> str:
    """List the names that there are: those of the configuration, those of providers, then `provider/<model>`."""
    names = [route.name for route in routes if not is_pattern(route.name)]
    names += [route.name for route in routes if is_pattern(route.name)]
    more = False
    for provider in providers:
        names += provider.patterns[:_MAX_PATTERNS]
        more = more or len(provider.patterns) > _MAX_PATTERNS
    names += [f"{provider.name}/<model>" for provider in providers]
    unique = list(dict.fromkeys(names))
    end = ", ..." if more or len(unique) > _MAX_NAMES else ""
    return ", ".join(unique[:_MAX_NAMES]) + end or "none"


def _methods(full_path: str) -> list[str]:
    """Return the methods with which clients call a path, below the roots of clouds too."""
    paths = (full_path, catalog.below_root(full_path), full_path.removeprefix("/openai-proxy"))
    if ":" in full_path and catalog.is_call("POST", full_path):  # not the model `gemini-x:generateContent`
        return ["POST"]
    found = [method for method in ANY_METHOD if any(path and catalog.find(method, path) is not None for path in paths)]
    reads = catalog.is_model(full_path) and "GET" not in found  # a page of ours, whatever providers have there
    return ["GET", *found] if reads else found


def _path_hint(full_path: str, providers: Iterable[str]) -> str:
    if close := nearest(full_path[:_LONGEST], catalog.client_paths()):
        return f"Did you mean POST {close}?"
    prefixes = ", ".join(f"/{each}/" for each in providers)
    return f"Paths of providers begin with {prefixes}; /docs lists all others" if prefixes else "See /docs"

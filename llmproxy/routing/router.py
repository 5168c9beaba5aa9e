"""Who answers: from method and path to a resolved path, from a model's name to a route.

Pure lookups over what the configuration says; nothing here does I/O or looks at health. Begin reading at
`Router.locate`, then `Router.choose`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeVar
from urllib.parse import unquote

from llmproxy.dialects.base import Endpoint
from llmproxy.dialects.endpoints import TRANSLATED, find, translatable
from llmproxy.errors import BadRequest
from llmproxy.target import Provider, Route, Target, is_pattern

_RESPONSES = "responses"

# What clients send is remembered, so it is bounded in number and length.
_MOST_REMEMBERED = 2048
_LONGEST_REMEMBERED = 256
_MOST_NAMES = 40

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPath:
    """Where a path leads.

    `endpoint` is the call, None for one that we do not know; `provider` is set where the path says who answers (a
    prefix, or caught by `llm:`), otherwise the model does. `path` is what lies below the prefix, byte for byte;
    `template` names the path in metrics.
    """

    endpoint: Endpoint | None
    provider: Provider | None
    path: str
    template: str


class Router:
    """Who answers what, in one configuration. Immutable but for what it remembers.

    `providers` are the enabled ones and `routes` the `models:` of the configuration, both in its order; `catch_all`
    is `llm:`; `default` gets the models that nobody else answers. `has_responses` says whether one of them keeps the
    state of the Responses API itself.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        routes: Sequence[Route] = (),
        catch_all: Provider | None = None,
        default: Provider | None = None,
    ) -> None:
        self._providers = sorted(providers, key=lambda provider: provider.priority)
        self._catch_all = catch_all
        self._default = default
        everybody = [*self._providers, *(each for each in (catch_all, default) if each and each not in providers)]
        self._named = {provider.name: provider for provider in reversed(everybody)}
        self._typed = {provider.type: provider for provider in reversed(everybody)}
        self.has_responses = any(_RESPONSES in provider.speaks for provider in everybody)
        self._single = everybody[0] if len(everybody) == 1 else None
        self._direct = {each: Route(name=each.name, targets=(Target(provider=each),)) for each in everybody}
        self._relays = {each: replace(route, relay=True) for each, route in self._direct.items()}
        self._exact = {route.name: route for route in reversed(routes) if not is_pattern(route.name)}
        self._wildcards = sorted(
            (route for route in routes if is_pattern(route.name)), key=lambda each: _vague(each.name)
        )
        lists = [(pattern, provider) for provider in self._providers for pattern in self._patterns(provider)]
        self._lists = sorted(lists, key=lambda each: (each[1].priority, *_vague(each[0])))
        self._resolved: dict[tuple[str, str], ResolvedPath] = {}
        self._chosen: dict[tuple[str, str], Route] = {}

    def locate(self, method: str, full_path: str) -> ResolvedPath:
        """Where the request goes. Raises a 404 that says what there is; our own paths are not known here."""
        resolved = self._resolved.get((method, full_path))
        if resolved is None:
            resolved = self._resolve_path(method, full_path)
            if len(full_path) <= _LONGEST_REMEMBERED:
                _remember(self._resolved, (method, full_path), resolved)
        return resolved

    def choose(self, resolved: ResolvedPath, model: str | None, wanted: str | None = None) -> Route:
        """The route for `model` on the path `resolved`, with those of its targets that can answer the call.

        `wanted` is the client's `x-llmproxy-provider`; it decides where there is no model. Raises a 404 with the
        names that exist, or a 400 for a dialect that nobody speaks who answers the model.
        """
        if resolved.provider is not None:
            return self._relays[resolved.provider]
        assert resolved.endpoint is not None, "a path without a provider is a call that we know"
        if model is None or not resolved.endpoint.model:
            return self._choose_without_model(resolved.endpoint, wanted)
        path = resolved.endpoint.path
        route = self._chosen.get((path, model))
        if route is None:
            route = _serving(self._resolve(model), resolved.endpoint, f"the model {_shown(model)}", self._providers)
            if len(model) <= _LONGEST_REMEMBERED:
                _remember(self._chosen, (path, model), route)
        return route

    def models(self) -> dict[str, str]:
        """The names that can be listed without asking anybody, each with its owner: ours, or a provider's name."""
        listed = {name: "llmproxy" for name in self._exact}
        for provider in self._providers:
            for name in provider.models:
                listed.setdefault(name, provider.name)
        return listed

    def _patterns(self, provider: Provider) -> tuple[str, ...]:
        alone = provider.sole_catch_all and provider is self._single
        return (*provider.patterns, "*") if alone else provider.patterns

    def _resolve_path(self, method: str, full_path: str) -> ResolvedPath:
        endpoint = find(method, full_path)
        if endpoint is not None:
            return ResolvedPath(endpoint=endpoint, provider=None, path=full_path, template=endpoint.template)
        first, slash, rest = full_path[1:].partition("/") if full_path.startswith("/") else ("", "", "")
        name, path = unquote(first), slash + rest
        endpoint = find(method, path)
        if name == "openai-proxy" and endpoint is not None:
            return ResolvedPath(endpoint=endpoint, provider=None, path=path, template=f"/openai-proxy{endpoint.path}")
        if provider := self._named.get(name) or self._typed.get(name):
            template = f"/{name}{endpoint.path if endpoint else '/{path}'}"
            return ResolvedPath(endpoint=endpoint, provider=provider, path=path, template=template)
        if self._catch_all is not None and full_path.startswith("/"):
            return ResolvedPath(endpoint=None, provider=self._catch_all, path=full_path, template="/{path}")
        prefixes = ", ".join(f"/{each}/..." for each in self._named) or "none"
        told = (
            f"{method} {_shown(full_path)} is nothing that is served here; providers' own paths stand below: {prefixes}"
        )
        raise BadRequest(told, status=404, code="not_found")

    def _resolve(self, model: str) -> Route:
        """The first of: an exact name, `provider/model`, a pattern of `models:`, the providers' lists, `type/model`,
        `llm:`, the default.
        """
        if route := self._exact.get(model):
            return route
        owner, _, rest = model.partition("/")
        if rest and owner in self._named:
            return Route(name=f"{owner}/*", targets=(Target(provider=self._named[owner], model=rest),))
        for route in self._wildcards:
            if fnmatchcase(model, route.name):
                return route
        if route := self._listed(model):
            return route
        if rest and owner in self._typed:
            return Route(name=f"{owner}/*", targets=(Target(provider=self._typed[owner], model=rest),))
        if last := self._catch_all or self._default:
            return self._direct[last]
        told = f"The model {_shown(model)} is not known here; there are {self._names()}"
        raise BadRequest(told, status=404, code="model_not_found", param="model")

    def _listed(self, model: str) -> Route | None:
        """The providers whose lists have the model: by priority, then the more exact pattern, then the file's order."""
        found = [each for each in self._lists if model == each[0] or fnmatchcase(model, each[0])]
        providers = dict.fromkeys(provider for _, provider in found)
        return Route(name=found[0][0], targets=tuple(Target(provider=each) for each in providers)) if found else None

    def _choose_without_model(self, endpoint: Endpoint, wanted: str | None) -> Route:
        if wanted:
            named = self._named.get(wanted) or self._typed.get(wanted)
            if named is None:
                told = f"x-llmproxy-provider names {_shown(wanted)}; there are {', '.join(self._named) or 'none'}"
                raise BadRequest(told, code="unknown_provider")
        else:
            named = self._catch_all or self._single
        if endpoint.model:
            named = named or self._default
            if named is None:
                raise BadRequest("The request names no model, so nobody knows who answers it", param="model")
            return _serving(self._direct[named], endpoint, "a request without a model", self._providers)
        named = named or next((each for each in self._providers if endpoint.capability in each.speaks), None)
        if named is None:
            told = f"No provider here serves {endpoint.template}: {_abilities(self._providers)}"
            raise BadRequest(told, status=404, code="not_found")
        return self._direct[named]

    def _names(self) -> str:
        """What a model may be called, for a message."""
        names = [*self._exact, *(route.name for route in self._wildcards), *(pattern for pattern, _ in self._lists)]
        names += [f"{name}/<model>" for name in self._named]
        unique = list(dict.fromkeys(names))
        return ", ".join(unique[:_MOST_NAMES]) + (", ..." if len(unique) > _MOST_NAMES else "") or "none"


def _serves(provider: Provider, endpoint: Endpoint) -> bool:
    """Whether `provider` can answer that call, by itself or through translation."""
    if endpoint.capability in provider.speaks:
        return True
    return translatable(endpoint) and not provider.speaks.isdisjoint(TRANSLATED.intersection(provider.asked_in))


def _serving(route: Route, endpoint: Endpoint, what: str, everybody: Iterable[Provider]) -> Route:
    """The route with the targets that can answer the call. Raises a 400 when none can."""
    able = tuple(target for target in route.targets if _serves(target.provider, endpoint))
    if len(able) == len(route.targets):
        return route
    if able:
        return Route(name=route.name, targets=able)
    capability = endpoint.capability
    others = ", ".join(provider.name for provider in everybody if capability in provider.speaks) or "none"
    abilities = _abilities(dict.fromkeys(target.provider for target in route.targets))
    raise BadRequest(
        f"This path speaks {capability}, but {what} is answered by a provider that does not: {abilities}. "
        f"Call it in a dialect that it speaks. Providers that speak {capability}: {others}",
        code="dialect_not_spoken",
        param="model",
    )


def _abilities(providers: Iterable[Provider]) -> str:
    return "; ".join(f"{each.name} speaks {', '.join(sorted(each.speaks))}" for each in providers) or "there is none"


def _vague(pattern: str) -> tuple[bool, int]:
    """Sorts exact names before patterns, and among those the longer beginnings first."""
    return is_pattern(pattern), -len(re.split(r"[*?\[]", pattern, maxsplit=1)[0])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def _remember(memory: dict[Key, Value], key: Key, value: Value) -> None:
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[key] = value

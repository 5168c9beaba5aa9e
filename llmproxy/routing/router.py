"""Find who answers: the path gives an endpoint and perhaps a provider, the model name gives a route.

Pure lookups in the configuration, without I/O and without health. Begin reading at `Router.locate`, then
`Router.choose`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.rest_calls import REST
from llmproxy.dialects.socket_calls import names_deployment
from llmproxy.dialects.socket_catalog import find_socket, is_http_path
from llmproxy.errors import BadRequest, http_only
from llmproxy.route import RetryPolicy, Route
from llmproxy.routing.unknown_names import quote, unknown_model, unknown_path
from llmproxy.target import Provider, Target, is_pattern

# Lookups are cached by strings that clients send, so their number and length are bounded.
_MAX_CACHED = 2048
_MAX_CACHED_LENGTH = 256

FindEndpoint = Callable[[str], Endpoint | None]

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPath:
    """The endpoint and the provider that a path names.

    `endpoint` is None for an unknown path. `provider` is set when the path selects it (a prefix, or caught by `llm:`);
    otherwise the model selects it. `path` is the part below the prefix, byte for byte; `template` names the path in
    metrics. `signed` says that its requests are signed with their bodies, `needs_authorization` that they must have the
    header Authorization, whatever that says.
    """

    endpoint: Endpoint | None
    provider: Provider | None
    path: str
    template: str
    signed: bool = field(init=False)
    needs_authorization: bool = field(init=False)

    def __post_init__(self) -> None:
        dialect = None if self.endpoint is None else self.endpoint.dialect
        must_authorize = dialect is not None and dialect.needs_authorization and self.provider is None
        object.__setattr__(self, "signed", dialect is not None and dialect.holds_bodies)
        object.__setattr__(self, "needs_authorization", must_authorize)


class Router:
    """Find routes in one configuration. Immutable except for its caches.

    `providers` are the enabled ones and `routes` the `models:` of the configuration, both in file order. `catch_all`
    is `llm:`; `default` gets the models that nothing else answers. `has_responses` is true when a provider keeps the
    state of the Responses API itself. `sole` is the provider that answers every model under its own name, where there
    is no other provider and no model in the configuration; else None. `policy` is that of models which several
    providers list, `health_of` gives their targets health.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        routes: Sequence[Route] = (),
        catch_all: Provider | None = None,
        default: Provider | None = None,
        *,
        policy: RetryPolicy | None = None,
        health_of: Callable[[Target], Target] | None = None,
    ) -> None:
        self._providers = sorted(providers, key=lambda provider: provider.priority)
        self._policy = policy or RetryPolicy()
        self._health_of = health_of
        self._routes = routes
        self._catch_all = catch_all
        self._default = default
        everybody = [*self._providers, *(each for each in (catch_all, default) if each and each not in providers)]
        self._named = _first((provider.name, provider) for provider in everybody)
        self._typed = _first((provider.type, provider) for provider in everybody)
        self.has_responses = any(catalog.keeps_state(provider.speaks) for provider in everybody)
        self._single = everybody[0] if len(everybody) == 1 else None
        self._direct = {
            each: Route(name=each.name, targets=(Target(provider=each),), why="without a model") for each in everybody
        }
        self._relays = {
            each: replace(route, relay=True, why="the path chooses the provider")
            for each, route in self._direct.items()
        }
        self._exact = _first((route.name, route) for route in routes if not is_pattern(route.name))
        self._wildcards = sorted(
            (route for route in routes if is_pattern(route.name)), key=lambda each: _sort_key(each.name)
        )
        lists = [(pattern, provider) for provider in self._providers for pattern in self._patterns(provider)]
        self.sole = None if routes or self._single is None else self._sole(self._single)
        self._lists = sorted(lists, key=lambda each: (each[1].priority, *_sort_key(each[0])))
        self._resolved: dict[tuple[str, str], ResolvedPath] = {}
        self._chosen: dict[tuple[str, str], Route] = {}

    def locate(self, method: str, full_path: str, headers: Container[str] = ()) -> ResolvedPath:
        """Resolve a path. Raise a 404 that lists the prefixes; pages of llmproxy itself are not looked up here.

        On paths that several vendors have, such as `/v1/files`, the `headers` tell whose SDK it is.
        """
        resolved = self._resolved.get((method, full_path))
        if resolved is None:
            resolved = self._resolve_path(method, full_path)
            if len(full_path) <= _MAX_CACHED_LENGTH:
                _cache(self._resolved, (method, full_path), resolved)
        endpoint = resolved.endpoint
        if endpoint is None or endpoint.model or endpoint.capability != REST or resolved.provider is not None:
            return resolved
        return self._of_sdk(resolved, endpoint, headers)

    def locate_socket(self, full_path: str, query: str | None) -> ResolvedPath:
        """Resolve the path of a WebSocket. Raises a 426 for a path of calls that are made over HTTP alone, else the 404
        of `locate`. The URLs of Azure's deployments are for every provider, as those of its calls are."""
        find = partial(find_socket, query=query)
        below = catalog.below_root(full_path)
        if below is not None and names_deployment(query) and (endpoint := find(below)) is not None:
            return ResolvedPath(endpoint=endpoint, provider=None, path=below, template=endpoint.template)
        try:
            return self._resolve_path("GET", full_path, find)
        except BadRequest as error:
            if is_http_path(full_path):
                raise http_only(f"{quote(full_path)} is not a WebSocket") from error
            raise

    def _of_sdk(self, resolved: ResolvedPath, endpoint: Endpoint, headers: Container[str]) -> ResolvedPath:
        """Return the path as one of the vendor whose SDK calls it, where a provider speaks its dialect."""
        dialect = catalog.marked(headers)
        if dialect is None or not any(dialect.name in each.speaks for each in self._providers):
            return resolved
        return replace(resolved, endpoint=dialect.relayed(endpoint.path, endpoint.template))

    def choose(self, resolved: ResolvedPath, model: str | None, provider_name: str | None = None) -> Route:
        """Return the route for `model` on the path `resolved`, with the targets that can answer the endpoint.

        `provider_name` is the client's `x-llmproxy-provider`; it selects the provider when there is no model. Raises a
        404 with the available names, or a 400 when no target speaks the dialect.
        """
        if (endpoint := resolved.endpoint) is not None and endpoint.socket is not None and not endpoint.model:
            return self._choose_socket(resolved, endpoint, provider_name)
        if resolved.provider is not None:
            return self._relays[resolved.provider]
        assert resolved.endpoint is not None, "a path without a provider has an endpoint"
        if model is None or not resolved.endpoint.model:
            return self._choose_without_model(resolved.endpoint, provider_name, resolved.path)
        path = resolved.endpoint.path
        route = self._chosen.get((path, model))
        if route is None:
            what = f"the model {quote(model)}"
            route = _serving(self._resolve(model), resolved.endpoint, model, what, self._providers)
            if len(model) <= _MAX_CACHED_LENGTH:
                _cache(self._chosen, (path, model), route)
        return route

    def serves(self, endpoint: Endpoint) -> bool:
        """Return whether any provider can answer this call, for whatever model."""
        return any(
            _serves(Target(provider=each), endpoint, None)
            and each.has_call(endpoint)
            and (endpoint.model or each.has_path(endpoint.template))
            for each in self._named.values()
        )

    def prefixes(self) -> dict[str, Provider]:
        """Return the first segments below which every path goes to a provider: names, then types."""
        return {**self._typed, **self._named}

    def _choose_socket(self, resolved: ResolvedPath, endpoint: Endpoint, provider_name: str | None) -> Route:
        """Return the route of a WebSocket whose path names no model. Where its messages do, and they may name one of
        any provider, it is refused with a 426: over HTTP each request finds its own."""
        chosen = resolved.provider
        if endpoint.capability != endpoint.dialect.name and endpoint.capability != REST:
            if chosen is None and not provider_name:
                chosen = None if self._routes else self._single
            if chosen is None and provider_name:
                chosen = self._named.get(provider_name) or self._typed.get(provider_name)
            if chosen is None or endpoint.capability not in chosen.speaks:
                raise http_only(f"{endpoint.template} is not served as a WebSocket here")
            return self._relays[chosen] if resolved.provider is not None else self._direct[chosen]
        if chosen is not None:
            return self._relays[chosen]
        return self._choose_without_model(endpoint, provider_name, resolved.path)

    def models(self) -> dict[str, str]:
        """Return the names that can be listed without a call, each with its owner: llmproxy, or a provider's name."""
        listed = {name: "llmproxy" for name in self._exact}
        for provider in self._providers:
            for name in provider.models:
                listed.setdefault(name, provider.name)
        return listed

    def targets(self) -> list[Target]:
        """Return the targets whose health is known: those of `models:`, and those of lists that were asked for."""
        routes = [*self._routes, *self._chosen.values()]
        return [target for route in routes for target in route.targets if target.health is not None]

    @property
    def catch_all(self) -> Provider | None:
        """Return the provider that gets every path that nothing else answers; None without one."""
        return self._catch_all

    def provider_names(self) -> list[str]:
        """Return the names of all providers."""
        return list(self._named)

    def direct(self, provider: str) -> Route | None:
        """Return the route to a provider, by its name; None where there is none of that name."""
        named = self._named.get(provider)
        return None if named is None else self._direct[named]

    def _sole(self, provider: Provider) -> Provider | None:
        everything = provider is self._catch_all or "*" in self._patterns(provider)
        return provider if everything and not provider.models else None

    def _patterns(self, provider: Provider) -> tuple[str, ...]:
        alone = provider.sole_catch_all and provider is self._single
        return (*provider.patterns, "*") if alone else provider.patterns

    def _resolve_path(self, method: str, full_path: str, find: FindEndpoint | None = None) -> ResolvedPath:
        find = find or partial(catalog.find, method)
        endpoint = find(full_path)
        if endpoint is not None:
            return ResolvedPath(endpoint=endpoint, provider=None, path=full_path, template=endpoint.template)
        first, slash, rest = full_path[1:].partition("/") if full_path.startswith("/") else ("", "", "")
        name, path = unquote(first), slash + rest
        endpoint = find(path)
        if name == "openai-proxy" and endpoint is not None:
            return ResolvedPath(endpoint=endpoint, provider=None, path=path, template=f"/openai-proxy{endpoint.path}")
        if provider := self._named.get(name) or self._typed.get(name):
            if endpoint is None and (below := catalog.below_root(path)) is not None:
                endpoint = find(below)
                path = path if endpoint is None else below
            template = f"/{name}{endpoint.path if endpoint else '/{path}'}"
            return ResolvedPath(endpoint=endpoint, provider=provider, path=path, template=template)
        if self._catch_all is not None and full_path.startswith("/"):
            return ResolvedPath(endpoint=None, provider=self._catch_all, path=full_path, template="/{path}")
        below = catalog.below_root(full_path)
        if below is not None and (endpoint := find(below)) is not None:  # no provider has this name
            return ResolvedPath(endpoint=endpoint, provider=None, path=below, template=endpoint.template)
        raise unknown_path(method, full_path, self._named)

    def _resolve(self, model: str) -> Route:
        """Return the first match of: an exact name, `provider/model`, a pattern of `models:`, the providers' lists,
        `type/model`, `llm:`, the default.
        """
        if route := self._exact.get(model):
            return replace(route, why="that name in models")
        owner, _, rest = model.partition("/")
        if rest and owner in self._named:
            target = Target(provider=self._named[owner], model=rest)
            return Route(name=f"{owner}/*", targets=(target,), why="the model names the provider")
        for route in self._wildcards:
            if fnmatchcase(model, route.name):
                return replace(route, why="the first pattern of models that fits")
        if route := self._listed(model):
            return route
        if rest and owner in self._typed:
            target = Target(provider=self._typed[owner], model=rest)
            return Route(name=f"{owner}/*", targets=(target,), why="the model names the type of provider")
        if last := self._catch_all or self._default:
            why = "nothing else has the model: llm" if last is self._catch_all else "the default provider"
            return replace(self._direct[last], why=why)
        raise unknown_model(model, self._routes, [*self._named.values()])

    def _listed(self, model: str) -> Route | None:
        """Find the providers that list the model: by priority, then the more exact pattern, then file order."""
        matches = [each for each in self._lists if model == each[0] or fnmatchcase(model, each[0])]
        if not matches:
            return None
        providers = dict.fromkeys(provider for _, provider in matches)
        targets, why = tuple(Target(provider=each) for each in providers), "by the model lists of the providers"
        if len(targets) == 1 or self._health_of is None:
            return Route(name=matches[0][0], targets=targets, why=why)
        targets = tuple(map(self._health_of, targets))
        return Route(name=matches[0][0], targets=targets, policy=self._policy, why=why)

    def _choose_without_model(self, endpoint: Endpoint, provider_name: str | None, path: str) -> Route:
        if provider_name:
            named = self._named.get(provider_name) or self._typed.get(provider_name)
            if named is None:
                available = ", ".join(self._named) or "none"
                message = f"Unknown provider {quote(provider_name)} in x-llmproxy-provider. Available: {available}"
                raise BadRequest(message, code="unknown_provider")
        else:
            named = self._catch_all or self._single
        if endpoint.model and endpoint.capability != REST:  # there providers have a model of their own
            named = named or self._default
            if named is None:
                raise BadRequest("The request has no model. Add the field `model`", param="model")
            return _serving(self._direct[named], endpoint, None, "a request without a model", self._providers)
        able = (each for each in self._providers if endpoint.capability in each.speaks and each.has_path(path))
        named = named or next(able, None)
        if named is None:
            message = f"No provider supports {quote(path)}. Providers: {_abilities(self._providers)}"
            raise BadRequest(message, status=404, code="not_found")
        return self._direct[named]


def _serves(target: Target, endpoint: Endpoint, model: str | None) -> bool:
    """Return whether `target` can answer the endpoint for a client's `model`, directly or through translation."""
    if endpoint.served_by(target.provider.speaks_for(target.model or model)):
        return True
    if endpoint.path in endpoint.dialect.embeddings and target.provider.embeds_as(target.model or model) is not None:
        return True
    return endpoint.translatable and _is_translated(target, model)


def _is_translated(target: Target, model: str | None) -> bool:
    provider = target.provider
    return catalog.translation_dialect(provider.speaks_for(target.model or model), provider.translate_to) is not None


def _serving(route: Route, endpoint: Endpoint, model: str | None, what: str, everybody: Iterable[Provider]) -> Route:
    """Return the route with the targets that can answer the endpoint. Raise a 400 when none can."""
    able = tuple(target for target in route.targets if _serves(target, endpoint, model))
    if len(able) == len(route.targets):
        return route
    if not able and endpoint.untranslated:  # the translator answers in their place
        able = tuple(target for target in route.targets if _is_translated(target, model))
    if able:
        return replace(route, targets=able, why=f"{route.why}, only those that can answer the path")
    capability = endpoint.capability
    others = ", ".join(provider.name for provider in everybody if capability in provider.speaks)
    abilities = _abilities(dict.fromkeys(target.provider for target in route.targets))
    remedy = f"Use a model of {others}" if others else f"Configure a provider that speaks {capability}"
    raise BadRequest(
        f"{endpoint.path} needs a provider that speaks {capability}, but {what} goes to one that does not: "
        f"{abilities}. {remedy}, or a path of another dialect",
        code="dialect_not_spoken",
        param="model",
    )


def _abilities(providers: Iterable[Provider]) -> str:
    return "; ".join(f"{each.name} speaks {', '.join(sorted(each.speaks))}" for each in providers) or "none"


def _sort_key(pattern: str) -> tuple[bool, int]:
    """Sort exact names before patterns, and patterns with the longer literal beginning first."""
    return is_pattern(pattern), -len(re.split(r"[*?\[]", pattern, maxsplit=1)[0])


def _first(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """Return the first value of each name, in the order of the configuration, as pages and messages list them."""
    found: dict[str, Value] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _cache(cache: dict[Key, Value], key: Key, value: Value) -> None:
    if len(cache) >= _MAX_CACHED:
        cache.clear()
    cache[key] = value

"""Check values against each other: duplicate names, targets without provider, a proxy that would call itself.

Works on the tree, so that its problems appear together with those of single sections. Begin reading at `cross_check`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.routing_schema import split_target
from llmproxy.config.schema import ServerConfig
from llmproxy.config.target_checks import repeated_targets
from llmproxy.dialects import catalog
from llmproxy.registry import names, nearest

LLM = "llm"

# First segments of paths that llmproxy serves, or that clients use without a provider's prefix.
RESERVED = frozenset(
    (
        *(
            "health",
            "healthz",
            "livez",
            "readyz",
            "metrics",
            "stats",
            "sessions",
            "cache",
            "config",
            "providers",
            "docs",
            "redoc",
            "admin",
        ),
        *(
            "openapi.json",
            "favicon.ico",
            "robots.txt",
            "proxy",
            "openai-proxy",
            "model",
            "models",
            "interactions",
            "projects",
        ),
        *catalog.first_segments(),
    )
)
_VERSION = re.compile(r"v\d+(\.\d+)?((alpha|beta)\d*)?")
_NO = ("false", "no", "off", "0", "f", "n")


def cross_check(top: ConfigNode) -> list[Problem]:
    """List the problems between the values of a tree with expanded variables."""
    return [
        *_providers_exist(top),
        *_unique_provider_names(top),
        *_target_providers(top),
        *repeated_targets(top),
        *_unique_model_names(top),
        *budget_routes(top, top),
        *_empty_keys(top),
        *_loops(top),
        *_exposure(top),
    ]


def entries(top: ConfigNode) -> list[ConfigNode]:
    """Return the entries of `providers`."""
    return top.members["providers"].items if "providers" in top.members else []


def word(node: ConfigNode, name: str) -> str:
    """Return the member `name` as text, or an empty string."""
    return (node.members[name].word or "") if name in node.members else ""


def has_key(entry: ConfigNode) -> bool:
    """Return whether a provider has a key in the configuration."""
    return bool(word(entry, "api_key")) or "api_keys" in entry.members


def disabled(entry: ConfigNode) -> bool:
    """Return whether an entry has `enabled: false`."""
    return word(entry, "enabled").strip().lower() in _NO


def _providers_exist(top: ConfigNode) -> Iterator[Problem]:
    """Check that there is an enabled provider. A `providers:` that is not a list is reported elsewhere."""
    section = top.members.get("providers")
    if LLM in top.members or section is None or not isinstance(section.value, list):
        return
    if all(disabled(entry) for entry in section.items):
        reason = "no provider is enabled; enable one" if section.items else "the list is empty; add a provider"
        yield section.problem(reason, "no-provider")


def _unique_provider_names(top: ConfigNode) -> Iterator[Problem]:
    seen: dict[str, ConfigNode] = {}
    if LLM in top.members and top.members[LLM].members:
        seen[LLM] = top.members[LLM]
    for entry in entries(top):
        name = entry.members.get("name")
        if name is None or not name.word or name.stand_in:
            continue
        if name.word in seen:
            first = seen[name.word]
            owner = first.key or first.mark.source
            owner += f" on line {first.mark.line}" if first.mark.line else ""
            yield name.problem(f"the name {name.word!r} is already used by {owner}; choose another name", "name-taken")
        elif name.word.lower() in RESERVED or _VERSION.fullmatch(name.word.lower()):
            message = f"the name {name.word!r} is reserved for paths of llmproxy; choose another name"
            yield name.problem(message, "name-taken")
        seen.setdefault(name.word, entry)


def _target_providers(top: ConfigNode) -> Iterator[Problem]:
    providers = {word(entry, "name"): entry for entry in entries(top) if word(entry, "name")}
    if any(each.members["name"].stand_in for each in providers.values()):
        return
    listed = top.members["models"].items if "models" in top.members else []
    models = {word(model, "name") for model in listed} - providers.keys()
    for model in listed:
        targets = list(model.members["targets"].items) if "targets" in model.members else []
        for target in [*targets, *([model.members["shadow"]] if "shadow" in model.members else [])]:
            if "provider" in target.members:
                node, name = target.members["provider"], target.members["provider"].word
            elif target.word and not target.stand_in:
                node, name = target, split_target(target.word)["provider"]
            else:
                continue
            if name and name in models:
                message = f"{name!r} is a model of this list; a target names a provider: {', '.join(providers)}"
                yield node.problem(message, "unknown-provider")
            else:
                yield from _provider(providers, node, name or "")
    if "default_provider" in top.members:
        yield from _provider(providers, top.members["default_provider"])


def _provider(providers: Mapping[str, ConfigNode], node: ConfigNode, name: str = "") -> Iterator[Problem]:
    """Check that a provider of that name exists and is enabled. A `name` that is all of the node may be a model's."""
    bare = name != "" and name == node.word and node.key.endswith("]")
    name = name or node.word or ""
    if not name or node.stand_in:
        return
    if name not in providers:
        owner, colon, model = name.partition(":")
        if bare and colon and owner in providers:
            yield node.problem(f"unknown provider: {name!r}; write {owner}/{model}", "unknown-provider")
            return
        close = nearest(name, [*providers, *(names("providers") if node.literal else ())])
        hint = f"; did you mean {close!r}?" if close else f"; available: {', '.join(providers)}" if providers else ""
        if bare and not close:
            hint += f"; with a model write PROVIDER/{name}"
        yield node.problem(f"unknown provider: {name!r}{hint}", "unknown-provider")
    elif disabled(providers[name]):
        message = f"the provider {name!r} is not enabled; enable it, or choose another one"
        yield node.problem(message, "unknown-provider")


def _unique_model_names(top: ConfigNode) -> Iterator[Problem]:
    """Check that no two models have a name in common, aliases included."""
    seen: dict[str, ConfigNode] = {}
    for model in top.members["models"].items if "models" in top.members else []:
        aliases = model.members["aliases"].items if "aliases" in model.members else []
        for name in [*([model.members["name"]] if "name" in model.members else []), *aliases]:
            if not name.word or name.stand_in:
                continue
            if seen.get(name.word) is model:
                yield name.problem(f"the name {name.word!r} stands here twice; remove one", "name-taken")
            elif name.word in seen:
                message = f"the name {name.word!r} is already used by {seen[name.word].key}; choose another name"
                yield name.problem(message, "name-taken")
            seen.setdefault(name.word, model)


def budget_routes(holder: ConfigNode, top: ConfigNode) -> Iterator[Problem]:
    """Check that the models exist to which `budgets` of `holder` (the configuration, or a client key) send requests."""
    budgets = holder.members["budgets"].items if "budgets" in holder.members else []
    known = [word(model, "name") for model in (top.members["models"].items if "models" in top.members else [])]
    for budget in budgets:
        instead = budget.members.get("on_exceeded")
        route = None if instead is None else instead.members.get("route")
        if route is None or not route.word or route.stand_in or route.word in known:
            continue
        close = nearest(route.word, known)
        hint = f"did you mean {close!r}?" if close else "add a name to `models` and write it here"
        yield route.problem(f"there is no model {route.word!r} in `models`; {hint}", "unknown-model")


def _empty_keys(top: ConfigNode) -> Iterator[Problem]:
    """Report empty key variables: with an empty key, the client's own credential would be forwarded."""
    for entry in [*entries(top), *([top.members[LLM]] if LLM in top.members else [])]:
        key, more = entry.members.get("api_key"), entry.members.get("api_keys")
        for each in [*([key] if key else []), *(more.items if more else [])]:
            if each.variables and not each.blank and not (each.word or "").strip() and not disabled(entry):
                message = f"{' and '.join(each.variables)} is empty; set it, or write ${{NAME:-}} to use no key"
                yield each.problem(message, "missing-variable")


def own_address(top: ConfigNode) -> tuple[set[str], int]:
    """Return the hosts and the port of this proxy, as a URL on this machine may name them."""
    server = top.members.get("server", ConfigNode(value={}, mark=top.mark))
    host = word(server, "host") or str(ServerConfig().host)
    port = word(server, "port") or str(ServerConfig().port)
    hosts = {host.strip("[]").lower()}
    if hosts & {"0.0.0.0", "::"} or loopback(host):
        hosts |= {"localhost", "127.0.0.1", "::1", "0.0.0.0"}
    return hosts, int(port) if port.isdecimal() else 0


def is_own_address(top: ConfigNode, url: str) -> bool:
    """Return whether `url` is the address of this proxy."""
    hosts, own_port = own_address(top)
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return False
    return port == own_port and (parts.hostname or "") in hosts


def _loops(top: ConfigNode) -> Iterator[Problem]:
    for entry in [*entries(top), *([top.members[LLM]] if LLM in top.members else [])]:
        base = entry.members.get("base_url")
        if base and base.word and not base.stand_in and not disabled(entry) and is_own_address(top, base.word):
            yield base.problem(
                "is the address of this proxy, so it would call itself; write the address of the provider",
                "calls-itself",
            )


def loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    host = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def requires_keys(top: ConfigNode) -> bool:
    """Return whether clients need a key, a token or a certificate."""
    tls = top.members["server"].members.get("tls") if "server" in top.members else None
    if tls is not None and "client_ca" in tls.members:
        return True
    auth = top.members.get("auth")
    if auth is None:
        return False
    mode = auth.members.get("mode")
    if mode is not None and not mode.blank:
        return mode.word != "none" and [each.word for each in mode.items] != ["none"]
    return any(name in auth.members and not auth.members[name].blank for name in ("keys", "keys_file", "jwt"))


def _exposure(top: ConfigNode) -> Iterator[Problem]:
    """Warn where clients need no key and somebody could use ours: everybody on the network, or every web page."""
    if requires_keys(top):
        return
    server = top.members.get("server", ConfigNode(value={}, mark=top.mark))
    providers = [*entries(top), *([top.members[LLM]] if LLM in top.members else [])]
    owner = next((word(each, "name") or LLM for each in providers if has_key(each) and not disabled(each)), "")
    if not owner:
        return
    remedy = "give clients keys (`auth`, `llmproxy keys new NAME`)"
    cors = server.members.get("cors")
    origins = cors.members.get("allow_origins") if cors is not None else None
    if any_page := next((each for each in origins.items if each.word == "*"), None) if origins is not None else None:
        message = (
            f"every web page that somebody here visits can use the key of provider {owner!r}; {remedy}, or list origins"
        )
        yield Problem(mark=any_page.mark, key=any_page.key, message=message, code="exposed-key", severity="warning")
    host = server.members.get("host")
    if host is not None and host.word and not host.stand_in and not loopback(host.word):
        risk = f"everybody who can reach {host.word} can use the key of provider {owner!r}"
        message = f"{risk}; {remedy}, or restrict access to the port"
        yield Problem(mark=host.mark, key=host.key, message=message, code="exposed-key", severity="warning")

"""Check the section `auth` against itself and the rest: keys that two clients have, providers that do not exist.

Works on trees, so that each problem has its place. Begin reading at `check_auth`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmproxy.config.cross_checks import budget_routes, entries, word
from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.registry import nearest


def check_auth(top: ConfigNode, in_file: ConfigNode | None) -> Iterator[Problem]:
    """Yield the problems of `auth` in the tree of the configuration, and in that of its keys file."""
    auth = top.members.get("auth")
    yield from _no_ways_in(auth, top)
    keys = [*_keys(auth), *_keys(in_file)]
    yield from _unique_proofs(keys)
    yield from _unique_names(keys)
    providers = [name for entry in entries(top) if (name := word(entry, "name"))]
    jwt = None if auth is None else auth.members.get("jwt")
    for each in (*keys, *([jwt] if jwt is not None else [])):
        yield from _providers(each, providers)
        yield from budget_routes(each, top)


def _no_ways_in(auth: ConfigNode | None, top: ConfigNode) -> Iterator[Problem]:
    """Report a list of keys without a key, where nothing else lets clients in: everybody could come in."""
    keys = None if auth is None else auth.members.get("keys")
    if auth is None or keys is None or keys.items or not {"mode", "keys_file", "jwt"}.isdisjoint(auth.members):
        return
    if (keys.blank or isinstance(keys.value, list)) and not _asks_for_certificates(top):
        message = "is empty, so that everybody may come in; add a key (`llmproxy keys new NAME`), or write `mode: none`"
        yield keys.problem(message, "no-keys")


def _asks_for_certificates(top: ConfigNode) -> bool:
    server = top.members.get("server")
    tls = None if server is None else server.members.get("tls")
    return tls is not None and bool(word(tls, "client_ca"))


def _keys(section: ConfigNode | None) -> list[ConfigNode]:
    keys = None if section is None else section.members.get("keys")
    return [] if keys is None else keys.items


def _unique_proofs(keys: Sequence[ConfigNode]) -> Iterator[Problem]:
    """Report a key, digest or certificate that two entries have: whose it is would depend on their order."""
    seen: dict[tuple[str, str], ConfigNode] = {}
    for entry in keys:
        for name in ("key", "sha256", "id", "subject"):
            node = entry.members.get(name)
            if node is None or node.stand_in or not node.word:
                continue
            if (first := seen.setdefault((name, node.word.strip()), entry)) is not entry:
                message = f"is the same as that of {first.key} ({word(first, 'name')}); each client needs its own"
                yield Problem(mark=node.mark, key=node.key, message=message, code="name-taken")


def _unique_names(keys: Sequence[ConfigNode]) -> Iterator[Problem]:
    """Report a name that two entries have, unless all but one of them expire: that is a client that changes its key."""
    seen: dict[str, ConfigNode] = {}
    for entry in keys:
        name = entry.members.get("name")
        if name is None or name.stand_in or not name.word or word(entry, "expires"):
            continue
        if (first := seen.setdefault(name.word, entry)) is not entry:
            message = f"the name {name.word!r} is already used by {first.key}; choose another name, or set `expires`"
            yield name.problem(message, "name-taken")


def _providers(entry: ConfigNode, providers: list[str]) -> Iterator[Problem]:
    listed = entry.members.get("providers")
    for node in () if listed is None else listed.items:
        if node.word and not node.stand_in and node.word not in providers and node.word != "llm":
            close = nearest(node.word, providers)
            hint = f"did you mean {close!r}?" if close else f"available: {', '.join(providers)}"
            yield node.problem(f"unknown provider: {node.word!r}; {hint}", "unknown-provider")

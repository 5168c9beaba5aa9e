"""Where the parts of a configuration come from, in words for messages and pages: keys of providers, components.

Begin reading at `key_sources`.
"""

from __future__ import annotations

from llmproxy.config.cross_checks import LLM, entries, word
from llmproxy.config.document import ConfigNode
from llmproxy.config.provider_types import service_of
from llmproxy.providers.service import CLIENTS_OWN


def key_sources(top: ConfigNode) -> dict[str, str]:
    """Describe for each provider where its key comes from."""
    sources = {word(entry, "name"): _key_source(entry) for entry in entries(top)}
    if LLM in top.members:
        sources[LLM] = _key_source(top.members[LLM])
    return sources


def component_places(top: ConfigNode) -> dict[tuple[str, str | int], str]:
    """Describe where the entries of components stand, as `llmproxy.yaml:7:5: middlewares[0]`: by "providers" and the
    name, by "middlewares" and the index."""
    places: dict[tuple[str, str | int], str] = {
        ("providers", word(each, "name")): _place(each) for each in entries(top)
    }
    if LLM in top.members:
        places["providers", LLM] = _place(top.members[LLM])
    middlewares = top.members["middlewares"].items if "middlewares" in top.members else []
    places |= {("middlewares", index): _place(each) for index, each in enumerate(middlewares)}
    if "stores" in top.members:
        places["stores", ""] = _place(top.members["stores"])
    return places


def _place(node: ConfigNode) -> str:
    return ": ".join(part for part in (str(node.mark), node.key) if part)


def _key_source(entry: ConfigNode) -> str:
    service = service_of(word(entry, "type"))
    several = entry.members["api_keys"].items if "api_keys" in entry.members else []
    named = [entry.members.get(name) for name in ("api_key", *(service.credentials if service else ()))]
    named[1:1] = several
    keys = [node for node in named if node and not node.blank and node.value not in (None, False, "")]
    if not keys:
        return service.without_key if service else CLIENTS_OWN
    used = keys if keys[0] in several else keys[:1]
    source = ", ".join(dict.fromkeys(map(_source, used)))
    return f"the client's own, else {source}" if word(entry, "auth") == "passthrough" else source


def _source(key: ConfigNode) -> str:
    if key.variables:
        return " and ".join(key.variables)
    if key.defaulted:
        return f"the default of {' and '.join(key.defaulted)} (not set)"
    return key.mark.source if key.literal else "config file"

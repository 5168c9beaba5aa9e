"""Recognise configurations of other gateways, so that a message can point to `llmproxy import`.

What is in them, the importers know: see `llmproxy/importers`. Begin reading at `gateway_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmproxy.config.document import ConfigNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Another gateway: its name for `llmproxy import --from`, its title in messages, and how its files are recognised
    by the members at their top."""

    name: str
    title: str
    recognises: Callable[[Mapping[str, ConfigNode]], bool]


def _is_litellm(members: Mapping[str, ConfigNode]) -> bool:
    return bool(members.keys() & {"model_list", "litellm_settings", "router_settings"})


def _is_claude_code_router(members: Mapping[str, ConfigNode]) -> bool:
    providers = members.get("Providers")
    return "Router" in members or (
        providers is not None and any("api_base_url" in each.members for each in providers.items)
    )


def _is_portkey(members: Mapping[str, ConfigNode]) -> bool:
    strategy = members.get("strategy")
    routes = "targets" in members or (strategy is not None and "mode" in strategy.members)
    return routes or bool(members.keys() & {"virtual_key", "virtualKey", "override_params", "overrideParams"})


GATEWAYS = (
    Gateway(name="litellm", title="LiteLLM", recognises=_is_litellm),
    Gateway(name="claude-code-router", title="claude-code-router", recognises=_is_claude_code_router),
    Gateway(name="portkey", title="Portkey", recognises=_is_portkey),
)

# Sections that only a configuration of llmproxy has: with one of them a strange key is a mistake in it. `providers` is
# not among them; claude-code-router writes it so too.
_OWN = frozenset({"server", "models", "llm", "middlewares", "model_groups", "routing", "stores"})


def gateway_of(top: ConfigNode) -> Gateway | None:
    """Return the gateway whose configuration the file is; None for one of llmproxy and for any other file."""
    if _OWN & top.members.keys():
        return None
    return next((each for each in GATEWAYS if each.recognises(top.members)), None)

"""Import the configuration of claude-code-router: `~/.claude-code-router/config.json`.

Facts: its README, which describes versions 1 and 2; version 3 keeps its settings in a database, which reads this file
once. Begin reading at `import_claude_code_router`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from llmproxy.config.auth import SHORTEST_KEY
from llmproxy.config.document import ConfigNode
from llmproxy.importers import services
from llmproxy.importers.draft import ConfigBlock, Draft, is_empty, number, quote_name, variable_name, whole
from llmproxy.importers.services import COMPATIBLE

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_LONG_CONTEXT_TOKENS = 60_000  # its default
_LEVELS: Mapping[str, str] = {"fatal": "critical", "warn": "warning", "trace": "debug"}
# What llmproxy does without being told: its dialects and the options of each type of provider.
_BUILT_IN = frozenset(
    (
        *("anthropic", "openai", "deepseek", "gemini", "openrouter", "groq", "cerebras", "vercel", "vertex-gemini"),
        *("reasoning", "cleancache", "sampling", "openai-response", "streamoptions"),
    )
)


def _translate(text: str) -> str:
    """Return a value with its references to variables, `$NAME` and `${NAME}`, in our form."""
    return _VARIABLE.sub(lambda each: f"${{{each[1] or each[2]}}}", text)


def import_claude_code_router(top: ConfigNode) -> Draft:
    """Return the configuration that does what claude-code-router does with this one."""
    reader = _Reader(Draft(top, _translate))
    section = top.members.get("Providers") or top.members.get("providers")
    for entry in section.items if section is not None else ():
        reader.provider(entry)
    if (router := top.members.get("Router")) is not None:
        reader.router(router)
    for name, handler in _HANDLERS.items():
        if name in top.members and not is_empty(top.members[name]):
            handler(reader.draft, top.members[name])
    return reader.draft


class _Reader:
    """Reads providers, and the models that the router chooses. `_names` are our names of providers by theirs, `_bodies`
    the fields that a transformer adds, by provider."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._names: dict[str, str] = {}
        self._bodies: dict[str, ConfigBlock] = {}

    def provider(self, entry: ConfigNode) -> None:
        name, url = (entry.members.get(key) for key in ("name", "api_base_url"))
        if name is None or url is None or not (name.word and url.word):
            self.draft.unsupported(entry, "a provider needs name and api_base_url")
            return
        address = services.without_endpoint(self.draft.text(url))
        type_ = services.type_of_url(address) or self._type(entry)
        settings: ConfigBlock = {"type": type_}
        if not (services.is_usual_address(type_, address) or type_ == "gemini"):
            settings["base_url"] = address
        variable = variable_name(name.word, "API_KEY")
        if (key := entry.members.get("api_key")) is not None:
            if text := self.draft.text(key, variable):
                settings["api_key"] = text
            self.draft.exact(key, "providers.api_key")
        if (models := entry.members.get("models")) is not None:
            settings["models"] = self.draft.value(models)
            self.draft.exact(models, "providers.models")
        provider = self.draft.provider(name.word, settings)
        self._names[name.word] = provider["name"]
        self.draft.exact(name, f"providers.{provider['name']}")
        self.draft.exact(url, "providers.base_url" if "base_url" in settings else "providers.type")
        self._transformers(entry.members.get("transformer"), provider["name"])

    def _type(self, entry: ConfigNode) -> str:
        """Return the type for an unknown host: Anthropic's API is spoken where its transformer is the only one."""
        transformer = entry.members.get("transformer")
        uses = transformer.members.get("use") if transformer is not None else None
        words = [each.word for each in uses.items] if uses is not None else []
        return "anthropic" if words == ["Anthropic"] else COMPATIBLE

    def _transformers(self, section: ConfigNode | None, provider: str) -> None:
        for uses in section.members.values() if section is not None else ():
            for use in uses.items or uses.members.get("use", uses).items:
                self._transformer(use, provider)

    def _transformer(self, use: ConfigNode, provider: str) -> None:
        name = (use.items[0] if use.items else use).word or ""
        options = use.items[1].members if len(use.items) > 1 else {}
        if name.lower() == "maxtoken" and (limit := options.get("max_tokens")) is not None:
            self._bodies[provider] = {"max_tokens": limit.value}
            self.draft.approximate(limit, "models.targets.extra_body", "for the models that the router chooses")
            self.draft.exact(use.items[0], "models.targets.extra_body")
        elif name.lower() in _BUILT_IN and not options:
            self.draft.exact(use, "", "built in")
        elif name.lower() in _BUILT_IN:
            self.draft.by_hand(use, "write its options into `extra_body` of a target")
        else:
            self.draft.unsupported(use, f"no transformer {quote_name(name)} here; a middleware can change requests")

    def router(self, router: ConfigNode) -> None:
        """Read the router: one entry for every model, whose targets have the conditions of its situations."""
        members = router.members
        conditions: dict[str, tuple[ConfigBlock | None, str]] = {
            "image": ({"has_images": True}, "requests with images"),
            "longContext": ({"min_tokens": self._threshold(members)}, "tokens are estimated from the length"),
            "default": (None, "every model that is not named otherwise"),
        }
        everything = [
            target
            for name, (condition, message) in conditions.items()
            if name in members
            for target in self._targets(members[name], condition, message)
        ]
        if "background" in members and (targets := self._targets(members["background"], None, "models named *haiku*")):
            self.draft.model("*haiku*")["targets"] = targets
        if everything:
            self.draft.model("*")["targets"] = everything
        for name, why in (("think", "thinking"), ("webSearch", "web search")):
            if name in members and (targets := self._targets(members[name], None, "")):
                model = f"{targets[0]['provider']}/{targets[0]['model']}"
                self.draft.by_hand(members[name], f"no condition for {why}; ask for {model}, or write a strategy")

    def _threshold(self, members: Mapping[str, ConfigNode]) -> int:
        """Return the least number of tokens of a long context."""
        node = members.get("longContextThreshold")
        if node is None:
            return _LONG_CONTEXT_TOKENS + 1
        self.draft.exact(node, "models.targets.when.min_tokens")
        return (whole(node, 1) or _LONG_CONTEXT_TOKENS) + 1

    def _targets(self, node: ConfigNode, condition: ConfigBlock | None, message: str) -> list[ConfigBlock]:
        """Return the target for `provider,model`, in a list; none where the provider is unknown."""
        provider, comma, model = (node.word or "").partition(",")
        if not comma or provider.strip() not in self._names:
            if node.word:
                self.draft.by_hand(node, "must be provider,model with a provider of this file")
            return []
        ours = self._names[provider.strip()]
        target: ConfigBlock = {"provider": ours, "model": model.strip()}
        target |= {"when": condition} if condition else {}
        target |= {"extra_body": self._bodies[ours]} if ours in self._bodies else {}
        if message:
            self.draft.approximate(node, "models", message)
        return [target]


def _api_key(draft: Draft, node: ConfigNode) -> None:
    key = draft.text(node, "ROUTER_API_KEY", least_length=SHORTEST_KEY)
    draft.section("auth")["keys"] = [{"name": "router", "key": key}]
    draft.exact(node, "auth.keys")


def _copy(*path: str) -> Callable[[Draft, ConfigNode], None]:
    def handler(draft: Draft, node: ConfigNode) -> None:
        value: Any = draft.value(node)
        draft.section(*path[:-1])[path[-1]] = value
        draft.exact(node, ".".join(path))

    return handler


def _port(draft: Draft, node: ConfigNode) -> None:
    if (port := whole(node)) is None:
        draft.by_hand(node, "must be a port")
        return
    draft.section("server")["port"] = port
    draft.exact(node, "server.port")


def _outgoing_proxy(draft: Draft, node: ConfigNode) -> None:
    proxy = draft.text(node)
    for provider in draft.config.get("providers", []):
        provider["proxy"] = proxy
    draft.exact(node, "providers.proxy")


def _log(draft: Draft, node: ConfigNode) -> None:
    draft.section("logging")["requests"] = node.value is not False
    draft.approximate(node, "logging.requests", "a line for each request, on standard error")


def _log_level(draft: Draft, node: ConfigNode) -> None:
    level = (node.word or "").lower()
    draft.section("logging")["level"] = _LEVELS.get(level, level)
    draft.exact(node, "logging.level")


def _timeout(draft: Draft, node: ConfigNode) -> None:
    milliseconds = number(node)
    if not milliseconds:
        draft.by_hand(node, "must be a number of milliseconds")
        return
    for provider in draft.config.get("providers", []):
        provider["timeouts"] = {"first_byte": f"{milliseconds / 1000:g}s"}
    draft.approximate(node, "providers.timeouts.first_byte", "until the answer begins")


_HANDLERS: Mapping[str, Callable[[Draft, ConfigNode], None]] = {
    "APIKEY": _api_key,
    "HOST": _copy("server", "host"),
    "PORT": _port,
    "PROXY_URL": _outgoing_proxy,
    "LOG": _log,
    "LOG_LEVEL": _log_level,
    "API_TIMEOUT_MS": _timeout,
    "NON_INTERACTIVE_MODE": lambda draft, node: draft.exact(node, "", "llmproxy never asks"),
    "CUSTOM_ROUTER_PATH": lambda draft, node: draft.by_hand(node, "write a strategy: a class in a Python file"),
    "transformers": lambda draft, node: draft.by_hand(node, "write a middleware: a class in a Python file"),
}

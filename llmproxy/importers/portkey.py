"""Import a config of Portkey's gateway: JSON with a strategy and targets, or a single provider.

Facts: the schema of its open-source gateway (`schema/config.ts`) and portkey.ai/docs/product/ai-gateway/configs. A
config names no model: clients do, so that it becomes the entry `*` of `models`. Begin reading at `import_portkey`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from llmproxy.config.document import ConfigNode
from llmproxy.config.pasted_keys import looks_like_key
from llmproxy.importers import services
from llmproxy.importers.draft import ConfigBlock, Draft, number, quote_name, variable_name, whole, with_values
from llmproxy.importers.services import COMPATIBLE, OTHER_SERVICES, KnownService, own

_SERVICES: Mapping[str, KnownService] = {
    **{type_: own(type_) for type_ in ("openai", "anthropic", "ollama", "groq", "deepseek", "openrouter", "cerebras")},
    **OTHER_SERVICES,
    "azure-openai": own("azure"),
    "azure-ai": own("azure"),
    "bedrock": KnownService(type="bedrock"),
    "google": own("gemini"),
    "vertex-ai": KnownService(type="vertex"),
    "mistral-ai": own("mistral"),
    "together-ai": own("together"),
    "fireworks-ai": own("fireworks"),
    "perplexity-ai": own("perplexity"),
    "x-ai": own("xai"),
}
_SETTINGS: Mapping[str, str] = {
    "custom_host": "base_url",
    "aws_region": "region",
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "aws_role_arn": "role_arn",
    "aws_external_id": "external_id",
    "vertex_project_id": "project",
    "vertex_region": "location",
    "api_version": "api_version",
    "azure_api_version": "api_version",
}
_HEADERS: Mapping[str, str] = {
    "openai_organization": "OpenAI-Organization",
    "openai_project": "OpenAI-Project",
    "openai_beta": "OpenAI-Beta",
    "anthropic_beta": "anthropic-beta",
    "anthropic_version": "anthropic-version",
}
_STRATEGIES: Mapping[str, str] = {"fallback": "priority", "loadbalance": "weighted", "single": "priority"}
_MOST_RETRIES = 20
_CAMEL = re.compile(r"(?<=[a-z0-9])[A-Z]")
_WEIGHT_UNIT = 1000


def _translate(text: str) -> str:
    """Return a value as our configuration means it: Portkey has no references to variables."""
    return text.replace("${", "$${")


def import_portkey(top: ConfigNode) -> Draft:
    """Return the configuration that does what the gateway does with this one."""
    draft = Draft(top, _translate)
    _write_underscores(top)
    reader = _Reader(draft)
    strategy = top.members.get("strategy")
    mode = strategy.members.get("mode") if strategy is not None else None
    if strategy is not None and mode is not None and mode.word == "conditional":
        reader.conditional(top, strategy)
    else:
        reader.route(top, "*")
    for config in _configs(top):
        if (cache := config.members.get("cache")) is not None and "middlewares" not in draft.config:
            reader.cache(cache)
    return draft


def _write_underscores(config: ConfigNode) -> None:
    """Rename the keys of a config that are in camel case to those with underscores: it may have either."""
    if isinstance(config.value, dict):
        config.value = {
            _CAMEL.sub(lambda each: f"_{each[0].lower()}", name): node for name, node in config.value.items()
        }
    for name in ("strategy", "retry", "cache"):
        if name in config.members:
            _write_underscores(config.members[name])
    for target in config.members["targets"].items if "targets" in config.members else ():
        _write_underscores(target)


def _configs(config: ConfigNode) -> Iterator[ConfigNode]:
    """Yield a config and those of its targets."""
    yield config
    for each in config.members["targets"].items if "targets" in config.members else ():
        yield from _configs(each)


def _mode(config: ConfigNode) -> str:
    strategy = config.members.get("strategy")
    mode = strategy.members.get("mode") if strategy is not None else None
    return (mode.word if mode is not None else None) or ""


def _variable(virtual_key: ConfigNode) -> str:
    """Return the variable for what a virtual key stands for."""
    word = "" if looks_like_key(virtual_key.word or "") else virtual_key.word or ""
    return variable_name(word, "API_KEY")


def _fall_back(groups: list[list[ConfigBlock]]) -> None:
    """Let all but the first group wait: targets of weight 0 are called when the others are out."""
    for place, group in enumerate(groups):
        for position, each in enumerate(group):
            waiting = place > 0 or (position > 0 and "weight" not in each)
            each["weight"] = 0 if waiting else each.get("weight", 1)


class _Reader:
    """Reads configs and their targets into `draft`."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def route(self, config: ConfigNode, name: str) -> None:
        """Read a config with its strategy as the entry `name` of `models`."""
        targets = self._targets(config, {})
        if not targets:
            return
        model = self.draft.model(name)
        model["targets"] = targets
        self._strategy(config.members.get("strategy"), model)
        for each in _configs(config):
            self._calls(each, model)
        scale = 1 if all(float(each.get("weight", 1)).is_integer() for each in targets) else _WEIGHT_UNIT
        for target in targets:
            if "weight" in target:
                target["weight"] = round(target["weight"] * scale)

    def conditional(self, top: ConfigNode, strategy: ConfigNode) -> None:
        """Read conditions: those on the model's name become entries of `models`."""
        mode, default = strategy.members["mode"], strategy.members.get("default")
        self.draft.approximate(mode, "models", "conditions on the name of the model become entries of `models`")
        named = {
            name.word: each
            for each in (top.members["targets"].items if "targets" in top.members else ())
            if (name := each.members.get("name")) is not None and name.word
        }
        for each in named.values():
            self.draft.exact(each.members["name"], "models")
        conditions = strategy.members.get("conditions")
        for condition in conditions.items if conditions is not None else ():
            self._condition(condition, named)
        if default is not None and (target := named.get(default.word or "")) is not None:
            self.route(target, "*")
            self.draft.exact(default, "models.*")

    def _condition(self, condition: ConfigNode, named: Mapping[str, ConfigNode]) -> None:
        query, then = condition.members.get("query"), condition.members.get("then")
        target = named.get((then.word if then is not None else None) or "")
        (key, value), *more = query.members.items() if query is not None and query.members else [("", None)]
        model = value.members.get("$eq", value) if value is not None else None
        if key != "params.model" or more or model is None or not model.word or target is None or then is None:
            self.draft.by_hand(condition, "write a target with `when` (headers, keys, tokens), or a strategy")
            return
        self.route(target, model.word)
        for node in (model, then):
            self.draft.exact(node, f"models.{model.word}")

    def _targets(self, config: ConfigNode, inherited: Mapping[str, ConfigNode]) -> list[ConfigBlock]:
        """Return the targets of a config; those of nested ones stand in their place."""
        members = with_values({**inherited, **config.members})
        section = config.members.get("targets")
        if section is None:
            target = self._target(config, members)
            return [target] if target is not None else []
        passed = {key: node for key, node in members.items() if key in ("override_params", "request_timeout")}
        groups = [self._targets(each, passed) for each in section.items]
        for each in section.items:
            if _mode(each):
                mode = each.members["strategy"].members["mode"]
                self.draft.approximate(mode, "models.targets", "targets of targets stand in one list, by weight")
        if _mode(config) == "loadbalance":
            for each, group in zip(section.items, groups, strict=True):
                self._share(each, group)
        elif any("targets" in each.members for each in section.items):
            _fall_back(groups)
        return [target for group in groups for target in group]

    def _share(self, config: ConfigNode, group: list[ConfigBlock]) -> None:
        """Give the targets of one entry its weight: shared out among them, or to the first where the others wait."""
        node = config.members.get("weight")
        weight = number(node) if node is not None else None
        if node is not None:
            self.draft.exact(node, "models.targets.weight")
        total = sum(each.get("weight", 1) for each in group) or 1
        waiting = _mode(config) == "fallback" and not any("weight" in each for each in group)
        for place, each in enumerate(group):
            part = (place == 0) if waiting else each.get("weight", 1) / total
            each["weight"] = part * (1 if weight is None else weight)

    def _target(self, config: ConfigNode, members: Mapping[str, ConfigNode]) -> ConfigBlock | None:
        service = self._service(config, members)
        if service is None:
            return None
        provider = self._provider(service, members)
        target: ConfigBlock = {"provider": provider["name"]}
        self._overrides(members.get("override_params"), target)
        for key in ("deployment_id", "azure_deployment_name", "azure_model_name"):
            if key in members:
                target.setdefault("model", self.draft.text(members[key]))
                self.draft.exact(members[key], "models.targets.model")
        if (timeout := members.get("request_timeout")) is not None and (milliseconds := number(timeout)):
            target["timeouts"] = {"first_byte": f"{milliseconds / 1000:g}s"}
            self.draft.exact(timeout, "models.targets.timeouts.first_byte")
        headers = {ours: self.draft.text(members[key]) for key, ours in _HEADERS.items() if key in members}
        for key in _HEADERS.keys() & members.keys():
            self.draft.exact(members[key], "models.targets.extra_headers")
        return target | ({"extra_headers": headers} if headers else {})

    def _overrides(self, overrides: ConfigNode | None, target: ConfigBlock) -> None:
        for name, node in with_values(overrides.members).items() if overrides is not None else ():
            if name == "model":
                target["model"] = self.draft.text(node)
                self.draft.exact(node, "models.targets.model")
            else:
                target.setdefault("extra_body", {})[name] = self.draft.value(node)
                self.draft.exact(node, "models.targets.extra_body")

    def _service(self, config: ConfigNode, members: Mapping[str, ConfigNode]) -> KnownService | None:
        """Return the service of a target: the one that it names, else the one that the name of its virtual key has."""
        provider, virtual = members.get("provider"), members.get("virtual_key")
        word = (provider.word if provider is not None else None) or ""
        if provider is not None and word in _SERVICES:
            self.draft.exact(provider, "providers.type")
            return _SERVICES[word]
        name = word.removeprefix("@") or (virtual.word if virtual is not None else None) or ""
        found = next((each for each in _SERVICES if re.search(rf"(?:^|[-_]){re.escape(each)}(?:$|[-_/])", name)), None)
        source = provider if provider is not None else virtual
        if source is None:
            return None
        if found is None:
            self.draft.by_hand(config, f"write a provider for {quote_name(name)}, and a target of the model `*`")
            return None
        self.draft.by_hand(source, f"a name for keys in Portkey's vault; taken for one of {found}")
        return _SERVICES[found]

    def _provider(self, service: KnownService, members: Mapping[str, ConfigNode]) -> ConfigBlock:
        draft = self.draft
        settings: ConfigBlock = {"type": service.type}
        if service.base_url:
            settings["base_url"] = service.base_url
        for theirs, ours in _SETTINGS.items():
            if theirs in members:
                settings[ours] = draft.text(members[theirs])
                draft.exact(members[theirs], f"providers.{ours}")
        if service.type == "azure" and (resource := members.get("resource_name")) is not None:
            settings["base_url"] = f"https://{draft.text(resource)}.openai.azure.com"
            draft.exact(resource, "providers.base_url")
        if service.type == "openai" and "base_url" in settings:
            settings["type"] = services.type_of_url(settings["base_url"]) or COMPATIBLE
        settings |= self._key(service, members, "access_key_id" in settings)
        virtual = members.get("virtual_key")
        named = virtual is not None and virtual.word and not looks_like_key(virtual.word)
        return draft.provider(virtual.word or "" if virtual is not None and named else service.type, settings)

    def _key(self, service: KnownService, members: Mapping[str, ConfigNode], signed: bool) -> ConfigBlock:
        """Return the key of a provider: in the config, in Portkey's vault, or in the usual variable."""
        if (key := members.get("api_key")) is not None:
            variable = service.key_variable or variable_name(service.type, "API_KEY")
            text = self.draft.text(key, variable)
            self.draft.exact(key, "providers.api_key")
            return {"api_key": text}
        if (virtual := members.get("virtual_key")) is not None and not signed:
            name = _variable(virtual)
            self.draft.by_hand(virtual, f"a key in Portkey's vault; set {name} to the key of the provider")
            return {"api_key": f"${{{name}}}"}
        return {"api_key": f"${{{service.key_variable}}}"} if service.key_variable and not signed else {}

    def _strategy(self, strategy: ConfigNode | None, model: ConfigBlock) -> None:
        members = strategy.members if strategy is not None else {}
        mode = members.get("mode")
        ours = _STRATEGIES.get((mode.word if mode is not None else None) or "")
        if mode is not None and ours is not None:
            model["strategy"] = "weighted" if any("weight" in each for each in model["targets"]) else ours
            self.draft.exact(mode, "models.strategy")
        elif mode is not None:
            self.draft.by_hand(mode, "no such strategy here; choose one for the model")
        if (statuses := members.get("on_status_codes")) is not None:
            self._statuses(statuses, model)

    def _calls(self, config: ConfigNode, model: ConfigBlock) -> None:
        retry = config.members.get("retry")
        members = retry.members if retry is not None else {}
        if (attempts := members.get("attempts")) is not None and (count := whole(attempts)) is not None:
            model["retries"] = min(count, _MOST_RETRIES)
            self.draft.approximate(attempts, "models.retries", "further calls after each target has failed once")
        if (statuses := members.get("on_status_codes")) is not None:
            self._statuses(statuses, model)
        if (header := members.get("use_retry_after_header")) is not None:
            self.draft.approximate(header, "routing.max_retry_after", "always, up to that time")

    def _statuses(self, node: ConfigNode, model: ConfigBlock) -> None:
        statuses = [status for each in node.items if (status := whole(each, 400)) is not None and status <= 599]
        known = model.setdefault("retry_on", ["connection"])
        known += [status for status in statuses if status not in known]
        if len(statuses) == len(node.items):
            self.draft.exact(node, "models.retry_on")
        else:
            self.draft.approximate(node, "models.retry_on", "statuses below 400 are answers")

    def cache(self, node: ConfigNode) -> None:
        """Read the cache, in short form too."""
        mode, age = node.members.get("mode", node), node.members.get("max_age")
        config: ConfigBlock = {"when": "always"}
        if age is not None and (seconds := number(age)):
            config["ttl"] = f"{seconds}s"
            self.draft.exact(age, "middlewares.cache.ttl")
        self.draft.entries("middlewares").append({"type": "cache", "config": config})
        if mode.word == "simple":
            self.draft.approximate(mode, "middlewares.cache", "each client has its own answers, unless `shared: true`")
        else:
            self.draft.by_hand(mode, "answers are found by equal requests, not by similar ones")

"""Read the `model_list` of LiteLLM: each deployment becomes a target of a model, its address and keys a provider.

Facts: docs.litellm.ai/docs/proxy/configs and /routing. Begin reading at `Deployments.read`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmproxy.config.document import ConfigNode
from llmproxy.config.provider_types import service_of
from llmproxy.importers import services
from llmproxy.importers.draft import ConfigBlock, Draft, number, quote_name, variable_name, whole, with_values
from llmproxy.importers.services import COMPATIBLE, OTHER_SERVICES, KnownService, own
from llmproxy.registry import config_of, find_component, names

# The prefix of `litellm_params.model`, and the service. Its variables for keys are LiteLLM's own.
_SERVICES: Mapping[str, KnownService] = {
    **{type_: own(type_) for type_ in ("openai", "anthropic", "gemini", "ollama", "groq", "mistral", "deepseek")},
    **{type_: own(type_) for type_ in ("openrouter", "xai", "cerebras")},
    **OTHER_SERVICES,
    "text-completion-openai": own("openai"),
    "azure": KnownService(type="azure", key_variable="AZURE_API_KEY"),
    "azure_text": KnownService(type="azure", key_variable="AZURE_API_KEY"),
    "azure_ai": KnownService(type="azure", key_variable="AZURE_AI_API_KEY"),
    "bedrock": KnownService(type="bedrock"),
    "vertex_ai": KnownService(type="vertex"),
    "vertex_ai_beta": KnownService(type="vertex"),
    "ollama_chat": own("ollama"),
    "lm_studio": KnownService(type="lmstudio"),
    "hosted_vllm": KnownService(type="vllm"),
    "vllm": KnownService(type="vllm"),
    "llamafile": KnownService(type="llamacpp"),
    "together_ai": own("together"),
    "fireworks_ai": own("fireworks"),
    "perplexity": KnownService(type="perplexity", key_variable="PERPLEXITYAI_API_KEY"),
    "nvidia_nim": services.compatible("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "custom_openai": KnownService(type=COMPATIBLE),
    "openai_like": KnownService(type=COMPATIBLE),
    "litellm_proxy": KnownService(type=COMPATIBLE, key_variable="LITELLM_PROXY_API_KEY"),
}
# Keys of `litellm_params` for the provider, and ours.
_SETTINGS: Mapping[str, str] = {
    "api_base": "base_url",
    "base_url": "base_url",
    "api_version": "api_version",
    "aws_region_name": "region",
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "aws_profile_name": "profile",
    "aws_role_name": "role_arn",
    "aws_external_id": "external_id",
    "aws_bedrock_runtime_endpoint": "base_url",
    "vertex_project": "project",
    "vertex_ai_project": "project",
    "vertex_location": "location",
    "vertex_ai_location": "location",
}
# Where LiteLLM finds an address that a deployment does not say.
_BASE_VARIABLES: Mapping[str, str] = {"azure": "AZURE_API_BASE", COMPATIBLE: "OPENAI_API_BASE"}
_LIMITS: Mapping[str, str] = {"rpm": "rpm", "tpm": "tpm", "max_parallel_requests": "concurrent"}
# Fields of requests: LiteLLM sends them where the client sends none.
_BODY = frozenset(
    (
        *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "user"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "response_format", "reasoning_effort", "thinking"),
        *("service_tier", "parallel_tool_calls", "tool_choice", "tools", "verbosity", "modalities", "dimensions"),
    )
)
_PRICES: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}
_FACTS = frozenset(("id", "mode", "base_model", "max_tokens", "max_input_tokens", "max_output_tokens", "db_model"))
_MILLION = 1_000_000
# In front of Bedrock's names LiteLLM takes the API and a region; the type of provider chooses the API by itself.
_BEDROCK_FORM = re.compile(r"^(?:(?:converse|converse_like|invoke)/)?(?:[a-z]{2}(?:-[a-z]+)+-\d/)?")


class Deployments:
    """Reads deployments into `draft`. `order` is the rank of targets, by identity, where deployments have one."""

    def __init__(self, draft: Draft, credentials: Mapping[str, ConfigNode]) -> None:
        self.order: dict[int, float] = {}
        self._draft = draft
        self._credentials = credentials

    def read(self, entry: ConfigNode) -> None:
        """Read one entry of `model_list`."""
        name, params = entry.members.get("model_name"), entry.members.get("litellm_params")
        model = params.members.get("model") if params is not None else None
        if name is None or model is None or not (name.word and model.word):
            self._draft.unsupported(entry, "a deployment needs model_name and litellm_params.model")
            return
        assert params is not None
        members = with_values({**self._credential(params), **params.members})
        service, own_name = self._service(model, members.get("custom_llm_provider"))
        if service is None:
            unknown = quote_name(model.word)
            message = f"llmproxy has no provider for {unknown}; write one (openai-compatible with its base_url)"
            self._draft.by_hand(entry, message)
            return
        settings = self._settings(service, members)
        entry_of_provider = self._draft.provider(_preferred(settings), settings)
        self._draft.exact(model, f"providers.{entry_of_provider['name']}")
        target = self._target(name, own_name, entry_of_provider)
        if target is not None:
            self._target_keys(members, self._draft.model(name.word), target)
        info = entry.members.get("model_info")
        self._prices([*members.values(), *(info.members.values() if info else ())], own_name, entry_of_provider)
        self._facts(info)
        for key in ("rpm", "tpm"):  # LiteLLM's router takes them beside litellm_params too
            if key in entry.members and target is not None:
                self._limit(entry.members[key], key, target)

    def _credential(self, params: ConfigNode) -> Mapping[str, ConfigNode]:
        """Return the members of the credential that a deployment names."""
        name = params.members.get("litellm_credential_name")
        if name is None:
            return {}
        values = self._credentials.get(name.word or "")
        if values is None:
            self._draft.by_hand(name, "no such entry in credential_list; write its keys into the provider")
            return {}
        self._draft.exact(name, "providers", "with the keys of that credential")
        return values.members

    def _service(self, model: ConfigNode, named: ConfigNode | None) -> tuple[KnownService | None, str]:
        """Return the service that answers a deployment, and its name for the model."""
        word = model.word or ""
        prefix, slash, rest = word.partition("/")
        if named is not None:
            self._draft.exact(named, "providers")
            return _SERVICES.get(named.word or ""), rest if slash and prefix == named.word else word
        if slash and prefix in _SERVICES:
            return _SERVICES[prefix], _BEDROCK_FORM.sub("", rest) if prefix == "bedrock" else rest
        if slash and prefix in names("providers"):
            return own(prefix), rest
        for type_ in names("providers"):  # without a prefix LiteLLM knows the models of these services
            service = service_of(type_)
            if service is not None and any(fnmatch.fnmatchcase(word, pattern) for pattern in service.patterns):
                return own(type_), word
        return None, word

    def _settings(self, service: KnownService, members: Mapping[str, ConfigNode]) -> ConfigBlock:
        """Return the settings of the provider of a deployment."""
        found: ConfigBlock = {}
        for theirs, ours in _SETTINGS.items():
            if theirs in members:
                found[ours] = self._draft.text(members[theirs])
        if "base_url" in found:
            found["base_url"] = services.without_endpoint(found["base_url"])
        elif service.base_url:
            found["base_url"] = service.base_url
        elif service.type in _BASE_VARIABLES:
            found["base_url"] = f"${{{_BASE_VARIABLES[service.type]}}}"
        type_ = self._type(service, found.get("base_url"))
        known = config_of(find_component("providers", type_, Path())).model_fields
        for theirs in _SETTINGS.keys() & members.keys():
            self._grade_setting(members[theirs], _SETTINGS[theirs], type_, _SETTINGS[theirs] in known)
        self._credentials_elsewhere(members)
        settings = {ours: value for ours, value in found.items() if ours in known}
        return {"type": type_, **settings, **self._key(service, type_, members), "models": []}

    def _grade_setting(self, node: ConfigNode, ours: str, type_: str, known: bool) -> None:
        if not known:
            self._draft.by_hand(node, f"providers of type {type_} have no such key")
        elif ours == "base_url" and type_ == COMPATIBLE and not urlsplit(node.word or "").path.strip("/"):
            self._draft.approximate(node, f"providers.{ours}", "/v1 is added to an address without a path")
        else:
            self._draft.exact(node, f"providers.{ours}")

    def _credentials_elsewhere(self, members: Mapping[str, ConfigNode]) -> None:
        for key in ("azure_ad_token", "tenant_id", "client_id", "client_secret"):
            if key in members:
                message = "write `entra: true` into the provider; it reads AZURE_... variables"
                self._draft.by_hand(members[key], message)
        if (file := members.get("vertex_credentials")) is not None:
            self._draft.by_hand(file, "write the path into `credentials_file` of the provider, where the file exists")

    def _type(self, service: KnownService, base_url: str | None) -> str:
        if service.type != "openai" or base_url is None or services.is_usual_address("openai", base_url):
            return service.type
        return services.type_of_url(base_url) or COMPATIBLE

    def _key(self, service: KnownService, type_: str, members: Mapping[str, ConfigNode]) -> ConfigBlock:
        """Return the key of the provider: that of the deployment, else the variable that LiteLLM reads by itself."""
        usual = service.key_variable if type_ == service.type else None
        key = members.get("api_key")
        if key is None or not key.word:
            return {"api_key": f"${{{usual}}}"} if usual else {}
        text = self._draft.text(key, usual or variable_name(type_, "API_KEY"))
        self._draft.exact(key, "providers.api_key")
        return {"api_key": text}

    def _target(self, name: ConfigNode, own_name: str, provider: ConfigBlock) -> ConfigBlock | None:
        """Return the new target for the model name, None where a wildcard needs none."""
        word = name.word or ""
        if not own_name:
            self._draft.by_hand(name, "no model behind the provider; the name that clients send is sent on")
            return self._add_target(name, {"provider": provider["name"]})
        if "*" not in word and "*" not in own_name:
            return self._add_target(name, {"provider": provider["name"], "model": own_name})
        if word == f"{provider['name']}/*" and own_name == "*":
            self._draft.exact(name, f"providers.{provider['name']}", "provider/model reaches it")
            return None
        if own_name in (word, "*") and "/" not in word:
            return self._add_target(name, {"provider": provider["name"]})
        message = f"write the models by name; those of a wildcard are {provider['name']}/NAME for clients here"
        self._draft.by_hand(name, message, (provider, "name"))
        return None

    def _add_target(self, name: ConfigNode, target: ConfigBlock) -> ConfigBlock:
        self._draft.model(name.word or "")["targets"].append(target)
        self._draft.exact(name, f"models.{name.word}")
        return target

    def _target_keys(self, members: Mapping[str, ConfigNode], model: ConfigBlock, target: ConfigBlock) -> None:
        """Read what a deployment says about calls."""
        draft, body, headers = self._draft, dict[str, Any](), dict[str, Any]()
        for key, node in members.items():
            if key in _LIMITS:
                self._limit(node, key, target)
            elif key in _BODY:
                body[key] = draft.value(node)
                draft.approximate(node, "models.targets.extra_body", "sent in place of what clients send, too")
            elif key in ("extra_body", "extra_headers", "headers") and isinstance(node.value, dict):
                (body if key == "extra_body" else headers).update(draft.value(node))
                draft.exact(node, "models.targets." + ("extra_body" if key == "extra_body" else "extra_headers"))
            elif key == "organization":
                headers["OpenAI-Organization"] = draft.text(node)
                draft.exact(node, "models.targets.extra_headers")
        self._times(members, model, target)
        target |= {name: value for name, value in (("extra_body", body), ("extra_headers", headers)) if value}
        if (weight := members.get("weight")) is not None and (value := number(weight)) is not None:
            target["weight"] = value
            draft.exact(weight, "models.targets.weight")
        if (order := members.get("order")) is not None and (value := number(order)) is not None:
            self.order[id(target)] = value
            draft.exact(order, "models.targets", "the targets stand in that order")

    def _limit(self, node: ConfigNode, key: str, target: ConfigBlock) -> None:
        value = whole(node, 1)
        if value is None:
            self._draft.by_hand(node, "must be a whole number of 1 or more", (target, "provider"))
            return
        target[_LIMITS[key]] = value
        self._draft.approximate(node, f"models.targets.{_LIMITS[key]}", "a limit: beyond it the next target is called")

    def _times(self, members: Mapping[str, ConfigNode], model: ConfigBlock, target: ConfigBlock) -> None:
        for key, seconds in ((key, number(members[key])) for key in ("timeout", "stream_timeout") if key in members):
            if not seconds:
                self._draft.by_hand(members[key], "must be a number of seconds", (target, "provider"))
            elif key == "timeout":
                target["timeouts"] = {"first_byte": f"{seconds}s"}
                self._draft.approximate(members[key], "models.targets.timeouts", "until the answer begins")
            else:
                model["first_token"] = f"{seconds}s"
                self._draft.approximate(members[key], "models.first_token", "for all targets of the model")
        for key in ("max_retries", "num_retries"):
            if key in members and (count := whole(members[key])) is not None:
                model["retries"] = min(count, 20)
                self._draft.approximate(members[key], "models.retries", "for all targets of the model")

    def _prices(self, nodes: list[ConfigNode], own_name: str, provider: ConfigBlock) -> None:
        """Read the prices, in USD per token, into those of the provider, in USD per million."""
        for node in nodes:
            ours = _PRICES.get(node.key.rpartition(".")[2])
            usd = None if ours is None else number(node)
            if ours is not None and usd is not None:
                provider.setdefault("prices", {}).setdefault(own_name, {})[ours] = round(usd * _MILLION, 9)
                self._draft.exact(node, f"providers.{provider['name']}.prices")

    def _facts(self, info: ConfigNode | None) -> None:
        for key, node in info.members.items() if info is not None else ():
            if key in _FACTS or key.startswith("supports_"):
                self._draft.approximate(node, "", "not needed: a fact about the model")


def _preferred(settings: ConfigBlock) -> str:
    """Return the name for a provider: its type, with the host where that tells more."""
    host = services.host_of(settings.get("base_url", ""))
    if settings["type"] == "azure" and host:
        return f"azure-{host.partition('.')[0]}"
    return host if settings["type"] == COMPATIBLE and host else settings["type"]

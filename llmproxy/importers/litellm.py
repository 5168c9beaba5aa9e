"""Import the configuration of LiteLLM's proxy: `config.yaml`.

Facts: docs.litellm.ai/docs/proxy/config_settings. Begin reading at `import_litellm`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from llmproxy.config.document import ConfigNode
from llmproxy.importers.draft import ConfigBlock, Draft, is_empty, quote_name
from llmproxy.importers.litellm_deployments import Deployments
from llmproxy.importers.litellm_settings import GENERAL, MODULE, ROUTER, Settings

_VARIABLE = re.compile(r"os\.environ/(\w+)")


def _translate(text: str) -> str:
    """Return a value with LiteLLM's reference to a variable in our form."""
    reference = _VARIABLE.fullmatch(text.strip())
    return f"${{{reference[1]}}}" if reference else text.replace("${", "$${")


def import_litellm(top: ConfigNode) -> Draft:
    """Return the configuration that does what LiteLLM does with this one."""
    draft = Draft(top, _translate)
    credentials = _credentials(draft, top.members.get("credential_list"))
    deployments = Deployments(draft, credentials)
    for entry in _list(top, "model_list"):
        deployments.read(entry)
    for values in credentials.values():
        if not draft.is_read(values):
            draft.by_hand(values, "no deployment names this credential")
    settings = Settings(draft)
    # Settings of the router win over those of the module.
    for section, handlers in (("litellm_settings", MODULE), ("router_settings", ROUTER), ("general_settings", GENERAL)):
        for name, node in top.members[section].members.items() if section in top.members else ():
            _apply(settings, handlers, name, node)
    for name, node in (
        top.members["environment_variables"].members.items() if "environment_variables" in top.members else ()
    ):
        draft.by_hand(node, f"put {name} into a .env file beside the configuration")
    _finish(draft, settings, deployments)
    return draft


def _apply(
    settings: Settings, handlers: Mapping[str, Callable[[Settings, ConfigNode], None]], name: str, node: ConfigNode
) -> None:
    if name in handlers and not is_empty(node):
        handlers[name](settings, node)


def _list(top: ConfigNode, name: str) -> list[ConfigNode]:
    return top.members[name].items if name in top.members else []


def _credentials(draft: Draft, section: ConfigNode | None) -> dict[str, ConfigNode]:
    """Return the values of `credential_list` by name."""
    found: dict[str, ConfigNode] = {}
    for entry in section.items if section is not None else ():
        name, values = entry.members.get("credential_name"), entry.members.get("credential_values")
        if name is not None and name.word and values is not None:
            found[name.word] = values
            draft.exact(name, "providers")
        if (info := entry.members.get("credential_info")) is not None:
            draft.approximate(info, "", "not needed: a description")
    return found


def _finish(draft: Draft, settings: Settings, deployments: Deployments) -> None:
    """Apply what concerns all models, once all are known."""
    models = {each["name"]: each for each in draft.config.get("models", [])}
    several = any(len(each["targets"]) > 1 for each in models.values())
    for model in models.values():
        _strategy(model, deployments)
        for target in model["targets"] if settings.concurrent is not None else ():
            target.setdefault("concurrent", settings.concurrent)
    _fall_back(draft, settings, models)
    for alias, name, node in settings.aliases:
        if name in models:
            models[name].setdefault("aliases", []).append(alias)
            draft.exact(node, f"models.{name}.aliases")
        else:
            draft.by_hand(node, f"{quote_name(name)} is not a model of this file")
    for provider in draft.config.get("providers", []) if settings.provider_timeout is not None else ():
        provider["timeouts"] = {"first_byte": settings.provider_timeout}
    if several or settings.fallbacks:
        draft.section("routing").setdefault("strategy", "weighted")


def _fall_back(draft: Draft, settings: Settings, models: Mapping[str, ConfigBlock]) -> None:
    """Append the targets of fallbacks to the models that fall back to them, with a weight of 0."""
    own = {name: list(each["targets"]) for name, each in models.items()}
    for source, fallbacks, node in settings.fallbacks:
        unknown = [name for name in [*([] if source == "*" else [source]), *fallbacks] if name not in models]
        if unknown:
            draft.by_hand(node, f"{quote_name(unknown[0])} is not a model of this file")
            continue
        draft.approximate(node, "models.targets", "targets of weight 0, called when all others are out")
        for model in models.values() if source == "*" else [models[source]]:
            there = [(each["provider"], each.get("model")) for each in model["targets"]]
            spare = [each for name in fallbacks for each in own[name]]
            model["targets"] += [
                {**each, "weight": 0} for each in spare if (each["provider"], each.get("model")) not in there
            ]


def _strategy(model: ConfigBlock, deployments: Deployments) -> None:
    """Order the targets, or weigh them as LiteLLM's shuffle does: by `weight`, else by `rpm`, else by `tpm`."""
    targets = model["targets"]
    if any(id(each) in deployments.order for each in targets):
        targets.sort(key=lambda each: deployments.order.get(id(each), float("inf")))
        model["strategy"] = "priority"
        return
    key = next((each for each in ("weight", "rpm", "tpm") if any(each in target for target in targets)), None)
    weights = [target.pop("weight", 0) if key == "weight" else target.get(key or "", 0) for target in targets]
    if key is not None and len(targets) > 1 and any(weights):
        scale = 1 if all(isinstance(each, int) for each in weights) else 1000
        for target, weight in zip(targets, weights, strict=True):
            target["weight"] = min(round(weight * scale), 1_000_000)

"""Add providers that the configuration does not list: those that the environment names or has keys for.

Without a configuration the stub is added where there are none; a configuration without any provider is an error.
The usual variables of a type are in its row (`Service.key_env`, `Service.base_url_env`). Begin reading at
`add_implicit_providers`.
"""

from __future__ import annotations

from llmproxy.config.cross_checks import entries, is_own_address, word
from llmproxy.config.document import ConfigNode
from llmproxy.config.environment import Environment, Variable
from llmproxy.config.legacy_keys import COMPATIBLE_TYPE, COMPATIBLE_VARIABLES, MODEL_MAP
from llmproxy.config.problems import Mark, Problem
from llmproxy.config.provider_types import service_of
from llmproxy.providers.service import Service
from llmproxy.registry import names

STUB = "stub"


def add_implicit_providers(
    top: ConfigNode, environment: Environment, written: bool, any_variable: bool = False
) -> tuple[str, list[Problem]]:
    """Add the providers that variables name; without any configured provider, add those whose keys are set.

    Return a description of the reason in the second case, and problems. `written` says that there is a configuration,
    which has to get a provider then; `any_variable`, that every variable counts as present.
    """
    adder = _Adder(top, environment)
    configured = any(top.members[name].value is not None for name in ("llm", "providers") if name in top.members)
    mapping = environment.filled(MODEL_MAP)
    if mapping and not configured and "default_provider" not in top.members:
        # What the map leaves over is the stub's, beside providers with keys too.
        mark = Mark(source=mapping.place)
        stub = ConfigNode(value=STUB, mark=mark, literal=True, variables=(mapping.place,))
        top.members["default_provider"] = stub
    for name in _names_in_variables(top):
        adder.add(name, named=True)
    if configured:
        return "", adder.problems
    usual = [name for name in names("providers") if adder.usual(name) and adder.add(name)]
    if not usual and written and not entries(top):
        return "", [*adder.problems, _no_provider(top, any_variable)]
    if not usual and "default_provider" not in top.members:
        adder.add(STUB, everything=True)
        return f"{adder.lacking()}, so the stub answers every model", adder.problems
    return "the providers whose variables are set", adder.problems


def _no_provider(top: ConfigNode, any_variable: bool) -> Problem:
    section = top.members.pop("providers", None)  # of which nothing else is to be said
    mark = top.mark if section is None else section.key_mark or section.mark
    keys = [service.key_env for type_ in names("providers") if (service := service_of(type_)) and service.origin]
    variable = next(key for key in keys if key)
    remedy = (
        f"add one, such as `- {{name: stub, type: stub}}`, which needs no key, or set a variable such as {variable}"
    )
    if any_variable:
        message = f"names no provider; it can start only where the key variable of one is set, such as {variable}"
        return Problem(mark=mark, key="providers", message=message, code="no-provider", severity="warning")
    return Problem(mark=mark, key="providers", message=f"there is no provider; {remedy}", code="no-provider")


def _names_in_variables(top: ConfigNode) -> list[str]:
    """Return the provider names that come from variables."""
    nodes = [top.members[name] for name in ("default_provider",) if name in top.members]
    for model in top.members["models"].items if "models" in top.members else []:
        targets = model.members["targets"].items if "targets" in model.members else []
        nodes += [target.members["provider"] for target in targets if "provider" in target.members]
    return [node.word for node in nodes if node.literal and node.word and node.variables]


class _Adder:
    """Adds entries to `providers` from variables."""

    def __init__(self, top: ConfigNode, environment: Environment) -> None:
        self.problems: list[Problem] = []
        self._top = top
        self._environment = environment
        self._taken: set[str] = set()
        self._answered: set[str] = set()

    def usual(self, type_: str) -> bool:
        """Return whether the environment has the key of that type, or its address if it has no default one, or other
        variables that name it."""
        service = service_of(type_)
        if service is None:
            return False
        name = service.key_env if service.origin else service.base_url_env
        if name and name not in self._taken and _filled(service, name, self._environment):
            return True
        return any(all(_filled(service, each, self._environment) for each in names_) for names_ in service.usual)

    def lacking(self) -> str:
        """Return why the environment names no provider."""
        for service in filter(None, map(service_of, names("providers"))):
            with_address = ((service.key_env, service.base_url_env),) if service.origin is None else ()
            for first, *others in (*service.usual, *with_address):
                missing = [each for each in others if each and not _filled(service, each, self._environment)]
                if first and missing and _filled(service, first, self._environment):
                    return f"{first} is set without {' and '.join(missing)}"
        return "no key variable is set"

    def add(self, type_: str, *, named: bool = False, everything: bool = False) -> bool:
        """Add the provider of that type under its name, unless the name is in use or the type is unknown."""
        if type_ not in names("providers") or any(word(entry, "name") == type_ for entry in entries(self._top)):
            return False
        place = Mark(source="the environment")
        members = {name: ConfigNode(value=type_, mark=place, literal=True) for name in ("name", "type")}
        for key, variable in _variables(type_, self._environment, named).items():
            if value := self._environment.filled(variable):
                self._taken.add(variable)
                members |= self._member(key, variable, value)
        members |= self._switched(type_) if "api_key" not in members else {}
        models = ["*"] if everything else None if named else self._left_to(type_)
        if models is not None:
            nodes = [ConfigNode(value=model, mark=place, literal=True) for model in models]
            members["models"] = ConfigNode(value=nodes, mark=place)
        providers = self._top.members.get("providers")
        if providers is None or not isinstance(providers.value, list):
            providers = self._top.members["providers"] = ConfigNode(value=[], mark=place)
        providers.items.append(ConfigNode(value=members, mark=place))
        return True

    def _switched(self, type_: str) -> dict[str, ConfigNode]:
        """Return the settings that variables with a credential switch on."""
        service, members = service_of(type_), dict[str, ConfigNode]()
        for key, variable in service.switches.items() if service else ():
            if value := self._environment.filled(variable):
                place = Mark(source=value.place)
                members[key] = ConfigNode(value=True, mark=place, literal=True, variables=(value.place,))
        return members

    def _left_to(self, type_: str) -> list[str] | None:
        """Return the models that are left to that type, None for all of its own: nothing fails over from one provider
        to another that nobody configured."""
        service = service_of(type_)
        patterns = service.patterns if service else ()
        left = [pattern for pattern in patterns if pattern not in self._answered]
        self._answered.update(patterns)
        return left if len(left) < len(patterns) else None

    def _member(self, key: str, variable: str, value: Variable) -> dict[str, ConfigNode]:
        place = Mark(source=value.place)
        if key == "base_url" and is_own_address(self._top, value.value):
            message = "is the address of this proxy, so it is meant for clients; it is ignored"
            self.problems.append(Problem(mark=place, message=message, code="calls-itself", severity="warning"))
            return {}
        members = {key: ConfigNode(value=value.value.strip(), mark=place, literal=True, variables=(value.place,))}
        if variable == COMPATIBLE_VARIABLES["api_key"]:
            members["auth"] = ConfigNode(value="passthrough", mark=place, literal=True)
        return members


def _filled(service: Service, name: str, environment: Environment) -> bool:
    """Return whether a variable is set that the service takes."""

    def value_of(each: str) -> str:
        variable = environment.filled(each)
        return "" if variable is None else variable.value.strip()

    return bool(value_of(name)) and service.uses_variable(name, value_of)


def _variables(type_: str, environment: Environment, named: bool) -> dict[str, str]:
    """Return the variables of a type by the key that they set."""
    service = service_of(type_)
    if service is None:
        return {}
    usual = {"api_key": service.key_env, "base_url": service.base_url_env}
    for key, variables in service.variables.items():
        usual[key] = next((name for name in variables if _filled(service, name, environment)), None)
    if named and type_ == COMPATIBLE_TYPE:
        usual |= {key: name for key, name in COMPATIBLE_VARIABLES.items() if environment.filled(name)}
    return {key: variable for key, variable in usual.items() if variable}

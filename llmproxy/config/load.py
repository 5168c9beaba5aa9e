"""From what the user gave, a file, the environment, flags, to a `Config`, or to everything that is wrong with it.

The steps stand in `_Loading.run`: older spellings, what the environment and flags say over the file, variables,
providers nobody wrote down, then each section against its schema and all of them against each other. `validate-config`
and `serve` both go through here; nothing is started. Flags win over the environment, the environment over the file, the
file over defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmproxy.config import cross_checks as check
from llmproxy.config import implicit_providers as zero
from llmproxy.config import legacy_keys as spellings
from llmproxy.config.components import read_llm, read_middlewares, read_providers
from llmproxy.config.document import Node, from_python, read
from llmproxy.config.environment import Environment, Variable, expand, read_dotenv
from llmproxy.config.problems import ConfigError, Mark, Problem, ordered
from llmproxy.config.schema import SECTIONS, Config, Server
from llmproxy.config.stores import read_stores, unfold
from llmproxy.config.validate import fit, unknown_key
from llmproxy.registry import nearest

FILES = ("llmproxy.yaml", "config.yaml")
FILE_VARIABLE = "LLMPROXY_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value that wins over file and environment: `path` is dotted, `source` what to call it, such as `--port`.

    `middlewares.TYPE` switches that middleware on, first in the list when it is not there yet, and `value` are settings
    of it that win.
    """

    path: str
    value: object
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of it. `config` is None when one of `problems` is an error, the rest are warnings.

    `path` is the file as it was named, None without one; `unwritten` says where the providers come from when nobody
    names one. `key_sources` tells per provider where its key comes from; `dotenv` holds what `.env` adds.
    """

    config: Config | None
    problems: Sequence[Problem]
    path: str | None = None
    unwritten: str = ""
    key_sources: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> list[Problem]:
        """The problems that keep nothing from starting."""
        return [each for each in self.problems if each.severity == "warning"]

    def checked(self) -> Config:
        """The configuration. Raises ConfigError with everything that is wrong with it."""
        if self.config is None:
            raise ConfigError([each for each in self.problems if each.severity == "error"])
        return self.config


def load(
    path: str | None = None,
    *,
    overrides: Iterable[Override] = (),
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    no_env: bool = False,
) -> Loaded:
    """The configuration in the file at `path`, or in the one found in `directory` (the working directory), or in none.

    `no_env` reads nothing from the environment: every variable counts as present, whatever it holds.
    """
    environ = {} if no_env else os.environ if environ is None else environ
    directory = directory or Path()
    if path is None and (named := environ.get(FILE_VARIABLE, "").strip()):
        path = named
    if path is None:
        path = next((name for name in FILES if (directory / name).exists()), None)
    if path is None:
        return _Loading(Node(value={}, mark=Mark(source="config")), directory, environ, no_env).run(overrides)
    file = directory / Path(path).expanduser()
    top, problems = read(file, path)
    if top is None:
        return Loaded(config=None, problems=problems, path=path)
    return _Loading(top, file.parent, environ, no_env, path, problems).run(overrides)


def load_from_python(
    config: str | os.PathLike[str] | Mapping[str, object] | None,
    overrides: Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Loaded:
    """The configuration in a file, in a mapping of the same shape, or the one that is found.

    `overrides` are sections or keys of `server`. Raises TypeError for any other.
    """
    given = [each for name, value in overrides.items() for each in _named(name, value)]
    if isinstance(config, Mapping):
        environ = os.environ if environ is None else environ
        return _Loading(from_python(config, "config"), directory or Path(), environ, False).run(given)
    path = None if config is None else os.fspath(config)
    return load(path, overrides=given, environ=environ, directory=directory)


def _named(name: str, value: object) -> list[Override]:
    """A keyword argument as overrides: a section member by member, so that it changes only what it names."""
    if name in SECTIONS:
        if isinstance(value, Mapping):
            return [Override(path=f"{name}.{key}", value=each, source=f"{name}=") for key, each in value.items()]
        return [Override(path=name, value=value, source=f"{name}=")]
    if name in Server.model_fields:
        return [Override(path=f"server.{name}", value=value, source=f"{name}=")]
    known = [*Server.model_fields, *SECTIONS]
    close = nearest(name, known)
    raise TypeError(f"unknown setting: {name!r}" + (f"; did you mean {close!r}?" if close else ""))


class _Loading:
    """One way from a tree to a Config."""

    def __init__(
        self,
        top: Node,
        directory: Path,
        environ: Mapping[str, str],
        no_env: bool,
        path: str | None = None,
        problems: Iterable[Problem] = (),
    ) -> None:
        self._top = top
        self._directory = directory
        self._path = path
        self._no_env = no_env
        self._problems = list(problems)
        shown = str(Path(path).parent / ".env") if path else ".env"
        self._dotenv, warnings = ({}, []) if no_env else read_dotenv(directory / ".env", shown)
        self._problems += warnings
        self._environment = Environment(environ, self._dotenv, shown)

    def run(self, overrides: Iterable[Override]) -> Loaded:
        top = self._top
        self._problems += spellings.modernise(top)
        self._problems += spellings.overlay_environment(top, self._environment)
        for each in overrides:
            self._override(each)
        self._problems += _drop_lone_key(top)
        self._fill(top)
        self._problems += unfold(top, self._directory)
        unwritten, problems = zero.complete(top, self._environment)
        self._problems += problems
        config = self._read()
        self._problems += check.check(top)
        problems = ordered(self._problems)
        fine = all(each.severity != "error" for each in problems)
        return Loaded(
            config=config if fine else None,
            problems=problems,
            path=self._path,
            unwritten=unwritten,
            key_sources=_key_sources(top),
            dotenv=self._dotenv,
        )

    def _override(self, override: Override) -> None:
        made = from_python(override.value, override.source)
        section, _, type_ = override.path.partition(".")
        if section == "middlewares" and type_:
            self._switch_on(type_, made, override.source)
            return
        made.literal = isinstance(made.value, str)
        spellings.put(self._top, override.path, made, replace=True)

    def _switch_on(self, type_: str, settings: Node, source: str) -> None:
        """Have the middleware `type_`, with these settings before those of the file."""
        section = self._top.members.get("middlewares")
        if section is None or section.blank:
            section = from_python([], source)
            spellings.put(self._top, "middlewares", section, replace=True)
        if not isinstance(section.value, list):
            return  # which is told as the mistake that it is
        entry = next((each for each in section.items if check.word(each, "type") == type_), None)
        if entry is None:
            entry = from_python({"type": type_}, source)
            section.value.insert(0, entry)
        entry.members.pop("enabled", None)
        for name, member in settings.members.items():
            member.literal = isinstance(member.value, str)
            spellings.put(entry, f"config.{name}", member, replace=True)

    def _fill(self, node: Node, *, lenient: bool = False) -> None:
        """Put the values of variables in their places below `node`."""
        if isinstance(node.value, str):
            self._expand(node, lenient)
        elif isinstance(node.value, list):
            for item in node.value:
                self._fill(item, lenient=lenient)
        elif isinstance(node.value, dict):
            if "enabled" in node.value:
                self._fill(node.value["enabled"], lenient=lenient)
                lenient = lenient or check.disabled(node)
            for name, member in node.value.items():
                if name != "enabled":
                    self._fill(member, lenient=lenient)

    def _expand(self, node: Node, lenient: bool) -> None:
        assert isinstance(node.value, str)
        if node.literal:
            return
        made = expand(node.value, self._environment)
        if made.fault:
            self._problems.append(node.problem(made.fault, "variable-syntax"))
            node.stand_in = True
        elif made.missing:
            if not lenient and not self._no_env:
                said = "variable {} is not set" if len(made.missing) == 1 else "variables {} are not set"
                names = " and ".join(made.missing)
                self._problems.append(node.problem(f"environment {said.format(names)}", "missing-variable"))
            node.value, node.stand_in = expand(node.value, _Anything()).text, True
        else:
            node.value, node.variables = made.text, made.variables
            node.blank = made.optional and not made.text

    def _read(self) -> Config | None:
        """Every section against its schema."""
        top = self._top
        for name, node in top.members.items():
            if name not in SECTIONS:
                self._problems.append(unknown_key(node, list(SECTIONS), _homes()))
        sections = {name: node for name, node in top.members.items() if name in SECTIONS}
        plain = Node(value={k: v for k, v in sections.items() if k not in _COMPONENTS}, mark=top.mark)
        config, problems = fit(plain, Config, self._directory, _homes())
        self._problems += problems
        parts: dict[str, object] = {"directory": self._directory.absolute()}
        for name, reader in _COMPONENTS.items():
            if name in sections and not sections[name].blank:
                parts[name], problems = reader(sections[name], self._directory)
                self._problems += problems
        return config.model_copy(update=parts) if config else None


_COMPONENTS = {
    "llm": read_llm,
    "providers": read_providers,
    "stores": read_stores,
    "middlewares": read_middlewares,
}


class _Anything:
    """Variables that are all there."""

    def find(self, name: str) -> Variable | None:
        return Variable(value="placeholder", place=f"environment variable {name}")


def _homes() -> dict[str, str]:
    """Where the keys of plain sections belong."""
    homes: dict[str, str] = {}
    for section in ("logging", "server"):
        model = Config.model_fields[section].annotation
        assert model is not None
        homes |= {name: f"{section}.{name}" for name in model.model_fields}
    return homes


def _drop_lone_key(top: Node) -> list[Problem]:
    """LLM_API_KEY belongs to other programs too: without an upstream it means nothing."""
    llm = top.members.get("llm")
    if llm is None or set(llm.members) != {"api_key"}:
        return []
    key = llm.members["api_key"]
    if not key.variables:
        return []
    del top.members["llm"]
    said = "is ignored; set LLM_BASE_URL or LLM_TYPE too, or add a section `llm` to the file"
    return [Problem(mark=key.mark, message=said, code="unused-variable", severity="warning")]


def _key_sources(top: Node) -> dict[str, str]:
    """Per provider, in words, where its key comes from."""
    sources = {check.word(entry, "name"): _key_source(entry) for entry in check.entries(top)}
    if check.LLM in top.members:
        sources[check.LLM] = _key_source(top.members[check.LLM])
    return sources


def _key_source(entry: Node) -> str:
    key = entry.members.get("api_key")
    if key is None or key.blank or not key.word:
        return "none (the client's own)"
    source = " and ".join(key.variables) or (key.mark.source if key.literal else "config file")
    return f"the client's own, else {source}" if check.word(entry, "auth") == "passthrough" else source

"""Read file, environment and flags into a `Config`, or into a list of every problem in them.

The steps are in `_Loading.run`: older spellings, overrides from the environment and flags, variables, implicit
providers, then each section against its schema and all of them against each other. `validate-config` and `serve` both
use this; nothing is started. Flags win over the environment, the environment over the file, the file over defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from llmproxy.config import cross_checks, implicit_providers, legacy_keys
from llmproxy.config.auth import KeyConfig
from llmproxy.config.auth_checks import check_auth
from llmproxy.config.components import read_llm, read_middlewares, read_providers
from llmproxy.config.document import ConfigNode, check_folded, from_python, read
from llmproxy.config.environment import Environment, read_dotenv
from llmproxy.config.keys_file import read_keys_file
from llmproxy.config.legacy_limits import overlay_limits
from llmproxy.config.other_gateways import gateway_of
from llmproxy.config.overrides import Override, apply_override, keyword_overrides
from llmproxy.config.pasted_keys import check_pasted_keys
from llmproxy.config.problems import ConfigError, Mark, Problem, sort_problems
from llmproxy.config.routes import read_models, read_routing
from llmproxy.config.schema import SECTIONS, Config
from llmproxy.config.source_descriptions import component_places, key_sources
from llmproxy.config.stores import read_stores, unfold_stores
from llmproxy.config.validate import read_model, unknown_section
from llmproxy.config.variable_expansion import expand_values
from llmproxy.server.file_watch import FileStamp, file_stamp

FILES = ("llmproxy.yaml", "config.yaml")
MAX_PROBLEMS = 200
FILE_VARIABLE = "LLMPROXY_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The result of loading. `config` is None when one of `problems` is an error; otherwise all are warnings.

    `path` is the file as the user named it, None without a file. `implicit` describes where the providers come from
    when the configuration names none. `key_sources` describes, per provider, where its key comes from. `dotenv` holds
    the variables of `.env`. `places` says where entries of components stand, see `component_places`. `file_keys` are
    the client keys in `auth.keys_file`, which had the stamp `keys_stamp`, and `tree` is what these are checked against.
    `again` loads the same once more, with the files as they are then; None where the configuration is no file. `source`
    does so too, in another process, which it is pickled for; for a configuration from Python it reads nothing again.
    `files` are the paths of the configuration and of its `.env`, whether they exist or not, with their stamps.
    """

    config: Config | None
    problems: Sequence[Problem]
    path: str | None = None
    implicit: str = ""
    key_sources: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[tuple[str, str | int], str] = field(default_factory=dict)
    file_keys: Sequence[KeyConfig] = ()
    keys_stamp: FileStamp = None
    again: Callable[[], Loaded] | None = None
    source: Callable[[], Loaded] | None = None
    files: Mapping[str, FileStamp] = field(default_factory=dict)
    tree: ConfigNode | None = None

    @property
    def warnings(self) -> list[Problem]:
        """Return the problems that do not prevent the start."""
        return [each for each in self.problems if each.severity == "warning"]

    def checked(self) -> Config:
        """Return the configuration. Raise ConfigError with every problem."""
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
    """Load the file at `path`, or the usual file in `directory` (the working directory), or no file.

    `no_env` ignores the environment: every variable counts as present, with any value.
    """
    # A copy, since `serve` adds the variables of `.env` for libraries, and those must not win when it has changed.
    environ = {} if no_env else dict(os.environ) if environ is None else environ
    overrides = list(overrides)
    again = partial(load, path, overrides=overrides, environ=environ, directory=directory, no_env=no_env)
    stamps = _stamps(path, environ, directory or Path())
    loaded = _load(path, overrides, environ, directory or Path(), no_env)
    return replace(loaded, again=again, source=again, files=stamps)


def usual_file() -> str | None:
    """Return the file that is loaded when none is named; None when there is none."""
    return _find_file(None, os.environ, Path())


def _find_file(path: str | None, environ: Mapping[str, str], directory: Path) -> str | None:
    """Return the path of the file as the user named it, or the usual one that exists."""
    if path is None and (variable := environ.get(FILE_VARIABLE, "").strip()):
        path = variable
    if path is None:
        path = next((name for name in FILES if (directory / name).exists()), None)
    return path


def _stamps(path: str | None, environ: Mapping[str, str], directory: Path) -> dict[str, FileStamp]:
    """Return the files that are about to be read, so that a change while they are read counts as one."""
    name = _find_file(path, environ, directory)
    file = None if name is None else directory / Path(name).expanduser()
    files = [directory / ".env"] if file is None else [file, file.parent / ".env"]
    return {str(each.absolute()): file_stamp(str(each)) for each in files}


def _load(
    path: str | None, overrides: Sequence[Override], environ: Mapping[str, str], directory: Path, no_env: bool
) -> Loaded:
    path = _find_file(path, environ, directory)
    if path is None:
        nothing = ConfigNode(value={}, mark=Mark(source="config"))
        return _Loading(nothing, directory, environ, no_env, written=False).run(overrides)
    file = directory / Path(path).expanduser()
    top, problems = read(file, path)
    if top is None:
        return Loaded(config=None, problems=problems, path=path)
    if (gateway := gateway_of(top)) is not None:
        message = f"is a configuration of {gateway.title}; turn it into one of llmproxy: llmproxy import {path}"
        problem = Problem(mark=Mark(source=path), message=message, code="other-gateway")
        return Loaded(config=None, problems=[problem], path=path)
    return _Loading(top, file.parent, environ, no_env, path, problems).run(overrides)


def load_from_python(
    config: str | os.PathLike[str] | Mapping[str, object] | None,
    overrides: Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Loaded:
    """Load a file, a mapping of the same shape, or the usual file.

    `overrides` are sections, keys of `server` or names of OPTIONS. Raises TypeError for any other.
    """
    from_keywords = [each for name, value in overrides.items() for each in keyword_overrides(name, value)]
    if isinstance(config, Mapping):
        environ = dict(os.environ) if environ is None else environ
        directory = directory or Path()
        source = partial(load_from_python, config, overrides, environ=environ, directory=directory)
        try:
            top = from_python(config, "config")
        except RecursionError:
            problem = Problem(mark=Mark(source="config"), message="is nested too deeply", code="syntax")
            return Loaded(config=None, problems=[problem])
        return replace(_Loading(top, directory, environ, False).run(from_keywords), source=source)
    path = None if config is None else os.fspath(config)
    return load(path, overrides=from_keywords, environ=environ, directory=directory)


class _Loading:
    """Turn one tree into a Config."""

    def __init__(
        self,
        top: ConfigNode,
        directory: Path,
        environ: Mapping[str, str],
        no_env: bool,
        path: str | None = None,
        problems: Iterable[Problem] = (),
        *,
        written: bool = True,
    ) -> None:
        self._top = top
        self._keys_stamp: FileStamp = None
        self._directory = directory
        self._path = path
        self._no_env = no_env
        self._written = written
        self._problems = list(problems)
        display_name = str(Path(path).parent / ".env") if path else ".env"
        self._dotenv, warnings = ({}, []) if no_env else read_dotenv(directory / ".env", display_name)
        self._problems += warnings
        self._environment = Environment(environ, self._dotenv, display_name)

    def run(self, overrides: Iterable[Override]) -> Loaded:
        top = self._top
        self._problems += legacy_keys.modernise(top, self._environment)
        self._problems += legacy_keys.overlay_environment(top, self._environment)
        self._problems += overlay_limits(top, self._environment)
        for each in overrides:
            apply_override(top, each)
        self._problems += _drop_lone_key(top)
        self._problems += check_folded(top)
        self._problems += expand_values(top, self._environment, lenient=self._no_env)
        self._problems += check_pasted_keys(top)
        self._problems += unfold_stores(top, self._directory)
        implicit, problems = implicit_providers.add_implicit_providers(
            top, self._environment, self._written, any_variable=self._no_env
        )
        self._problems += problems
        config = self._read()
        self._problems += cross_checks.cross_check(top)
        file_keys, in_file = self._keys_file(config)
        self._problems += check_auth(top, in_file)
        problems = sort_problems(self._problems)
        if len(problems) > MAX_PROBLEMS:
            more = f"{len(problems) - MAX_PROBLEMS:,} more problems are not shown"
            severity = min(each.severity for each in problems[MAX_PROBLEMS:])  # an error, if one of them is
            problems[MAX_PROBLEMS:] = [Problem(mark=top.mark, message=more, code="more", severity=severity)]
        fine = all(each.severity != "error" for each in problems)
        return Loaded(
            config=config if fine else None,
            problems=problems,
            path=self._path,
            implicit=implicit,
            key_sources=key_sources(top),
            dotenv=self._dotenv,
            places=component_places(top),
            file_keys=file_keys,
            keys_stamp=self._keys_stamp,
            tree=top,
        )

    def _keys_file(self, config: Config | None) -> tuple[Sequence[KeyConfig], ConfigNode | None]:
        """Read `auth.keys_file`, where there is one."""
        if config is None or config.auth.keys_file is None or self._no_env:
            return (), None
        file = config.auth.keys_file
        path = self._directory / Path(file).expanduser()
        self._keys_stamp = file_stamp(str(path))
        keys, problems, tree = read_keys_file(file, self._directory)
        if not path.exists():
            message = f"file not found: {file!r}; create it with the line `keys: []`"
            problems = [self._top.members["auth"].members["keys_file"].problem(message, "unreadable")]
        self._problems += problems
        return keys, tree

    def _read(self) -> Config | None:
        """Read every section with its schema."""
        top = self._top
        for name, node in top.members.items():
            if name not in SECTIONS:
                self._problems.append(unknown_section(node, list(SECTIONS), _homes()))
        sections = {name: node for name, node in top.members.items() if name in SECTIONS}
        plain = ConfigNode(value={k: v for k, v in sections.items() if k not in _COMPONENTS}, mark=top.mark)
        config, problems = read_model(plain, Config, self._directory, _homes())
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
    "models": read_models,
    "routing": read_routing,
    "stores": read_stores,
    "middlewares": read_middlewares,
}


def _homes() -> dict[str, str]:
    """Map the keys of plain sections to their full paths, for hints about keys in the wrong section."""
    homes: dict[str, str] = {}
    for section in ("logging", "telemetry", "server"):
        model = Config.model_fields[section].annotation
        assert model is not None
        homes |= {name: f"{section}.{name}" for name in model.model_fields}
    return homes


def _drop_lone_key(top: ConfigNode) -> list[Problem]:
    """Drop LLM_API_KEY without an upstream: other programs use the variable too."""
    llm = top.members.get("llm")
    if llm is None or set(llm.members) != {"api_key"}:
        return []
    key = llm.members["api_key"]
    if not key.variables:
        return []
    del top.members["llm"]
    message = "is ignored; set LLM_BASE_URL or LLM_TYPE too, or add a section `llm` to the file"
    return [Problem(mark=key.mark, message=message, code="unused-variable", severity="warning")]

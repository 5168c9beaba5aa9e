"""Find a component by its name in a configuration: built in, in a file of the user, or an entry point of a package.

`BUILTIN` lists classes as "module:Class", so that only configured ones are imported. Every mistake of a user raises a
`RegistryError` with the next step. Begin reading at `find_component`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

from llmproxy.settings import Strict
from llmproxy.user_code import line_of

log = logging.getLogger(__name__)


class RegistryError(ValueError):
    """A component cannot be loaded. The message has the reason and the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of component: its name in messages, the base classes of its components and their configs, and its group
    of entry points."""

    noun: str
    base: str
    config: str
    group: str
    builtin: Mapping[str, str]


_COMPATIBLE = "llmproxy.providers.compatible:Compatible"

BUILTIN: Mapping[str, Kind] = {
    "providers": Kind(
        noun="provider type",
        base="llmproxy.target:Provider",
        config="llmproxy.providers.base:ProviderConfig",
        group="llmproxy.providers",
        builtin={
            "openai": "llmproxy.providers.openai:OpenAI",
            "anthropic": "llmproxy.providers.anthropic:Anthropic",
            "azure": "llmproxy.providers.azure:Azure",
            "bedrock": "llmproxy.providers.bedrock:Bedrock",
            "gemini": "llmproxy.providers.gemini:Gemini",
            "vertex": "llmproxy.providers.vertex:Vertex",
            "stub": "llmproxy.providers.stub:Stub",
            "openai-compatible": _COMPATIBLE,
            "ollama": _COMPATIBLE,
            "lmstudio": _COMPATIBLE,
            "localai": _COMPATIBLE,
            "llamacpp": _COMPATIBLE,
            "vllm": _COMPATIBLE,
            "groq": _COMPATIBLE,
            "mistral": _COMPATIBLE,
            "deepseek": _COMPATIBLE,
            "together": _COMPATIBLE,
            "fireworks": _COMPATIBLE,
            "openrouter": _COMPATIBLE,
            "xai": _COMPATIBLE,
            "cerebras": _COMPATIBLE,
            "perplexity": _COMPATIBLE,
        },
    ),
    "middlewares": Kind(
        noun="middleware",
        base="llmproxy.middleware.base:Middleware",
        config="llmproxy.settings:Strict",
        group="llmproxy.middlewares",
        builtin={
            "trace": "llmproxy.middleware.trace:Trace",
            "printer": "llmproxy.middleware.printer:Printer",
            "audit": "llmproxy.middleware.audit:Audit",
            "sessions": "llmproxy.middleware.sessions:Sessions",
            "cache": "llmproxy.middleware.cache:Cache",
        },
    ),
    "strategies": Kind(
        noun="strategy",
        base="llmproxy.route:Strategy",
        config="llmproxy.settings:Strict",
        group="llmproxy.strategies",
        builtin={
            "priority": "llmproxy.routing.strategies:Priority",
            "weighted": "llmproxy.routing.strategies:Weighted",
            "round_robin": "llmproxy.routing.strategies:RoundRobin",
            "least_busy": "llmproxy.routing.strategies:LeastBusy",
            "fastest": "llmproxy.routing.strategies:Fastest",
            "cheapest": "llmproxy.routing.strategies:Cheapest",
            "sticky": "llmproxy.routing.strategies:Sticky",
        },
    ),
    "stores": Kind(
        noun="store type",
        base="llmproxy.stores.base:Store",
        config="llmproxy.stores.base:StoreConfig",
        group="llmproxy.stores",
        builtin={
            "memory": "llmproxy.stores.memory:MemoryStore",
            "disk": "llmproxy.stores.disk:DiskStore",
            "redis": "llmproxy.stores.redis:RedisStore",
        },
    ),
}

_MOST_COMPARED = 500

_FILE = re.compile(r"(?P<file>.*\.py)(:(?P<name>[^/\\:]*))?|(?P<other>(\.{1,2}|~)?[/\\].*)", re.DOTALL)


def find_component(kind: str, name: str, directory: Path) -> type:
    """Find the class `name` among components of `kind` ("providers", "middlewares", "strategies", "stores").

    `path/file.py:Class` is loaded from that file, relative to `directory`. Raises RegistryError.
    """
    spec = BUILTIN[kind]
    if reference := spec.builtin.get(name):
        return _import(reference)
    if match := _FILE.fullmatch(name):
        if not match["name"]:
            raise RegistryError(f"{name!r} has no class name; write path/file.py:ClassName")
        component = _from_file(Path(directory, Path(match["file"]).expanduser()), match["name"])
    else:
        component = _from_entry_point(spec, name)
    return _check(component, spec, name)


def config_of(component: type) -> type[Strict]:
    """Return the nested `Config` of a component, its own or that of a base class."""
    config = next((vars(each)["Config"] for each in component.__mro__ if "Config" in vars(each)), None)
    if not (isinstance(config, type) and issubclass(config, Strict)):
        raise RegistryError(f"{component.__name__} needs a nested Config, a subclass of llmproxy.settings.Strict")
    return config


def names(kind: str) -> list[str]:
    """List the built-in names of `kind`."""
    return list(BUILTIN[kind].builtin)


def nearest(word: str, candidates: list[str]) -> str | None:
    """Return the candidate that `word` probably stands for; case, `-` and `_` do not count.

    Among very many, or for a very long word, none is looked for: comparing them all would take minutes.
    """
    if len(candidates) > _MOST_COMPARED or len(word) > _MOST_COMPARED:
        return None
    plain = {_plain(each): each for each in reversed(candidates)}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.65)
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return re.sub(r"[-_. ]", "", word).lower()


def _import(reference: str) -> type:
    module, _, name = reference.partition(":")
    component = getattr(importlib.import_module(module), name)
    assert isinstance(component, type)
    return component


def _from_file(path: Path, name: str) -> object:
    if not path.is_file():
        raise RegistryError(f"file not found: {str(path)!r}" + (" is a directory" if path.is_dir() else ""))
    module = _load(path.resolve())
    try:
        return vars(module)[name]
    except KeyError:
        own = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise RegistryError(f"class {name!r} not found in {str(path)!r}{_suggestion(name, own)}") from None


def _load(path: Path) -> ModuleType:
    """Load the module in `path` under a unique name. Return the same module while the file does not change."""
    state = path.stat()
    mark = hashlib.sha256(f"{path}|{state.st_mtime_ns}|{state.st_size}".encode()).hexdigest()[:16]
    unique = f"llmproxy_file_{mark}_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}"
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with _ImportErrors(str(path)):
        sys.modules[unique] = module
        spec.loader.exec_module(module)
    return module


class _ImportErrors:
    """A context that turns errors of an imported file into a RegistryError with the line."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._modules = set(sys.modules)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None or isinstance(fault, KeyboardInterrupt):
            return
        for name in set(sys.modules) - self._modules:
            if name.startswith("llmproxy_file_"):
                del sys.modules[name]
        lines = [frame for frame in traceback.extract_tb(trace) if frame.filename == self._place]
        if isinstance(fault, SyntaxError) and fault.filename == self._place:
            line = f", line {fault.lineno}"
        else:
            line = f", line {lines[-1].lineno}" if lines else ""
        what = fault.msg if isinstance(fault, SyntaxError) else str(fault)
        reason = f"{type(fault).__name__}: {what}" if what else type(fault).__name__
        inner = line_of(fault)
        if inner and not inner.startswith(f"{self._place}, "):
            reason += f" ({inner})"
        log.debug("%s cannot be imported", self._place, exc_info=fault)
        raise RegistryError(f"{self._place!r} cannot be imported{line}: {reason}") from fault


def _from_entry_point(kind: Kind, name: str) -> object:
    entry_points = importlib.metadata.entry_points(group=kind.group)
    for each in entry_points:
        if each.name == name:
            with _ImportErrors(each.value):
                return each.load()
    candidates = [*kind.builtin, *sorted(each.name for each in entry_points)]
    raise RegistryError(
        f"unknown {kind.noun}: {name!r}{_suggestion(name, candidates)}"
        + ("" if nearest(name, candidates) else "; for a class of your own write ./path/file.py:ClassName")
    )


def _suggestion(name: str, candidates: list[str]) -> str:
    if close := nearest(name, candidates):
        return f"; did you mean {close!r}?"
    return f"; available: {', '.join(candidates)}" if candidates else ""


def _check(component: object, kind: Kind, name: str) -> type:
    if not (isinstance(component, type) and issubclass(component, _import(kind.base))):
        raise RegistryError(f"{name!r} is not a {kind.noun}: it must be a subclass of {kind.base.replace(':', '.')}")
    if inspect.isabstract(component):
        missing = ", ".join(sorted(vars(component)["__abstractmethods__"]))
        raise RegistryError(f"{name!r} is abstract: it must define {missing}")
    if not issubclass(config_of(component), _import(kind.config)):
        raise RegistryError(f"{name!r}: its nested Config must be a subclass of {kind.config.replace(':', '.')}")
    return component

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmproxy.middleware.base import Middleware
from llmproxy.providers.base import ProviderConfig
from llmproxy.registry import BUILTIN, RegistryError, config_of, find_component, names, nearest
from llmproxy.route import Strategy
from llmproxy.settings import Strict
from llmproxy.stores.base import Store, StoreConfig
from llmproxy.target import Provider

TAG = """
from llmproxy.middleware.base import Middleware
from llmproxy.settings import Strict

class Tag(Middleware):
    class Config(Strict):
        team: str

class Plain(Middleware):
    pass

class Other:
    pass
"""
MINE = """
from llmproxy.providers.completion import CompletionProvider

class Mine(CompletionProvider):
    async def create_completion(self, request):
        return {}

class Unfinished(CompletionProvider):
    pass
"""


REST = """
from llmproxy.route import Strategy
from llmproxy.settings import Strict
from llmproxy.stores.base import StoreConfig
from llmproxy.stores.memory import MemoryStore

class Backwards(Strategy):
    class Config(Strict):
        start: int = 0

    def __init__(self, config):
        self.config = config

    def order(self, targets, request):
        return targets[::-1]

class Shelf(MemoryStore):
    class Config(StoreConfig):
        board: str = "upper"
"""


BASES = {"providers": Provider, "middlewares": Middleware, "strategies": Strategy, "stores": Store}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in BUILTIN for name in names(kind)])
def test_every_built_in_name_leads_to_a_class(kind: str, name: str) -> None:
    component = find_component(kind, name, Path())
    assert issubclass(component, BASES[kind])
    expected = {"providers": ProviderConfig, "stores": StoreConfig}.get(kind, Strict)
    assert issubclass(config_of(component), expected)


def test_a_class_is_found_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "tag.py").write_text(TAG)
    tag = find_component("middlewares", "./my/tag.py:Tag", tmp_path)
    assert issubclass(tag, Middleware)
    assert list(config_of(tag).model_fields) == ["team"]
    assert find_component("middlewares", f"{tmp_path}/my/tag.py:Tag", Path()) is tag
    assert find_component("middlewares", "my/tag.py:Tag", tmp_path) is tag


def test_a_class_without_settings_has_those_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(TAG)
    assert config_of(find_component("middlewares", "tag.py:Plain", tmp_path)) is Middleware.Config


def test_files_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    for folder, name in (("a", "First"), ("b", "Second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tag.py").write_text(TAG.replace("Tag", name))
    assert find_component("middlewares", "a/tag.py:First", tmp_path).__name__ == "First"
    assert find_component("middlewares", "b/tag.py:Second", tmp_path).__name__ == "Second"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(TAG)
    before = find_component("middlewares", "tag.py:Tag", tmp_path)
    (tmp_path / "tag.py").write_text(TAG.replace("team", "other_team"))
    after = find_component("middlewares", "tag.py:Tag", tmp_path)
    assert list(config_of(before).model_fields) == ["team"]
    assert list(config_of(after).model_fields) == ["other_team"]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("middlewares", "./nowhere.py:Tag", "file not found"),
        ("middlewares", "./tag.py", "has no class name; write path/file.py:ClassName"),
        ("middlewares", "./tag.py:", "has no class name"),
        ("middlewares", ".", "has no class name|unknown middleware"),
        ("middlewares", "./folder.py:Tag", "is a directory"),
        ("middlewares", "./tag.py:Tgg", "class 'Tgg' not found in .*; did you mean 'Tag'"),
        ("middlewares", "./tag.py:Zzzzz", "class 'Zzzzz' not found in .*; available: Tag, Plain, Other"),
        ("middlewares", "./tag.py:Other", "must be a subclass of llmproxy.middleware.base.Middleware"),
        ("providers", "./tag.py:Tag", "must be a subclass of llmproxy.target.Provider"),
        ("providers", "./mine.py:Unfinished", "is abstract: it must define create_completion"),
        ("providers", "opnai", "unknown provider type: 'opnai'; did you mean 'openai'"),
        ("providers", "something else", r"available: openai, .*a class of your own write \./path/file.py:ClassName"),
        ("middlewares", "tracer", "unknown middleware: 'tracer'; did you mean 'trace'?"),
    ],
)
def test_what_is_not_there_is_reported_with_what_to_do(tmp_path: Path, kind: str, name: str, text: str) -> None:
    (tmp_path / "tag.py").write_text(TAG)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(RegistryError, match=text):
        find_component(kind, name, tmp_path)


def test_an_own_provider_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert issubclass(find_component("providers", "./mine.py:Mine", tmp_path), Provider)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import os\n\nimport no_such_package\n", "line 3: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def broken(:\n", "line 1: SyntaxError: "),
        ("def inner():\n    raise RuntimeError\n\ninner()\n", "line 2: RuntimeError$"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
    ],
)
def test_a_fault_in_the_file_is_reported_with_its_line(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "tag.py").write_text(source)
    modules = set(sys.modules)
    with pytest.raises(RegistryError, match=text):
        find_component("middlewares", "./tag.py:Tag", tmp_path)
    assert not {name for name in set(sys.modules) - modules if name.startswith("llmproxy_file_")}


def test_interrupting_the_import_interrupts_the_program(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        find_component("middlewares", "./tag.py:Tag", tmp_path)


@pytest.mark.parametrize(("kind", "name"), [("strategies", "Backwards"), ("stores", "Shelf")])
def test_own_strategies_and_stores_are_found_in_files_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    (tmp_path / f"own_{kind}.py").write_text(REST)
    assert find_component(kind, f"./own_{kind}.py:{name}", tmp_path).__name__ == name
    install(tmp_path, f"llmproxy.{kind}", name.lower(), f"own_{kind}:{name}")
    monkeypatch.syspath_prepend(str(tmp_path))
    component = find_component(kind, name.lower(), Path())
    assert component.__name__ == name and issubclass(component, BASES[kind])


def install(site: Path, group: str, name: str, target: str) -> None:
    """Write a package in `site` that announces an entry point."""
    info = site / "own_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")


def test_a_package_offers_a_component_as_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts_one.py").write_text(TAG)
    install(tmp_path, "llmproxy.middlewares", "tagger", "own_parts_one:Tag")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_component("middlewares", "tagger", Path()).__name__ == "Tag"
    with pytest.raises(RegistryError, match="unknown middleware: 'taggr'; did you mean 'tagger'"):
        find_component("middlewares", "taggr", Path())
    with pytest.raises(RegistryError, match="unknown provider type"):
        find_component("providers", "tagger", Path())


def test_an_entry_point_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts_two.py").write_text("raise ValueError('out of order')\n")
    install(tmp_path, "llmproxy.middlewares", "tagger", "own_parts_two:Tag")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RegistryError, match="'own_parts_two:Tag' cannot be imported: ValueError: out of order"):
        find_component("middlewares", "tagger", Path())


@pytest.mark.parametrize(
    ("word", "close"),
    [("apiKey", "api_key"), ("API-KEY", "api_key"), ("apikey", "api_key"), ("baseurl", "base_url"), ("zzz", None)],
)
def test_the_nearest_word_is_found_whatever_its_case_and_hyphens(word: str, close: str | None) -> None:
    assert nearest(word, ["name", "api_key", "base_url", "api_key_env"]) == close

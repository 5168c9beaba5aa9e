"""Whole files: in each folder of `tests/golden/import` the source, what it becomes, and the grade of each line.

What the folders cannot show is shown by changed sources: a key that nobody knows, and a credential, at every place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from llmproxy.config.document import ConfigNode, json_as_yaml, parse_yaml
from llmproxy.config.load import load
from llmproxy.config.problems import ConfigError, Mark
from llmproxy.importers.claude_code_router import import_claude_code_router
from llmproxy.importers.conversion import Conversion, import_file
from llmproxy.importers.draft import Draft, Grade, leaves
from llmproxy.importers.litellm import import_litellm
from llmproxy.importers.portkey import import_portkey
from llmproxy.importers.yaml_text import write_yaml
from llmproxy.redaction.names import is_secret
from llmproxy.routes import build_routing

FOLDERS = sorted(each for each in (Path(__file__).parent.parent / "golden" / "import").iterdir() if each.is_dir())
EXPECTED = {"expected.yaml", "report.txt"}
IMPORTERS: dict[str, Callable[[ConfigNode], Draft]] = {
    "litellm": import_litellm,
    "litellm-clouds": import_litellm,
    "claude-code-router": import_claude_code_router,
    "portkey": import_portkey,
    "portkey-conditional": import_portkey,
}
SECRETS = ("sk-", "hunter2", "my-own-router", "0123456789abcdef", "gsk_", "user:secret")


def source_of(folder: Path) -> Path:
    (source,) = [each for each in folder.iterdir() if each.name not in EXPECTED]
    return source


def report(conversion: Conversion) -> str:
    lines = [
        f"{each.line}-{each.last_line} {each.grade}: {each.key}"
        + (f" -> {each.becomes}" if each.becomes else "")
        + (f" ({each.message})" if each.message else "")
        for each in conversion.findings
    ]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_source_becomes_its_golden_file_and_report(folder: Path) -> None:
    conversion = import_file(source_of(folder), source_of(folder).name)
    assert conversion.text == (folder / "expected.yaml").read_text(encoding="utf-8")
    assert report(conversion) == (folder / "report.txt").read_text(encoding="utf-8")
    assert conversion.complete is not any(each.grade in ("by hand", "unsupported") for each in conversion.findings)
    assert not [secret for secret in SECRETS if secret in conversion.text + report(conversion)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_file_can_be_served(folder: Path) -> None:
    loaded = load(str(folder / "expected.yaml"), no_env=True)
    assert [str(each) for each in loaded.problems] == []
    router, _ = build_routing(loaded)
    for model in loaded.checked().models:
        if "*" not in model.name:
            assert router.choose(router.locate("POST", "/v1/chat/completions"), model.name).targets


@cache
def _tree(name: str) -> ConfigNode:
    (folder,) = [each for each in FOLDERS if each.name == name]
    top, problems = parse_yaml(json_as_yaml(source_of(folder).read_text(encoding="utf-8")), "x")
    assert top is not None and not problems
    return top


def tree_of(name: str) -> ConfigNode:
    """Return a tree of its own of a golden source."""
    return copy.deepcopy(_tree(name))


def blocks(node: ConfigNode) -> Iterator[ConfigNode]:
    if isinstance(node.value, dict):
        yield node
    for child in [*node.members.values(), *node.items]:
        yield from blocks(child)


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_key_that_nobody_knows_is_never_lost_wherever_it_stands(name: str) -> None:
    for place in range(len([*blocks(_tree(name))])):
        top = tree_of(name)
        block = [*blocks(top)][place]
        mark = Mark(source="x", line=4242, column=1)
        block.members["zz_new"] = ConfigNode(value=424242, mark=mark, key=f"{block.key}.zz_new", key_mark=mark)
        draft = IMPORTERS[name](top)
        covering = [each for each in draft.findings() if each.line <= 4242 <= each.last_line]
        assert covering, block.key
        lost = all(each.grade in (Grade.exact, Grade.approximate) for each in covering)
        described = block.key.endswith(("credential_info",))
        assert not lost or "424242" in write_yaml(draft.config, draft.comments) or described, (block.key, covering)


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_credential_is_never_copied_wherever_it_stands(name: str) -> None:
    secret = "sk-live-0123456789abcdefABCDEF"
    for place in range(len([*leaves(_tree(name))])):
        top = tree_of(name)
        leaf = [*leaves(top)][place]
        if not isinstance(leaf.value, str):
            continue
        leaf.value = secret
        draft = IMPORTERS[name](top)
        said = " ".join(each.message + each.becomes for each in draft.findings())
        kept = write_yaml(draft.config, draft.comments)
        word = leaf.key.rpartition(".")[2]
        assert secret not in kept + said or not is_secret(word), leaf.key


def test_an_unknown_file_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("colour: blue\n")
    with pytest.raises(ConfigError, match="name it with --from: litellm, claude-code-router, portkey, older"):
        import_file(tmp_path / "x.yaml", "x.yaml")
    with pytest.raises(ConfigError, match="has nothing of Portkey"):
        import_file(tmp_path / "x.yaml", "x.yaml", "portkey")


def test_a_file_that_cannot_be_read_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"targets": [\n')
    with pytest.raises(ConfigError, match=r"x\.json:2:1: is not valid YAML"):
        import_file(tmp_path / "x.json", "x.json")
    with pytest.raises(ConfigError, match=r"\.env: file not found"):
        import_file(tmp_path / ".env", ".env")


def test_what_would_not_be_valid_is_reported_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(
        '{"provider": "openai", "api_key": "$K", "custom_host": "nowhere", "cache": "simple"}'
    )
    with pytest.raises(
        ConfigError, match=r"^x\.json: is not imported, as what it becomes has a mistake: providers\[0\]"
    ):
        import_file(tmp_path / "x.json", "x.json", "portkey")

"""The check of the README and the docs against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from scripts import readme
from scripts.readme import Surface

SURFACE = Surface(
    commands={"": frozenset({"--version"}), "serve": frozenset({"--port"}), "schema": frozenset()},
    types=frozenset({"stub"}),
    keys=frozenset({"server", "server.port"}),
    source='"/health" "http_requests_total" "LLMPROXY_CONFIG"',
)
GOOD = """
The `stub` answers. `llmproxy serve` starts it, `llmproxy schema` prints; `llmproxy --version`;
see `server.port` and `/health`.

```sh
./scripts/serve --port 1
```
"""


def _told(addition: str, root: Path = Path(), surface: Surface = SURFACE) -> list[str]:
    return readme.problems({"p.md": GOOD + addition}, surface, root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "serve").touch()
    return tmp_path


def test_a_page_that_agrees_with_the_code_is_fine(root: Path) -> None:
    assert _told("", root) == []


@pytest.mark.parametrize(
    ("left_out", "complaint"),
    [
        ("`llmproxy schema` prints;", "no page names the command `llmproxy schema`"),
        ("--port 1", "no page names the flag --port of `llmproxy serve`"),
        ("`llmproxy --version`;", "no page names the flag --version of `llmproxy`"),
        ("`stub`", "no page names the provider type stub"),
    ],
)
def test_what_users_can_type_must_be_named(root: Path, left_out: str, complaint: str) -> None:
    assert readme.problems({"p.md": GOOD.replace(left_out, "")}, SURFACE, root) == [complaint]


def test_every_command_has_a_row_in_the_table() -> None:
    assert list(readme.unlisted("| `llmproxy serve` | start |", SURFACE)) == [
        "llmproxy/docs/commands.md: no row for `llmproxy schema`"
    ]


def test_a_readme_that_grows_too_long_is_reported() -> None:
    assert list(readme.too_long("line\n" * 200)) == [] and len(list(readme.too_long("line\n" * 201))) == 1


def test_examples_name_no_model_that_its_vendor_retires() -> None:
    retired = re.compile(rf"({'|'.join(DEPRECATED_MODELS)})(?![\w.-])")
    root = Path(readme.__file__).parents[1]
    pages = [root / "README.md", *(root / "llmproxy" / "docs").glob("*.md")]
    assert {page.name: found for page in pages if (found := retired.findall(page.read_text(encoding="utf-8")))} == {}


def test_a_name_on_one_of_the_pages_is_enough(root: Path) -> None:
    pages = {"a.md": GOOD.replace("--port 1", ""), "b.md": "`llmproxy serve --port 1`"}
    assert readme.problems(pages, SURFACE, root) == []


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ("`llmproxy run`", "`llmproxy run`: there is no command run"),
        ("`llmproxy schema --port 1`", "`llmproxy schema --port 1`: schema has no flag --port"),
        ("`llmproxy --loud`", "`llmproxy --loud`: serve has no flag --loud"),
        ("```sh\nX=1 llmproxy serve --loud # so\n```", "`llmproxy serve --loud `: serve has no flag --loud"),
        ("`--loud`", "`--loud`: no command has the flag --loud"),
        ("`scripts/sing`", "the file scripts/sing does not exist"),
        ("`server.prot`", "the configuration has no key server.prot"),
        ("`/helth`", "`/helth` is not in the code"),
        ("`http_request_total`", "`http_request_total` is not in the code"),
        ("`$LLMPROXY_CONF_FILE`", "`$LLMPROXY_CONF_FILE` is not in the code"),
        ("```python\nfrom llmproxy.nothing import x\n```", "an example imports llmproxy.nothing, which does not exist"),
        ("```python\nfrom llmproxy.errors import Oops\n```", "an example imports Oops, which llmproxy.errors has not"),
    ],
)
def test_what_is_named_must_exist(root: Path, addition: str, complaint: str) -> None:
    assert _told(addition, root) == [f"p.md: {complaint}"]


def test_what_other_programs_take_is_none_of_our_business(root: Path) -> None:
    assert _told("```sh\npip install --quiet x\ncurl --data y http://127.0.0.1/llmproxy\n```", root) == []


@pytest.mark.parametrize(
    "example", ["```python\nclass:\n```", "```json\n{a}\n```", "```toml\na\n```", "```yaml\na: [\n```"]
)
def test_an_example_that_does_not_parse_is_reported(root: Path, example: str) -> None:
    (message,) = _told(example, root)
    assert message.startswith("p.md: an example does not parse")


def test_an_example_in_another_language_is_reported(root: Path) -> None:
    assert _told("```ruby\nputs 1\n```", root) == ["p.md: an example is in ruby, which nothing checks"]


def test_examples_of_configurations_are_validated() -> None:
    good = '```yaml\nproviders: [{name: stub, type: stub}]\nmiddlewares:\n  - {type: "./mine.py:Mine"}\n```\n'
    (message,) = readme.wrong_configs({"docs/p.md": good, "docs/q.md": good + "```yaml\nserver: {prot: 1}\n```\n"})
    assert "q-2.yaml" in message and "prot" in message and "p-1" not in message


def test_an_example_that_overrides_an_unknown_hook_is_reported(root: Path) -> None:
    example = """
```python
from llmproxy.middleware.base import Middleware

class Tag(Middleware):
    def on_chunk(self): ...
    def on_finish(self): ...
    def _own(self): ...
```
"""
    (message,) = _told(example, root)
    assert message.startswith("p.md: an example overrides on_finish")


def test_keys_of_nested_sections_and_list_entries_are_dotted() -> None:
    schema = {
        "$defs": {"Server": {"properties": {"port": {"type": "integer"}}}},
        "properties": {
            "server": {"$ref": "#/$defs/Server"},
            "models": {"items": {"properties": {"name": {}}}},
            "llm": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Server"}]},
        },
    }
    keys = set(readme._keys(schema, schema, ""))
    assert keys == {"server", "server.port", "models", "models.name", "llm", "llm.port"}

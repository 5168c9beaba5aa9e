"""Check the README and the pages of llmproxy/docs against the code: what they name exists, together they name every
command, flag and provider type, their examples are valid, and no link is dead. Part of scripts/check.

Run from the project's folder: `python -m scripts.readme`. Begin reading at `problems`.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main
import yaml

from llmproxy import cli, registry
from scripts import config_reference, links, translation_table

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_CALL = re.compile(r"(?:^|[\s;&|])(?:\./scripts/serve|llmproxy)(?=\s|$)([^\n;&|#]*)", re.MULTILINE)
_FILE = re.compile(r"(?<![\w/-])(?:\./)?((?:scripts|configs|\.ci|llmproxy|tests)/[\w./-]+|build\.py)")
_WORD = re.compile(r"\$?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[a-z][a-z0-9]*(?:_[a-z0-9]+)+|/[a-z][\w/{}-]*")
_KEY = re.compile(r"[a-z_]+(?:\.[a-z_]+)+(?<!\.com)")


_GROUPS = ("", "cache", "keys", "prices", "trace")
"""Commands that do nothing by themselves."""

COMMANDS = "llmproxy/docs/commands.md"
_MAX_README_LINES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The interface of the program: flags by command, provider types, dotted config keys, the source of the package.

    The command "" is the program itself.
    """

    commands: dict[str, frozenset[str]]
    types: frozenset[str]
    keys: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The code on the page `name`: fenced blocks as (language, text), and the text between backticks elsewhere."""

    name: str
    blocks: tuple[tuple[str, str], ...]
    spans: tuple[str, ...]

    @classmethod
    def read(cls, name: str, text: str) -> Page:
        """Extract the code from Markdown."""
        blocks = tuple((match[1], match[2]) for match in _BLOCK.finditer(text))
        return cls(name=name, blocks=blocks, spans=tuple(_SPAN.findall(_BLOCK.sub("", text))))

    @property
    def shell(self) -> str:
        """Return all lines that a user could type."""
        return "\n".join([*(text for language, text in self.blocks if language in ("sh", "")), *self.spans])


def problems(texts: Mapping[str, str], surface: Surface, root: Path) -> list[str]:
    """List the differences between the code and the pages, which are Markdown by path, a line each."""
    pages = [Page.read(name, text) for name, text in texts.items()]
    return [
        *_undocumented(pages, surface),
        *(
            f"{page.name}: {problem}"
            for page in pages
            for problem in (*_wrong_calls(page, surface), *_missing(page, surface, root), *_unreadable(page))
        ),
    ]


def _undocumented(pages: list[Page], surface: Surface) -> Iterator[str]:
    """List commands, flags and types that no page names."""
    shell = "\n".join(page.shell for page in pages)
    flags = set(_FLAG.findall(shell))
    for command, own in surface.commands.items():
        if command and not re.search(rf"\bllmproxy {re.escape(command)}\b", shell):
            yield f"no page names the command `llmproxy {command}`"
        for flag in sorted(own - flags):
            yield f"no page names the flag {flag} of `{f'llmproxy {command}'.strip()}`"
    for name in sorted(surface.types - {span for page in pages for span in page.spans}):
        yield f"no page names the provider type {name}"


def unlisted(table: str, surface: Surface) -> Iterator[str]:
    """List commands without a row in the table of all commands."""
    for command in surface.commands:
        if command not in _GROUPS and not re.search(rf"^\| `llmproxy {re.escape(command)}` \|", table, re.MULTILINE):
            yield f"{COMMANDS}: no row for `llmproxy {command}`"


def too_long(readme: str) -> Iterator[str]:
    """Report a README that a newcomer does not read to its end."""
    if (lines := readme.count("\n")) > _MAX_README_LINES:
        yield f"README.md has {lines} lines, more than {_MAX_README_LINES}; reference belongs to llmproxy/docs"


def _wrong_calls(page: Page, surface: Surface) -> Iterator[str]:
    """List command lines that the program would refuse."""
    for line in _CALL.findall(page.shell):
        words = line.split()
        bare = not words or words[0].startswith("-")
        both = " ".join(words[:2])
        command = "serve" if bare else both if both in surface.commands else words[0]
        if command not in surface.commands:
            yield f"`llmproxy{line}`: there is no command {command}"
            continue
        flags = surface.commands[command] | (surface.commands[""] if bare else {"--help"})
        for flag in _FLAG.findall(line):
            if flag not in flags:
                yield f"`llmproxy{line}`: {command} has no flag {flag}"
    anywhere = {"--long"}.union(*surface.commands.values())
    for span in page.spans:
        for flag in _FLAG.findall(span) if span.startswith("--") else ():
            if flag not in anywhere:
                yield f"`{span}`: no command has the flag {flag}"


def _missing(page: Page, surface: Surface, root: Path) -> Iterator[str]:
    """List files, config keys, names and paths that do not exist."""
    for name in sorted(set(_FILE.findall(page.shell))):
        if not (root / name).exists():
            yield f"the file {name} does not exist"
    sections = {key.split(".")[0] for key in surface.keys}
    for span in page.spans:
        if _KEY.fullmatch(span) and span.split(".")[0] in sections and span not in surface.keys:
            yield f"the configuration has no key {span}"
        if span.startswith("llmproxy_"):
            continue  # a metric: an acceptance test holds these against the running program
        if _WORD.fullmatch(span) and span.removeprefix("$").removeprefix("/v1") not in surface.source:
            yield f"`{span}` is not in the code"


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "python": ast.parse,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
"""What reads the blocks of a language; each raises ValueError, SyntaxError or YAMLError."""
_OTHER_LANGUAGES = ("", "sh", "powershell")


def _unreadable(page: Page) -> Iterator[str]:
    """List examples that do not parse, have imports that fail, or override hooks that do not exist."""
    for language, text in page.blocks:
        if language in _OTHER_LANGUAGES:
            continue
        if language not in _PARSERS:
            yield f"an example is in {language}, which nothing checks"
            continue
        try:
            read = _PARSERS[language](text)
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            yield f"an example does not parse: {error}"
            continue
        if isinstance(read, ast.Module):
            yield from _wrong_python(read)


def _wrong_python(tree: ast.Module) -> Iterator[str]:
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmproxy"):
            yield from _wrong_import(node, names)
    yield from _wrong_hooks(tree, names)


def _wrong_import(node: ast.ImportFrom, names: dict[str, object]) -> Iterator[str]:
    try:
        module = importlib.import_module(node.module or "")
    except ModuleNotFoundError:
        yield f"an example imports {node.module}, which does not exist"
        return
    for alias in node.names:
        if alias.name in vars(module):
            names[alias.asname or alias.name] = vars(module)[alias.name]
        else:
            yield f"an example imports {alias.name}, which {node.module} has not"


def _wrong_hooks(tree: ast.Module, names: dict[str, object]) -> Iterator[str]:
    """List methods of example classes that the base class lacks; own helpers begin with an underscore."""
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
        for base in (names[each.id] for each in node.bases if isinstance(each, ast.Name) and each.id in names):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            for method in methods:
                if not method.name.startswith("_") and method.name not in dir(base):
                    yield f"an example overrides {method.name}, which {base} has not"


def read_surface(root: Path) -> Surface:
    """Read the interface from the program itself."""
    group = typer.main.get_command(cli.app)
    commands = {
        name: frozenset(
            flag for each in command.params for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")
        )
        for name, command in _commands(group, "")
    }
    schema = json.loads(_llmproxy("schema").stdout)
    sources = sorted((root / "llmproxy").rglob("*.py"))
    return Surface(
        commands=commands,
        types=frozenset(registry.names("providers")),
        keys=frozenset(config_keys(schema)),
        source="\n".join(path.read_text(encoding="utf-8") for path in sources),
    )


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the command, and those below it, by their full names."""
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from _commands(inner, f"{name} {word}".strip())


def config_keys(schema: Any) -> Iterator[str]:
    """Yield the dotted keys of the JSON Schema of the configuration."""
    return _keys(schema, schema, "")


def _keys(node: Any, schema: Any, prefix: str) -> Iterator[str]:
    """Yield the dotted keys below `node` of a JSON Schema; those of entries follow the name of the list or mapping."""
    if isinstance(node, list):
        for each in node:
            yield from _keys(each, schema, prefix)
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield from _keys(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema, prefix)
    for word in ("anyOf", "oneOf", "allOf", "items", "additionalProperties", "then", "else"):
        yield from _keys(node.get(word), schema, prefix)
    for name, below in node.get("properties", {}).items():
        yield prefix + name
        yield from _keys(below, schema, f"{prefix}{name}.")


def wrong_configs(texts: Mapping[str, str]) -> Iterator[str]:
    """List example configurations that validate-config refuses. Lines with custom classes are left out."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, text in texts.items():
            examples = [text for language, text in Page.read(name, text).blocks if language == "yaml"]
            for number, example in enumerate(examples, 1):
                files.append(Path(folder, f"{Path(name).stem}-{number}.yaml"))
                files[-1].write_text(re.sub(r"^.*\.py:.*$", "", example, flags=re.MULTILINE), encoding="utf-8")
        checked = _llmproxy("validate-config", "--no-env", *map(str, files))
        if checked.returncode:
            output = checked.stderr.replace(f"{folder}/", "").strip()
            yield f"example configurations (PAGE-NUMBER.yaml) are refused:\n{output}"


def _llmproxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "llmproxy", *arguments], capture_output=True, text=True, check=False)


def main() -> int:
    """Check the README and the docs in the current folder."""
    root = Path.cwd()
    paths = [root / "README.md", *sorted((root / "llmproxy" / "docs").glob("*.md"))]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    surface = read_surface(root)
    messages = [
        *problems(texts, surface, root),
        *unlisted(texts[COMMANDS], surface),
        *too_long(texts["README.md"]),
        *wrong_configs(texts),
        *links.problems(texts, root),
        *config_reference.problems(root),
        *translation_table.problems(texts["llmproxy/docs/translation.md"]),
    ]
    print("\n".join(messages), file=sys.stderr, end="\n" if messages else "")
    return int(bool(messages))


if __name__ == "__main__":
    sys.exit(main())

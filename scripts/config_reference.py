"""Write llmproxy/docs/reference.md, the reference of the configuration, from its JSON Schema.

Run from the project's folder: `python -m scripts.config_reference`; `scripts/readme.py` compares the page with it.
Descriptions stand at the fields of the `Config` classes. Begin reading at `page`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmproxy.config.json_schema import config_schema

PATH = Path("llmproxy/docs/reference.md")
OLDER = ("general_settings", "interceptors", "session", "cache", "model_groups")
"""Sections of older programs, which docs/coming-from.md describes."""

_HEAD = """# Configuration reference

Every key of the configuration file, its default and what it does.

Keys of nested blocks and of entries follow the name of the block or list after a dot: `server.cors.max_age`. Sizes are
bytes or carry a unit (`64MB`, powers of 1024), durations are seconds or carry one (`30s`, `1h`). Any value may be a
variable, `${NAME}` or `${NAME:-default}`. How the file is found and checked is in [Configuration](configuration.md).
`llmproxy generate-config --preset full` writes all of this as a file with comments.
"""
_TABLE = "| key | default | meaning |\n| --- | --- | --- |"
_LINKS = {"PriceConfig": "prices", "LimitConfig": "limits", "BudgetConfig": "budgets"}
"""Blocks that have a section of their own."""


def page(schema: Mapping[str, Any]) -> str:
    """Return the page for the JSON Schema of the configuration."""
    reference = _Reference(schema)
    parts = [_HEAD]
    for name, node in schema["properties"].items():
        if name not in OLDER:
            parts.append("\n".join(reference.section(name, node)) + "\n")
    return "\n".join(parts)


def problems(root: Path) -> Iterator[str]:
    """Report a page that differs from the schema."""
    if (root / PATH).read_text(encoding="utf-8") != page(config_schema()):
        yield f"{PATH.as_posix()} differs from the schema; `python -m scripts.config_reference` writes it"


class _Reference:
    """The sections of the page, as lines of Markdown. Nested blocks are described once in each section."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._blocks: Mapping[str, Any] = schema["$defs"]
        self._shown: set[str] = set()

    def section(self, name: str, node: Mapping[str, Any]) -> Iterator[str]:
        """Yield the section of one key of the file."""
        self._shown.clear()
        yield f"## {name}\n"
        yield f"{node.get('description') or self._blocks[self._block(node)[1]]['description']}\n"
        types = dict(self._types(node))
        if name == "llm":
            yield f"Its keys are those of a [provider](#providers) but {self._difference(node)}."
        elif types:
            yield from self._typed(name, node, types)
        else:
            yield from self._table(self._rows(name, node))

    def _table(self, rows: Iterator[str]) -> Iterator[str]:
        yield _TABLE
        yield from rows

    def _typed(self, name: str, node: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[str]:
        """Yield the keys that all types have, or all but one of many, then those of single types."""
        blocks = list(types.values())
        entry = self._entry(node)
        least = len(blocks) - (len(blocks) > 3)
        keys = dict.fromkeys(key for block in blocks for key in block)
        common = [] if entry else [key for key in keys if sum(key in block for block in blocks) >= least]
        shared = entry or {key: next(block[key] for block in blocks if key in block) for key in common}
        yield from self._table(self._of_block(f"{name}.", shared, ("name", "type")))
        below = f"{name}.config." if entry else f"{name}."
        for word, block in types.items():
            if lacking := [key for key in common if key not in block]:
                yield f"\nThe type `{word}` has no {', '.join(f'`{key}`' for key in lacking)}."
            if own := {key: value for key, value in block.items() if key not in common}:
                yield f"\n### {name}: {word}\n"
                yield from self._table(self._of_block(below, own, ()))

    def _difference(self, node: Mapping[str, Any]) -> str:
        own = {key for block in dict(self._types(node)).values() for key in block}
        providers = {
            key
            for name in self._blocks
            for key in self._blocks[name].get("properties", {})
            if f"{name}_llm" in self._blocks
        }
        return ", ".join(f"`{key}`" for key in sorted(providers - own))

    def _rows(self, name: str, node: Mapping[str, Any]) -> Iterator[str]:
        block, _ = self._block(node)
        if block:
            yield from self._of_block(f"{name}.", block["properties"], block.get("required", ()))
        else:
            yield self._row(name, node, required=False)

    def _of_block(self, prefix: str, properties: Mapping[str, Any], required: Any) -> Iterator[str]:
        for key, node in properties.items():
            yield self._row(prefix + key, node, key in required)
            block, name = self._block(node)
            if (
                block
                and name not in self._shown
                and name not in _LINKS
                and not block["properties"].keys() <= properties.keys()
            ):
                self._shown.add(name)
                yield from self._of_block(f"{prefix}{key}.", block["properties"], block.get("required", ()))

    def _row(self, key: str, node: Mapping[str, Any], required: bool) -> str:
        _, name = self._block(node)
        text = node.get("description", "").rstrip(".")
        words = [str(each) for each in self._choices(node) if str(each) not in text]
        about = f"{text}." if text else ""
        if words:
            about += f" One of {', '.join(f'`{word}`' for word in words)}."
        if name in _LINKS and f"`{_LINKS[name]}`" not in about:
            about += f" See [{_LINKS[name]}](#{_LINKS[name]})."
        return f"| `{key}` | {_default(node, required)} | {about.strip()} |".replace("||", "|\\|")

    def _choices(self, node: Mapping[str, Any]) -> list[Any]:
        """Return the words that a value may be."""
        inner = [each for word in ("anyOf", "items") for each in _several(node.get(word))]
        return [*node.get("enum", ()), *(word for each in inner for word in self._choices(each))]

    def _types(self, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the keys of each type of an entry, by the names of the types that share them."""
        if "$ref" in node:
            node = self._blocks[node["$ref"].rsplit("/", 1)[1]]
        for case in node.get("allOf", ()):
            words = case.get("if", {}).get("properties", {}).get("type", {}).get("enum")
            block = case.get("then", {})
            block = block.get("properties", {}).get("config", block)
            if words and "$ref" in block:
                yield ", ".join(words), self._blocks[block["$ref"].rsplit("/", 1)[1]]["properties"]
        for word in ("anyOf", "items", "additionalProperties"):
            for each in _several(node.get(word)):
                yield from self._types(each)

    def _entry(self, node: Any) -> Mapping[str, Any] | None:
        """Return the keys of an entry beside its `config`, where the types of it have their keys in there."""
        block, _ = self._block(node)
        return block["properties"] if block and "config" in block["properties"] else None

    def _block(self, node: Any) -> tuple[Mapping[str, Any] | None, str]:
        """Return the block of keys that a value, or each of its entries, is, and its name; (None, "") for others."""
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            return self._block(self._blocks[name])[0], name
        if "properties" in node and node.get("additionalProperties") is not True and "enum" not in node:
            return node, node.get("description", "")
        for word in ("anyOf", "items", "additionalProperties"):
            for each in _several(node.get(word)):
                found, name = self._block(each)
                if found:
                    return found, name
        return None, ""


def _several(node: Any) -> list[Any]:
    """Return the schemas in `node`: one, a list of them, or none."""
    return [each for each in (node if isinstance(node, list) else [node]) if isinstance(each, dict)]


def _default(node: Mapping[str, Any], required: bool) -> str:
    """Return the second cell: a default, or an example of what has none."""
    if required:
        return "required"
    default = node.get("default")
    if default not in (None, [], {}) and not isinstance(default, dict):
        return f"`{_short(default)}`"
    example = next(iter(node.get("examples", ())), None)
    return f"none; such as `{_short(example)}`" if example not in (None, [], {}) else "none"


def _short(value: Any) -> str:
    """Return a value as YAML has it, on one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    PATH.write_text(page(config_schema()), encoding="utf-8", newline="\n")

"""Write a configuration as YAML for people: short blocks on one line, comments above the keys that they are about.

Both YAML 1.1 and YAML 1.2 read it alike. Begin reading at `write_yaml`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z][\w./-]*|\d+(?:\.\d+)?(?:ms|s|m|h|d|KB|MB|GB)")
_OTHER_MEANING = frozenset(("true", "false", "null", "on", "off", "yes", "no", "y", "n"))
# Control characters and line breaks, of which YAML 1.1 has more.
_NO_YAML = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

Comments = Mapping[tuple[int, str], Sequence[str]]


def write_yaml(config: Mapping[str, Any], comments: Comments) -> str:
    """Return `config` as YAML, sections apart. `comments` are by the identity of a block and a key there."""
    return "".join(f"\n{text}\n" for name in config for text in ["\n".join(_member(config, name, "", comments))])


def comment(text: str, indent: str = "") -> list[str]:
    """Return `text` as lines of comments."""
    text = "".join(each if each.isprintable() or each.isspace() else "?" for each in " ".join(text.split()))
    room = _WIDTH - len(indent) - 2
    return [f"{indent}# {line}" for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)]


def _member(block: Mapping[str, Any], name: str, indent: str, comments: Comments) -> Iterator[str]:
    for each in comments.get((id(block), name), ()):
        yield from comment(each, indent)
    value = block[name]
    head = f"{indent}{_scalar(name)}:"
    if _fits(value, len(head) + 1, comments) and not (indent == "" and isinstance(value, list) and value):
        yield f"{head} {_flow(value)}"
        return
    yield head
    if isinstance(value, Mapping):
        for inner in value:
            yield from _member(value, inner, f"{indent}  ", comments)
    else:
        for item in value:
            yield from _item(item, f"{indent}  ", comments)


def _item(item: Any, indent: str, comments: Comments) -> Iterator[str]:
    if _fits(item, len(indent) + 2, comments):
        yield f"{indent}- {_flow(item)}"
        return
    lines = [line for name in item for line in _member(item, name, f"{indent}  ", comments)]
    first = next(place for place, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{indent}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _fits(value: Any, before: int, comments: Comments) -> bool:
    """Return whether `value` may stand on one line."""
    if not isinstance(value, (Mapping, list)) or not value:
        return True
    return not _commented(value, comments) and before + len(_flow(value)) <= _WIDTH


def _commented(value: Any, comments: Comments) -> bool:
    if isinstance(value, Mapping):
        own = any((id(value), name) in comments for name in value)
        return own or any(_commented(inner, comments) for inner in value.values())
    return isinstance(value, list) and any(_commented(item, comments) for item in value)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    """Write a scalar; words without another meaning need no quotes."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _OTHER_MEANING:
        return value
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        text = re.sub(r"^(-?\d+)e", r"\1.0e", text)  # YAML 1.1 takes 1e-09 for text
    return _NO_YAML.sub(lambda each: f"\\u{ord(each[0]):04x}", text)

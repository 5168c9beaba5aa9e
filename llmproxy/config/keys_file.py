"""Read `auth.keys_file`: client keys in a file of their own, below `keys:` as in `auth`.

Programs write such files, so nothing in them is a variable. Begin reading at `read_keys_file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from llmproxy.config.auth import KeyConfig
from llmproxy.config.document import ConfigNode, read
from llmproxy.config.problems import Problem
from llmproxy.config.validate import read_model
from llmproxy.settings import Strict

NO_VARIABLES = "variables are not expanded in this file; write `id` and `sha256`"


class _KeysFile(Strict):
    """The content of a keys file."""

    keys: list[KeyConfig] = Field(default=[], description="Client keys.")


def read_keys_file(path: str, directory: Path) -> tuple[Sequence[KeyConfig], list[Problem], ConfigNode | None]:
    """Return the keys in the file at `path`, relative to `directory`, its problems, and its tree."""
    top, problems = read(directory / Path(path).expanduser(), path)
    if top is None or problems:
        return (), problems, None
    problems = list(_variables(top))
    content, more = read_model(top, _KeysFile, directory)
    problems += more
    return ([] if content is None or problems else content.keys), problems, top


def _variables(node: ConfigNode) -> Iterator[Problem]:
    if isinstance(node.value, str) and "${" in node.value:
        yield node.problem(NO_VARIABLES, "variable-syntax")
    for each in (*node.members.values(), *node.items):
        yield from _variables(each)

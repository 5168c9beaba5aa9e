"""Takes apart objects whose names follow the JSON mapping of protocol buffers.

Google's servers read `snake_case` names beside `camelCase` ones, and one object where a list of them belongs; clients
that write JSON by hand rely on both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from llmproxy.dialects.members import Members

_WORD = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """Return the name of a member in camel case."""
    return _WORD.sub(lambda match: match[1].upper(), name)


class ProtoMembers(Members):
    """One JSON object, with its names in camel case. A member that is there in both forms counts in camel case; the
    other one is left under its own name."""

    __slots__ = ()

    def __init__(self, value: object, path: str = "") -> None:
        super().__init__(value, path)
        if any(["_" in name for name in self.rest]):
            self.rest = {self._name_of(name): each for name, each in self.rest.items()}

    def _name_of(self, name: str) -> str:
        in_camel_case = camel(name) if len(name) < 64 else name
        return name if in_camel_case in self.rest else in_camel_case

    def objects(self, name: str) -> Iterator[Members]:
        """Take the objects of an array, or one that stands alone."""
        value = self.rest.get(name)
        if isinstance(value, dict):
            del self.rest[name]
            return iter((ProtoMembers(value, self.at(name)),))
        return super().objects(name)

"""Find the price of a model by its name. A name that is not quite one in the table is unknown, never the nearest.

Beside a name of the table may stand what does not change the price: a date or version behind it, a region or a path
before it, where the table says so. Begin reading at `PriceNames.find`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmproxy.pricing.price import PriceRow

_LONGEST = 200
_VERSION = re.compile(
    r"(?:[-@](?:latest|preview|exp|experimental|v\d+|\d{3,8}|\d{4}-\d\d-\d\d|\d\d-\d\d(?:-\d{4})?)|:\d+)$"
)
_DATE = re.compile(r"[-@]\d{8}$|-\d{4}-\d\d-\d\d$")
_PARTS = 6  # of a version, as in `-preview-05-20`
# The beginning of a version that a name of the table ends with: `-2024-`, `-2025`, `@`, `-0`.
_CUT_VERSION = re.compile(r"[-@](?:20\d\d-?|0)?$")
_RESOURCE = re.compile(r"arn:|models/|publishers/|projects/")
_FINE_TUNED = re.compile(r"(ft:[^:]+):.*|(.+\.ft-).*")


def cleaned(name: str) -> str:
    """Return a model's name as tables have it: the last part of a path, an ARN or a resource, in lower case."""
    name = name.strip().lower()
    if _RESOURCE.match(name):
        name = name.rpartition("/")[2]
    tuned = _FINE_TUNED.fullmatch(name)
    return name if tuned is None else tuned[1] or tuned[2]


class PriceNames:
    """The names of one list of prices."""

    def __init__(self, rows: Iterable[PriceRow]) -> None:
        self._exact: dict[str, PriceRow] = {}
        self._dated: dict[str, PriceRow] = {}
        self._versioned: dict[str, PriceRow] = {}
        self._behind: dict[str, PriceRow] = {}
        self._behind_versioned: dict[str, PriceRow] = {}
        for row in rows:
            for name in row.names:
                self._add(name, row)

    def _add(self, name: str, row: PriceRow) -> None:
        behind, versioned = name.startswith("*"), name.endswith("*")
        if behind:
            names = self._behind_versioned if versioned else self._behind
            names.setdefault(name.strip("*"), row)
        elif versioned:
            self._versioned.setdefault(_CUT_VERSION.sub("", name[:-1]), row)
        elif name.endswith("@"):
            self._dated.setdefault(name[:-1], row)
        else:
            self._exact.setdefault(name, row)

    def find(self, name: str) -> PriceRow | None:
        """Return the prices of the model `name`; None when it is unknown."""
        if len(name) > _LONGEST:
            return None
        name = cleaned(name)
        row = self._exact.get(name) or self._dated.get(_DATE.sub("", name)) or _find_end(self._behind, name)
        if row is not None:
            return row
        for stem in _stems(name):
            row = self._versioned.get(stem) or _find_end(self._behind_versioned, stem)
            if row is not None:
                return row
        return None


def _find_end(names: dict[str, PriceRow], name: str) -> PriceRow | None:
    """Return the row of the name, or of what stands behind a dot or a slash in it: behind a region, a maker, a path."""
    if not names:
        return None
    ends = [name, *(name[index + 1 :] for index, sign in enumerate(name) if sign in "./")]
    return next((row for end in ends if (row := names.get(end)) is not None), None)


def _stems(name: str) -> Iterator[str]:
    """Yield the name, then without the parts of its version, last first."""
    for _ in range(_PARTS):
        yield name
        shorter = _VERSION.sub("", name)
        if shorter == name:
            return
        name = shorter

"""Read the query of a request for one of our own pages. A parameter that is misspelt, empty or repeated is refused:
without it the page would show, or delete, something else than was meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from llmproxy.errors import BadRequest


def parse_query(query: str | None) -> dict[str, str]:
    """Return the parameters of `query`, decoded. Raises BadRequest for one that is repeated."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query or "", keep_blank_values=True):
        if name in parameters:
            raise BadRequest(f"The parameter {name[:50]!r} is repeated. Send it once", param=name[:50])
        parameters[name] = value
    return parameters


def check_query(parameters: Mapping[str, str], names: Collection[str]) -> None:
    """Raise BadRequest for a parameter that is none of `names`, and for one without a value."""
    for name, value in parameters.items():
        short = name[:50]
        if name not in names:
            known = f"Use {' or '.join(sorted(names))}" if names else "Send none"
            raise BadRequest(f"Unknown parameter {short!r}. {known}", code="unknown_parameter", param=short)
        if not value:
            raise BadRequest(f"The parameter {short!r} is empty. Give it a value, or leave it out", param=short)

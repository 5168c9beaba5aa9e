"""Takes a decoded JSON object apart, member by member; errors name the JSON path of what is wrong.

Members that are not taken stay in `rest` and become the `extra` of a node, so that no member of a request disappears.
Begin reading at `Members`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import msgspec

from llmproxy.errors import BadRequest
from llmproxy.wire.json_faults import explain_invalid_json

Choice = TypeVar("Choice", bound=str)

_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def parse(body: bytes) -> dict[str, Any]:
    """Decode the JSON object of a request that will be translated. Raises BadRequest for anything else."""
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise BadRequest("The body is nested too deeply", code="invalid_json") from None
    except ValueError:
        raise BadRequest(f"The body is not valid JSON: {explain_invalid_json(body)}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The body must be a JSON object, not {name_of(value)}", code="invalid_json")
    return value


def name_of(value: object) -> str:
    """Return the JSON name of the type of `value`, with its article."""
    return _NAMES[type(value)]


def wrong(path: str, problem: str) -> NoReturn:
    """Raise BadRequest for the value at `path`. `problem` completes the sentence: "must be a string"."""
    raise BadRequest(f"{path} {problem}", code="invalid_value", param=path)


class Members:
    """One JSON object. Each method takes one member out; null counts as absent, as at the vendors."""

    __slots__ = ("path", "rest")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            wrong(path or "The body", f"must be an object, not {name_of(value)}")
        self.rest: dict[str, Any] = value.copy()
        self.path = path

    def left(self) -> dict[str, Any]:
        """Return the members that were not taken."""
        return {name: value for name, value in self.rest.items() if value is not None}

    def at(self, name: str) -> str:
        """Return the JSON path of the member `name`."""
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> Any:
        """Take a member of any type."""
        return self.rest.pop(name, None)

    def text(self, name: str) -> str | None:
        """Take a string."""
        value = self.rest.pop(name, None)
        if value is not None and type(value) is not str:
            wrong(self.at(name), f"must be a string, not {name_of(value)}")
        return value

    def needed_text(self, name: str) -> str:
        """Take a string that must be there."""
        value = self.text(name)
        return self.missing(name) if value is None else value

    def word(self, name: str, choices: tuple[Choice, ...]) -> Choice | None:
        """Take one of some strings."""
        value = self.text(name)
        if value is None:
            return None
        for choice in choices:
            if choice == value:
                return choice
        wrong(self.at(name), f"must be one of {', '.join(choices)}, not {value[:50]!r}")

    def flag(self, name: str) -> bool | None:
        """Take a boolean."""
        value = self.rest.pop(name, None)
        if value is not None and type(value) is not bool:
            wrong(self.at(name), f"must be true or false, not {name_of(value)}")
        return value

    def whole(self, name: str) -> int | None:
        """Take a whole number; 5.0 is one."""
        value = self.number(name)
        if value is None or type(value) is int:
            return value
        if not float(value).is_integer():
            wrong(self.at(name), "must be a whole number")
        return int(value)

    def number(self, name: str) -> int | float | None:
        """Take a number."""
        value: int | float | None = self.rest.pop(name, None)
        if value is not None and type(value) not in (int, float):
            wrong(self.at(name), f"must be a number, not {name_of(value)}")
        return value

    def items(self, name: str) -> list[Any] | None:
        """Take an array."""
        value = self.rest.pop(name, None)
        if value is not None and type(value) is not list:
            wrong(self.at(name), f"must be an array, not {name_of(value)}")
        return value

    def objects(self, name: str) -> Iterator[Members]:
        """Take the objects of an array; none when it is absent."""
        path = self.at(name)
        for index, value in enumerate(self.items(name) or ()):
            yield type(self)(value, f"{path}[{index}]")

    def object(self, name: str) -> dict[str, Any] | None:
        """Take an object."""
        value = self.rest.pop(name, None)
        if value is not None and type(value) is not dict:
            wrong(self.at(name), f"must be an object, not {name_of(value)}")
        return value

    def inner(self, name: str) -> Members | None:
        """Take an object, to be taken apart as well."""
        value = self.object(name)
        return None if value is None else type(self)(value, self.at(name))

    def missing(self, name: str) -> NoReturn:
        """Raise BadRequest for a member that must be there."""
        wrong(self.at(name), "is missing")

"""Which records are wanted: `model=gpt-*,status=4xx,slower=2s` as a test of an Entry. Begin reading at `parse`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from llmproxy.records.entry import Entry
from llmproxy.settings import parse_duration

EntryFilter = Callable[[Entry], bool]

_STATUS = re.compile(r"(\d{3})(?:-(\d{3}))?|(\d)xx", re.IGNORECASE)
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def parse_filters(filters: Iterable[str]) -> EntryFilter:
    """The test that all of `filters` pass; each is a list of KEY=VALUE with commas. Raises ValueError in words."""
    tests = [_test(part.strip()) for each in filters for part in each.split(",") if part.strip()]
    return lambda entry: all(test(entry) for test in tests)


def session_filter(name: str | None) -> EntryFilter:
    """The test that what belongs to the session called `name` passes; any, when that is None."""
    return lambda entry: name is None or entry.session == name


def _test(part: str) -> EntryFilter:
    key, equals, value = part.partition("=")
    key, value = key.strip(), value.strip()
    make = _KEYS.get(key)
    if make is None:
        raise ValueError(f"there is no filter {key!r}; there are {', '.join(_KEYS)}")
    if not equals or not value:
        raise ValueError(f"{key} needs a value, such as {key}={_EXAMPLES.get(key, 'x')}")
    return make(value)


def _text(read: Callable[[Entry], Iterable[str | None]]) -> Callable[[str], EntryFilter]:
    """One of the texts is the value, in which * stands for anything; `none` is one that is not there."""

    def make(value: str) -> EntryFilter:
        wanted = value.lower()

        def test(entry: Entry) -> bool:
            return any(fnmatchcase(text.lower() if text is not None else "none", wanted) for text in read(entry))

        return test

    return make


def _status(value: str) -> EntryFilter:
    if value.lower() == "none":
        return lambda entry: entry.status is None
    found = _STATUS.fullmatch(value)
    if not found:
        raise ValueError(f"{value!r} is no status; write 429, 4xx, 400-499 or none")
    first, last, hundred = found.groups()
    low = int(first) if first else int(hundred) * 100
    high = int(last) if last else low if first else low + 99
    return lambda entry: entry.status is not None and low <= entry.status <= high


def _time(longer: bool) -> Callable[[str], EntryFilter]:
    def make(value: str) -> EntryFilter:
        limit_ms = parse_duration(value) * 1000
        return lambda entry: (entry.duration_ms > limit_ms) is longer

    return make


def _flag(read: Callable[[Entry], bool]) -> Callable[[str], EntryFilter]:
    def make(value: str) -> EntryFilter:
        if value.lower() not in (*_YES, *_NO):
            raise ValueError(f"{value!r} is neither true nor false")
        wanted = value.lower() in _YES
        return lambda entry: read(entry) is wanted

    return make


_KEYS: dict[str, Callable[[str], EntryFilter]] = {
    "model": _text(lambda entry: (entry.model, entry.served_model)),
    "status": _status,
    "session": _text(lambda entry: (entry.session,)),
    "provider": _text(lambda entry: (entry.provider, *(each.provider for each in entry.attempts))),
    "slower": _time(longer=True),
    "faster": _time(longer=False),
    "client": _text(lambda entry: (entry.client.name, entry.client.address, entry.client.agent)),
    "path": _text(lambda entry: (entry.path,)),
    "method": _text(lambda entry: (entry.method,)),
    "dialect": _text(lambda entry: (entry.dialect,)),
    "route": _text(lambda entry: (entry.route,)),
    "outcome": _text(lambda entry: (entry.outcome,)),
    "error": _text(lambda entry: (entry.error.code if entry.error else None,)),
    "failed": _flag(lambda entry: entry.failed),
    "stream": _flag(lambda entry: entry.stream),
}
_EXAMPLES = {"status": "4xx", "slower": "2s", "faster": "100ms", "failed": "true", "stream": "true", "model": "gpt-*"}

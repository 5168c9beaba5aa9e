"""Filters for records: `model=gpt-*,status=4xx,slower=2s` becomes a test of an Entry. Begin at `parse_filters`."""

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
    """Return a filter for entries that match all `filters`; each is a list of KEY=VALUE separated by commas. Raises
    ValueError with a message for the user.
    """
    tests = [_test(part.strip()) for each in filters for part in each.split(",") if part.strip()]
    return lambda entry: all(test(entry) for test in tests)


def session_filter(name: str | None) -> EntryFilter:
    """Return a filter for entries of the session `name`; None matches every entry."""
    return lambda entry: name is None or entry.session == name


def _test(part: str) -> EntryFilter:
    key, equals, value = part.partition("=")
    key, value = key.strip(), value.strip()
    make = _KEYS.get(key)
    if make is None:
        raise ValueError(f"unknown filter {key!r}; available: {', '.join(_KEYS)}")
    if not equals or not value:
        raise ValueError(f"{key} needs a value, such as {key}={_EXAMPLES.get(key, 'x')}")
    return make(value)


def _text(read: Callable[[Entry], Iterable[str | None]]) -> Callable[[str], EntryFilter]:
    """Return a filter on texts: one of them matches the value, in which * is a wildcard; `none` is a missing text."""

    def make(value: str) -> EntryFilter:
        pattern = value.lower()

        def test(entry: Entry) -> bool:
            return any(fnmatchcase(text.lower() if text is not None else "none", pattern) for text in read(entry))

        return test

    return make


def _status(value: str) -> EntryFilter:
    if value.lower() == "none":
        return lambda entry: entry.status is None
    match = _STATUS.fullmatch(value)
    if not match:
        raise ValueError(f"{value!r} is not a status; write 429, 4xx, 400-499 or none")
    first, last, hundred = match.groups()
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
        expected = value.lower() in _YES
        return lambda entry: read(entry) is expected

    return make


_KEYS: dict[str, Callable[[str], EntryFilter]] = {
    "model": _text(lambda entry: (entry.model, entry.served_model)),
    "status": _status,
    "session": _text(lambda entry: (entry.session,)),
    "thread": _text(lambda entry: (entry.thread,)),
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

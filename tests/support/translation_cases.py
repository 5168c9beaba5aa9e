"""Read the golden conversations below `tests/golden/translation`, and normalise them for comparison.

Each folder holds one conversation in every dialect that can express it: `<dialect>.request.json`, the vendor's answer
as `<dialect>.reply.json` and as `<dialect>.stream.txt`. `case.json` names what it shows, its public sources, and, for
ordered pairs of dialects (`chat>messages`), what the translation differs in from the other's file: `dropped` are the
losses, `refused` is the path of a request that cannot be carried at all, `differs` holds values by their path, `lacks`
paths that are not there, `why` the reason; `streams` is given where they differ in more than replies. `failure` is the
message of an error that the streams tell. `<dialect>.case.json` has the pairs with a dialect that came later. A
request whose model stands in the path has it here as `modelId`, as its SDK does; streams of binary messages are written
as a line for each event.
Begin reading at `CASES`.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmproxy.dialects.catalog import codecs
from tests.support.event_messages import messages_of

ROOT = Path(__file__).parent.parent / "golden" / "translation"
NAMES = ("chat", "messages", "responses", "gemini", "converse")
PAIRS = [(source, target) for source in NAMES for target in NAMES]

_STEP = re.compile(r"[^.\[\]]+")
# What a service decides: names of things, moments, its own bookkeeping.
_DECIDED = {
    *("id", "created", "created_at", "model", "system_fingerprint", "obfuscation", "background", "service_tier"),
    *("cache_creation", "inference_geo"),
}
_OF_RESPONSE = ("object", "status", "error", "incomplete_details", "output", "usage")
_ARGUMENTS = ("arguments", "input", "args")
_TELLING = {*_ARGUMENTS, "content", "output", "choices", "summary", "text"}
_WITH_IDS = ("tool_use", "function", "custom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """The expected differences of a pair of dialects."""

    dropped: list[str] = field(default_factory=list)
    refused: str | None = None
    differs: dict[str, Any] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)
    why: str = ""

    def applied(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return `value` with the differences."""
        changed = copy.deepcopy(value)
        for path, new in self.differs.items():
            put(changed, path, new)
        for path in self.lacks:
            remove(changed, path)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One conversation."""

    name: str
    title: str
    sources: list[str]
    requests: dict[str, dict[str, Any]]
    models: dict[str, str]
    replies: dict[str, dict[str, Any]]
    streams: dict[str, bytes]
    failure: str | None
    expected: dict[str, dict[str, Differences]]

    def expect(self, what: str, source: str, target: str) -> Differences:
        """Return the expected differences of `source` as `target`."""
        pair = f"{source}>{target}"
        value = self.expected[what].get(pair)
        if value is None and what == "streams":
            value = self.expected["replies"].get(pair)
        return value or Differences()


def _case(folder: Path) -> Case:
    about = json.loads((folder / "case.json").read_text("utf-8"))
    pairs = [about, *(json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.case.json")))]
    expected = {
        what: {pair: Differences(**each) for part in pairs for pair, each in part.get(what, {}).items()}
        for what in ("requests", "replies", "streams")
    }
    requests = _files(folder, "request.json")
    models = {name: body.get("model") or body.pop("modelId") for name, body in requests.items()}
    return Case(
        name=folder.name,
        title=about["title"],
        sources=about["sources"],
        requests=requests,
        models=models,
        replies=_files(folder, "reply.json"),
        streams={name: _frames(name, path) for name in NAMES if (path := folder / f"{name}.stream.txt").exists()},
        failure=about.get("failure"),
        expected=expected,
    )


def _frames(dialect: str, path: Path) -> bytes:
    data = path.read_bytes()
    return data if dialect != "converse" else messages_of([json.loads(line) for line in data.splitlines()])


def _files(folder: Path, ending: str) -> dict[str, dict[str, Any]]:
    return {
        name: json.loads(path.read_text("utf-8")) for name in NAMES if (path := folder / f"{name}.{ending}").exists()
    }


def steps(path: str) -> list[Any]:
    """Return the steps of a JSON path: `messages[0].name` is messages, 0, name."""
    return [int(step) if step.isdigit() else step for step in _STEP.findall(path)]


def find(value: Any, path: str) -> Any:
    """Return the value at `path`. Raise LookupError when there is none."""
    for step in steps(path):
        if not isinstance(value, list if isinstance(step, int) else dict):
            raise LookupError(path)
        value = value[step]
    return value


def put(value: Any, path: str, new: Any) -> None:
    """Set the value at `path`; add missing objects, and append to arrays."""
    *way, last = steps(path)
    for step in way:
        value = value.setdefault(step, {}) if isinstance(value, dict) else value[step]
    if isinstance(value, list) and last == len(value):
        value.append(new)
    else:
        value[last] = new


def remove(value: Any, path: str) -> None:
    """Remove the value at `path`. Raise LookupError when there is none, so that no case has a stale entry."""
    *way, last = steps(path)
    for step in way:
        value = value[step]
    del value[last]


def same_request(body: Any) -> Any:
    """Return a request in which the arguments of calls are compared as the JSON that they are."""
    return _parsed_arguments(body)


def same_stream(dialect: str, reply: dict[str, Any]) -> dict[str, Any]:
    """Normalise a streamed reply in the same way. A chat stream begins before its text, and its chunks have another
    `object`."""
    result = same_reply(dialect, reply)
    result.pop("object", None)
    for choice in result.get("choices", ()):
        choice["message"]["content"] = choice["message"].get("content") or None
    return result


def same_reply(dialect: str, reply: dict[str, Any]) -> dict[str, Any]:
    """Normalise a reply: drop fields that the service decides, empty values and zero counts, and, in responses, fields
    that repeat the request."""
    if dialect == "responses":
        reply = {name: reply[name] for name in _OF_RESPONSE if name in reply}
    if dialect == "messages":
        reply = {name: value for name, value in reply.items() if name not in ("stop_details", "container")}
    if dialect == "converse":
        reply = {name: value for name, value in reply.items() if name not in ("metrics", "serviceTier")}
    if dialect == "gemini":
        reply = {name: value for name, value in reply.items() if name not in ("modelVersion", "responseId")}
    result = _plain(_parsed_arguments(reply))
    assert isinstance(result, dict)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    decided = _DECIDED - ({"id"} if value.get("type") in _WITH_IDS or "args" in value else set())
    result = {name: each if name in _ARGUMENTS else _plain(each) for name, each in value.items() if name not in decided}
    return {name: each for name, each in result.items() if name in _TELLING or _says_something(name, each)}


def _says_something(name: str, value: Any) -> bool:
    return value not in (None, [], {}) and not (name.lower().endswith(("tokens", "tokencount")) and value == 0)


def _parsed_arguments(value: Any) -> Any:
    if isinstance(value, list):
        return [_parsed_arguments(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _json(each) if name == "arguments" and isinstance(each, str) else _parsed_arguments(each)
        for name, each in value.items()
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


CASES = [_case(folder) for folder in sorted(ROOT.iterdir()) if (folder / "case.json").exists()]

assert set(codecs()) == set(NAMES)

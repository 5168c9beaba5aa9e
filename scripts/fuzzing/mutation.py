"""Change bytes and JSON at random: what a broken, careless or hostile peer might send.

Every function takes the random numbers of its case, so that a case can be repeated.
"""

from __future__ import annotations

import copy
import json
import zlib
from random import Random
from typing import Any

from llmproxy.wire import compression

BYTES = (
    *(b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud83d", b"null", b"NaN", b"1e999", b"-", b",", b":"),
    *(b"9" * 25, b"data: ", b"event: ", b"id: 0\n", b"retry: 1\n", b"[DONE]", b"\xe2\x80\xa8", b"\x1b[2J", b" " * 200),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 2**63, 2**64, -(2**70), 10**400, float("nan"), float("inf")),
    *("", " ", "yes", "\x00", "\ud83d", "\u202e", "\x1b[31m", "a\r\nb", "x" * 5000, "null", "{}", "[", "[DONE]"),
    *([], {}, [None], [[]], [{}], {"type": None}, {"": ""}, {"type": "text"}, [1, "a", None], {"error": {}}),
)


def flip_bytes(rng: Random, data: bytes, most: int = 3) -> bytes:
    """Return `data` with up to `most` places changed, left out, doubled, moved or filled."""
    for _ in range(rng.randint(1, most)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 40, 300)))
        part = data[at:end]
        match rng.randrange(6):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:end] + part + data[end:]
            case 2:
                data = data[:at] + rng.choice(BYTES) + data[at:]
            case 3:
                data = data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in part[:2]) + data[at + 2 :]
            case 4:
                data = data[:at] + rng.choice(BYTES) + data[end:]
            case _:
                rest = data[:at] + data[end:]
                to = rng.randint(0, len(rest))
                data = rest[:to] + part + rest[to:]
    return data


def cut(rng: Random, data: bytes) -> bytes:
    """Return the beginning of `data`."""
    return data[: rng.randint(0, len(data))]


def spoil(rng: Random, value: Any, most: int = 3) -> Any:
    """Return a copy of a JSON value in which up to `most` places hold something else, nothing, or more."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, most)):
        places = _places(value)
        if not places:
            break
        _spoil_place(rng, *rng.choice(places), places)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every array or object in a value, with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        pairs: list[tuple[Any, Any]] = []
        if isinstance(holder, dict):
            pairs = list(holder.items())
        elif isinstance(holder, list):
            pairs = list(enumerate(holder))
        found += [(holder, key) for key, _ in pairs]
        waiting += [each for _, each in pairs]
    return found


def _spoil_place(rng: Random, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    old = holder[key]
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1:
            other, name = rng.choice(places)
            holder[key] = copy.deepcopy(other[name]) if _has(other, name) else None
        case 2:
            holder[key] = [copy.deepcopy(old)]
        case 3 if isinstance(holder, list):
            holder.insert(rng.randint(0, len(holder)), copy.deepcopy(old))
        case 3:
            holder[rng.choice(("type", "id", "role", "content", "x", "name", "model", "text"))] = copy.deepcopy(old)
        case 4 if isinstance(old, str):
            holder[key] = flip_bytes(rng, old.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        case 5 if not isinstance(old, (dict, list)):
            holder[key] = {"type": old}
        case _:
            holder[key] = copy.deepcopy(rng.choice(ODD))


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def to_json(rng: Random, value: Any) -> bytes:
    """Return the value as JSON, now and then in an odd spelling, or broken."""
    match rng.randrange(12):
        case 0:
            text = json.dumps(value, indent=1)
        case 1:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case 2:
            text = "\ufeff" + json.dumps(value)
        case 3:
            text = _with_double(rng, json.dumps(value))
        case 4:
            text = _deeper(rng, json.dumps(value))
        case 5:
            return flip_bytes(rng, json.dumps(value).encode())
        case _:
            text = json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _with_double(rng: Random, text: str) -> str:
    """Double a member: JSON can say it, no dict holds it."""
    places = [at for at, letter in enumerate(text) if letter == "{"]
    if not places:
        return text
    at = rng.choice(places) + 1
    name = rng.choice(("model", "type", "content", "role", "stream", "text", "id", "messages"))
    twice = f'"{name}": {json.dumps(rng.choice((None, "x", [], 1)))}'
    comma = "" if text[at : at + 1] == "}" else ", "
    return f"{text[:at]}{twice}, {twice}{comma}{text[at:]}"


def _deeper(rng: Random, text: str) -> str:
    """Nest a value deeply."""
    depth = rng.choice((50, 300, 1100, 20_000))
    places = [at for at in range(1, len(text)) if text[at - 1] == ":"] or [0]
    at = rng.choice(places)
    return text[:at] + "[" * depth + "1" + "]" * depth + ("," if rng.random() < 0.3 else "") + text[at:]


def compress(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Return a Content-Encoding and the data in it, now and then under a wrong name."""
    name = rng.choice(("gzip", "deflate", "zstd"))
    packed = (
        zlib.compress(data, wbits=-15) if name == "deflate" and rng.random() < 0.3 else compression.compress(data, name)
    )
    if rng.random() < 0.1:
        name = rng.choice(("gzip", "deflate", "zstd", "br", "gzip, gzip", "x-odd", "identity"))
    return name, packed

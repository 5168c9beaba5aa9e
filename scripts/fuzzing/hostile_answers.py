"""Three kinds of cases: whole answers and streams of an upstream that is broken or hostile, and many of them at once.

`Script` puts the bytes of a case on the wire. Begin reading at `answers`, `streams` and `crowds`.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from scripts.fuzzing import mutation, seeds
from scripts.fuzzing.exchanges import Sent, ask, judge
from scripts.fuzzing.programs import Programs, Served, well_behaved
from tests.support.provider import Call

CROWD = 12
_TARGETS = ("plain", "plain", "watched", "disk")
_DATA = re.compile(rb"^data: (.*)$", re.MULTILINE)
_TYPES = ("application/json", "text/event-stream", "text/html", "text/plain", "", "application/octet-stream", "x")
_HEADERS = (
    *(
        b"X-Odd: \xff\xfe",
        b"Retry-After: soon",
        b"x-request-id: a\tb",
        b"Connection: close, x-y",
        b"Keep-Alive: timeout=0",
    ),
    *(
        b"Set-Cookie: a=b",
        b"Content-Language: \xe2\x80\xae",
        b"Date: never",
        b"Trailer: X",
        b"Upgrade: h2c",
        b"X-Empty:",
    ),
    *(b"Content-Type: application/json", b"X-Long: " + b"y" * 9000, b"x-cache: hit", b"x-llmproxy-session: s\x0b"),
)
_LOCATIONS = ("/v1/chat/completions", "http://127.0.0.1:1/x", "//", "http://[", "\x00", "", "ftp://x", "/" + "a" * 9000)
_FRAMES = (
    *(b"", b": comment", b"data:", b"data: ", b"data: {}", b"data: null", b"data: [DONE]", b"data: [", b"event: ping"),
    *(b'event: ping\ndata: {"type": "ping"}', b"id: 0", b"retry: 10", b"event: error\ndata: {}", b"data: : keepalive"),
    *(b'data: {"error": {"message": "busy", "type": "server_error"}}', b'event: error\ndata: {"type": "error"}'),
    *(
        b'data: {"type": "message_stop"}',
        b'data: {"type": "response.completed"}',
        b'data: {"choices": []}',
        b"\xff\xfe",
    ),
    *(
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}',
        b"data: " + b"[" * 3000,
        b": " * 4000,
    ),
)

_EVENT = re.compile(rb":event-type\x07\x00.([A-Za-z]+)")
_MESSAGES = (
    *(seeds.message("ping", {}), seeds.message("messageStop", {}), seeds.message("metadata", {"usage": None})),
    *(seeds.message("throttlingException", {"message": "busy"}), seeds.message("chunk", {"bytes": "e30="})),
    *(b"", b"\x00" * 16, b"\x00\x00\x00\x10" * 4, b"\x7f\xff\xff\xff" + b"\x00" * 12),
)

End = Literal["keep", "fin", "rst", "stall"]


@dataclass(slots=True, kw_only=True)
class Script:
    """Answers every call of a model by `pieces`, then keeps the connection, closes or resets it, or says no more."""

    sent: Sent
    pieces: list[bytes]
    end: End
    pauses: bool = False

    async def __call__(self, call: Call) -> None:
        if call.request.method != "POST":
            await well_behaved(call)
            return
        self.sent.calls += 1
        for piece in self.pieces:
            await call.send(piece)
            if self.pauses:
                await asyncio.sleep(0.001)
        if self.end == "stall":
            await call.connection.left.wait()
        elif self.end == "rst":
            call.connection.rst()
        elif self.end == "fin":
            call.connection.fin()


def answers(rng: Random, programs: Programs, id_: str) -> None:
    """Send one whole answer."""
    _case(rng, programs[rng.choice(_TARGETS)], id_, _answer, streamed=rng.random() < 0.2)


def streams(rng: Random, programs: Programs, id_: str) -> None:
    """Send one stream."""
    _case(rng, programs[rng.choice(_TARGETS)], id_, _stream, streamed=rng.random() < 0.95)


def crowds(rng: Random, programs: Programs, id_: str) -> None:
    """Send some answers and streams at the same time, over the same connections."""
    with ThreadPoolExecutor(CROWD) as pool:
        cases = [
            pool.submit(rng.choice((answers, streams)), Random(rng.random()), programs, f"{id_}-{number}")
            for number in range(CROWD)
        ]
    for case in cases:
        case.result()


def _case(rng: Random, served: Served, id_: str, make: Any, *, streamed: bool) -> None:
    dialect, provider = rng.choice(seeds.NAMES), seeds.provider(rng)
    target = seeds.DIALECT_OF[provider]
    body = seeds.request(rng, dialect) | {"model": seeds.model(rng, provider), "stream": streamed}
    if rng.random() < 0.05:
        body["model"] = "any"  # a target of each dialect
    script: Script = make(rng, target)
    if body["model"] == "any" or (dialect == "gemini" and not streamed):  # which gets odd streams as an array
        script.sent.certain = False
    served.scripts[id_] = script
    try:
        leave_after = rng.randint(0, 1500) if rng.random() < 0.05 else None
        fields = ("Accept-Encoding: gzip, deflate, zstd",) if rng.random() < 0.2 else ()
        outcome = ask(
            served,
            seeds.path_of(dialect, body["model"], stream=streamed),
            json.dumps(body).encode(),
            *fields,
            id_=id_,
            leave_after=leave_after,
            reuse=rng.random() < 0.3,
        )
        judge(dialect, target if body["model"] != "any" else dialect, outcome, script.sent)
        served.upstream.check()
    finally:
        del served.scripts[id_]
        served.upstream.forget()


def _answer(rng: Random, target: str) -> Script:
    """Make a whole answer that is wrong in one or two ways."""
    body = mutation.to_json(rng, _content(rng, target))
    sent = Sent(
        body=body, status=rng.choice((200,) * 12 + (201, 204, 304, 302, 307, 400, 404, 429, 500, 503, 529, 999, 600))
    )
    type_ = rng.choice(("application/json",) * 6 + _TYPES)
    fields = [f"Content-Type: {type_}".encode()] if type_ else []
    if 300 <= sent.status < 400 or rng.random() < 0.02:
        fields.append(b"Location: " + rng.choice(_LOCATIONS).encode())
    if rng.random() < 0.2:
        fields += rng.choices(_HEADERS, k=rng.randint(1, 3))
        sent.certain = False
    if rng.random() < 0.15:
        name, sent.body = mutation.compress(rng, body)
        if rng.random() < 0.3:
            sent.body = mutation.cut(rng, sent.body) if rng.random() < 0.5 else mutation.flip_bytes(rng, sent.body)
        fields.append(f"Content-Encoding: {name}".encode())
        sent.certain = False
    return _on_the_wire(rng, sent, fields)


def _content(rng: Random, target: str) -> Any:
    """Return the value of an answer: a reply, one of another dialect, an error, anything."""
    match rng.randrange(10):
        case 0:
            return rng.choice(mutation.ODD)
        case 1:
            return rng.choice(seeds.REPLIES[rng.choice(list(seeds.REPLIES))])
        case 2:
            error: Any = {"error": {"type": "x", "message": "busy", "code": rng.choice(mutation.ODD), "param": None}}
            return mutation.spoil(rng, {"type": "error", **error})
        case _:
            return mutation.spoil(rng, rng.choice(seeds.REPLIES[target]))


def _on_the_wire(rng: Random, sent: Sent, fields: list[bytes]) -> Script:
    """Frame the answer; now and then not as HTTP has it, or not to its end."""
    framing = rng.choice(("length", "length", "chunked", "chunked", "eof"))
    wire = sent.body
    if framing == "chunked":
        wire = _chunks(rng, sent.body) + b"0\r\n\r\n"
        fields.append(b"Transfer-Encoding: chunked")
    elif framing == "length":
        fields.append(b"Content-Length: %d" % len(sent.body))
    if sent.status in (204, 304):
        sent.certain = False
    wire, end = _broken_off(rng, sent, wire, framing)
    head = b"HTTP/1.1 %d Odd\r\n" % sent.status + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
    if rng.random() < 0.05:
        head, sent.certain, end = mutation.flip_bytes(rng, head), False, "fin"
    if rng.random() < 0.03:
        before = rng.choice((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"))
        head = before * rng.randint(1, 20) + head
    return Script(sent=sent, pieces=_pieces(rng, head + wire), end=end, pauses=rng.random() < 0.3)


def _broken_off(rng: Random, sent: Sent, wire: bytes, framing: str) -> tuple[bytes, End]:
    """Cut the body, change its bytes, or let it stand still; most often do nothing."""
    fate = rng.random()
    if fate < 0.25 and framing != "eof" and wire:
        wire = wire[: rng.randrange(len(wire))]
        sent.whole, sent.body = False, sent.body[: len(wire)] if framing == "length" else _unchunked(wire)
        return wire, rng.choice(("fin", "fin", "fin", "rst"))
    if fate < 0.33:
        sent.certain = False
        return mutation.flip_bytes(rng, wire), rng.choice(("fin", "fin", "rst"))
    if fate < 0.335 and wire:
        sent.whole = sent.certain = False
        return wire[:-1], "stall"
    return wire, "fin" if framing == "eof" else "keep"


def _chunks(rng: Random, body: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _pieces(rng, body))


def _unchunked(wire: bytes) -> bytes:
    """Return the body in chunks of which the last may be cut."""
    body = b""
    while (at := wire.find(b"\r\n")) > 0:
        size = int(wire[:at], 16)
        body += wire[at + 2 : at + 2 + size]
        wire = wire[at + 2 + size + 2 :]
    return body


def _pieces(rng: Random, data: bytes) -> list[bytes]:
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.choice((0, 0, 1, 2, 5, 20))))
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [part for part in parts if part]


def _stream(rng: Random, target: str) -> Script:
    """Make a stream that is wrong in one or two ways, or right."""
    other = target if rng.random() < 0.97 else rng.choice(list(seeds.STREAMS))
    body = rng.choice(seeds.STREAMS[other])
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        body = _changed(rng, other, body)
    sent = Sent(body=body, streamed=True)
    binary = b"application/vnd.amazon.eventstream"
    type_ = binary if target in seeds.BINARY else b"text/event-stream" + rng.choice((b"", b"; charset=utf-8"))
    fields = [b"Content-Type: " + type_]
    if rng.random() < 0.05:
        name, sent.body = mutation.compress(rng, body)
        fields.append(f"Content-Encoding: {name}".encode())
        sent.certain = False
    return _on_the_wire(rng, sent, fields)


def _changed(rng: Random, dialect: str, stream: bytes) -> bytes:
    """Change one thing in a stream."""
    match rng.randrange(6):
        case 0:
            return mutation.flip_bytes(rng, stream)
        case 1:
            return mutation.cut(rng, stream)
        case 2 if dialect not in seeds.BINARY:
            return _other_lines(rng, stream)
        case _:
            return seeds.joined(dialect, _changed_frames(rng, dialect, seeds.frames_of(dialect, stream)))


def _changed_frames(rng: Random, dialect: str, frames: list[bytes]) -> list[bytes]:
    """Leave out, double, exchange or change a frame, or end before it."""
    at = rng.randrange(len(frames))
    match rng.randrange(8):
        case 0:
            return [*frames[:at], b""]
        case 1:
            frames.insert(at, rng.choice(frames))
        case 2:
            del frames[at]
        case 3:
            frames.insert(at, rng.choice(_MESSAGES if dialect in seeds.BINARY else _FRAMES))
        case 4:
            other = rng.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        case _ if dialect in seeds.BINARY:
            frames[at] = _spoiled_message(rng, frames[at])
        case _:
            frames[at] = _DATA.sub(lambda match: b"data: " + _spoiled(rng, match[1]), frames[at], count=1)
    return frames


def _spoiled_message(rng: Random, frame: bytes) -> bytes:
    """Return a binary message with another value and right checksums; one that is broken with other bytes."""
    name, start = _EVENT.search(frame), frame.find(b"{")
    try:
        value = mutation.spoil(rng, json.loads(frame[start:-4]))
    except (ValueError, RecursionError):
        return mutation.flip_bytes(rng, frame)
    return seeds.message("chunk" if name is None else name[1].decode(), value)


def _other_lines(rng: Random, stream: bytes) -> bytes:
    """Write the same events in another of the forms of the SSE specification."""
    match rng.randrange(5):
        case 0:
            return stream.replace(b"\n", b"\r\n")
        case 1:
            return stream.replace(b"\n", b"\r")
        case 2:
            return stream.replace(b"data: ", b"data:").replace(b"event: ", b"event:")
        case 3:
            return b"\xef\xbb\xbf" + stream
        case _:
            return re.sub(rb"\n", lambda _: rng.choice((b"\n", b"\r\n", b"\n", b"\n: x\n")), stream)


def _spoiled(rng: Random, data: bytes) -> bytes:
    try:
        value = mutation.spoil(rng, json.loads(data))
    except (ValueError, RecursionError):  # it has been changed before
        return mutation.flip_bytes(rng, data)
    return mutation.to_json(rng, value).replace(b"\n", b" ")

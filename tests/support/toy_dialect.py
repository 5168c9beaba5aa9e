"""A dialect that no vendor has: other member names, the model in the path, a stream of lines of JSON, its own errors.

It shows that a dialect is a codec and a few facts. `tests/support/toy_program.py` puts it into the catalog of the
program; nothing below `llmproxy/` knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import DerivedReshape, readers
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.lenient_json import count
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import (
    Block,
    Instruction,
    Message,
    Reply,
    Request,
    Sampling,
    StopReason,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_encode import StreamEncoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.errors import ProxyError
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_value, write_value
from tests.support.json_lines import JSON_LINES

PATH, STREAM_PATH = "/toy/{model}:run", "/toy/{model}:stream"
_REASONS: dict[StopReason, str] = {"end": "done", "length": "cap", "tool_calls": "use"}
_STOPS: dict[str, StopReason] = {word: reason for reason, word in _REASONS.items()}
_PICKS: dict[str, str] = {"auto": "free", "none": "never", "required": "must"}


def decode_request(body: dict[str, Any]) -> Request:
    members = Members(body)
    persona = members.text("persona")
    if "talk" not in members.rest:
        members.missing("talk")
    pick = members.word("pick", tuple(_PICKS.values()))
    modes: dict[str, Any] = {word: mode for mode, word in _PICKS.items()}
    return Request(
        dialect="toy",
        model="",
        system=[Instruction(path="persona", content=[Text(text=persona)])] if persona else [],
        messages=[_decode_line(line) for line in members.objects("talk")],
        tools=[
            Tool(
                path=each.path,
                name=each.needed_text("fn"),
                description=each.text("about"),
                schema=each.object("takes"),
                extra=each.left(),
            )
            for each in members.objects("gadgets")
        ],
        tool_choice=None if pick is None else ToolChoice(path="pick", mode=modes[pick]),
        sampling=Sampling(temperature=members.number("heat"), max_tokens=members.whole("cap")),
        paths={"temperature": "heat", "max_tokens": "cap"},
        extra=members.left(),
    )


def _decode_line(line: Members) -> Message:
    by = line.word("by", ("human", "bot", "gadget"))
    text = line.text("say")
    content: list[Block] = [] if text is None else [Text(path=line.at("say"), text=text)]
    if by == "gadget":
        result = ToolResult(path=line.path, id=line.needed_text("ref"), content=[Text(text=line.needed_text("gave"))])
        return Message(path=line.path, role="user", content=[result])
    for call in line.objects("uses"):
        content.append(_decode_call(call))
    if by is None or not content:
        wrong(line.path, "says nothing")
    return Message(path=line.path, role="assistant" if by == "bot" else "user", content=content, extra=line.left())


def _decode_call(call: Members) -> ToolCall:
    arguments = write_value(call.object("with") or {}).decode()
    return ToolCall(path=call.path, id=call.needed_text("ref"), name=call.needed_text("fn"), arguments=arguments)


def encode_request(request: Request, context: EncodeContext) -> dict[str, Any]:
    body: dict[str, Any] = {"talk": [line for message in request.messages for line in _lines(message, context)]}
    system = [block.text for each in request.system for block in each.content]
    if system:
        body["persona"] = "\n".join(system)
    if request.tools:
        body["gadgets"] = [
            {"fn": tool.name, "about": tool.description or "", "takes": tool.schema or {}}
            for tool in request.tools
            if isinstance(tool, Tool)
        ]
    if request.tool_choice is not None and request.tool_choice.mode in _PICKS:
        body["pick"] = _PICKS[request.tool_choice.mode]
    sampling = request.sampling
    for name, value in (("heat", sampling.temperature), ("cap", sampling.max_tokens)):
        if value is not None:
            body[name] = value
    for name in request.knobs:
        context.drop(request.where(name))
    if context.own:
        body.update(request.extra)
    else:
        context.drop_extra(request)
    return body


def _lines(message: Message, context: EncodeContext) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    words: list[str] = []
    uses: list[dict[str, Any]] = []
    for block in message.content:
        match block:
            case Text():
                words.append(block.text)
            case ToolCall():
                uses.append(_use(block))
            case ToolResult():
                gave = "".join(each.text for each in block.content if isinstance(each, Text))
                lines.append({"by": "gadget", "ref": block.id, "gave": gave})
            case Thinking():
                context.drop(block.path or "thinking")
            case _:
                context.refuse(block.path, "The toy has words only")
    if words or uses:
        said = {"say": "".join(words)} if words else {}
        used = {"uses": uses} if uses else {}
        lines.append({"by": "bot" if message.role == "assistant" else "human", **said, **used})
    return lines


def _use(call: ToolCall) -> dict[str, Any]:
    return {"ref": call.id, "fn": call.name, "with": read_value(call.arguments.encode())}


def decode_response(body: bytes) -> Reply:
    value = read_value(body)
    if not isinstance(value, dict) or "said" not in value:
        oops = value.get("oops") if isinstance(value, dict) else None
        raise BadReply("no answer of a toy", {"message": oops["note"]} if isinstance(oops, dict) else None)
    return Reply(
        id=value["key"],
        model=value["engine"],
        content=[_said(each) for each in value["said"]],
        stop=_STOPS[value["why"]],
        dialect="toy",
        usage=_usage(value["cost"]),
    )


def _said(part: dict[str, Any]) -> Block:
    return _decode_call(Members(part["use"], "use")) if "use" in part else Text(text=part["text"])


def _usage(cost: dict[str, Any]) -> Usage:
    return Usage(input=count(cost.get("read")), output=count(cost.get("wrote")))


def _cost(usage: Usage | None) -> dict[str, Any]:
    return {} if usage is None else {"read": usage.input, "wrote": usage.output}


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    for block in reply.content:
        match block:
            case Text():
                said.append({"text": block.text})
            case ToolCall():
                said.append({"use": _use(block)})
            case _:
                context.drop("reply.content")
    return {
        "key": reply.id,
        "engine": reply.model,
        "said": said,
        "why": _REASONS.get(reply.stop, "done"),
        "cost": _cost(reply.usage),
    }


def line(value: object) -> bytes:
    """Return one frame of a stream."""
    return write_value(value) + b"\n"


class ToyStreamDecoder(StreamDecoder):
    """`begin`, then `open`, `more` and `shut` for each part, counted from 0, then `end`; or `oops`."""

    def __init__(self) -> None:
        super().__init__(JSON_LINES)

    def _decode_frame(self, frame: Frame) -> None:
        match read_value(frame.data):
            case {"begin": {"key": str(key), "engine": str(engine)}}:
                self._events.append(Start(id=key, model=engine))
            case {"open": {"ref": str(ref), "fn": str(fn)}}:
                self._open_block(ToolCall(id=ref, name=fn, arguments=""))
            case {"open": "text"}:
                self._open_block(Text(text=""))
            case {"more": str(text), "of": int(index)}:
                self._events.append(Delta(index=index, text=text))
            case {"shut": int(index)}:
                self._events.append(Close(index=index))
            case {"end": {"why": str(why), "cost": dict(cost)}}:
                self._events += [Stop(reason=_STOPS[why]), UsageUpdate(usage=_usage(cost)), Done()]
                self._over = True
            case {"oops": {"note": str(note)}}:
                self._fail(note)
            case _:
                self._fail("a line that no toy writes")


class ToyStreamEncoder(StreamEncoder):
    """Writes the same; what a toy has no place for is dropped."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._why = "done"
        self._numbers: dict[int, int] = {}  # of the parts that are not dropped

    def _start(self, event: Start) -> None:
        self._frames.append(line({"begin": {"key": event.id, "engine": event.model}}))

    def _open(self, event: Open) -> None:
        match event.block:
            case Text(text=text):
                self._begin_part(event.index, "text", text)
            case ToolCall(id=ref, name=name, arguments=arguments):
                self._begin_part(event.index, {"ref": ref, "fn": name}, arguments)
            case _:
                self._drop("content")

    def _begin_part(self, index: int, what: object, text: str) -> None:
        self._numbers[index] = len(self._numbers)
        self._frames.append(line({"open": what}))
        self._more(index, text)

    def _more(self, index: int, text: str) -> None:
        if text and index in self._numbers:
            self._frames.append(line({"more": text, "of": self._numbers[index]}))

    def _grow(self, event: Delta) -> None:
        self._more(event.index, event.text)

    def _cite(self, event: Cite) -> None:
        self._drop("annotations")

    def _close(self, event: Close) -> None:
        if event.index in self._numbers:
            self._frames.append(line({"shut": self._numbers[event.index]}))

    def _stop(self, event: Stop) -> None:
        self._why = _REASONS.get(event.reason, "done")

    def _end(self) -> None:
        self._frames.append(line({"end": {"why": self._why, "cost": _cost(self._usage)}}))

    def _fail(self, event: Fail) -> None:
        self._frames.append(line({"oops": {"note": event.message, "num": event.status}}))


def decode_error(status: int, body: bytes) -> ProxyError:
    value = read_value(body)
    oops = value.get("oops") if isinstance(value, dict) else None
    note = oops.get("note") if isinstance(oops, dict) else None
    return ProxyError(str(note or "the toy is broken"), status=status, code="toy_error")


def _oops(error: ProxyError) -> dict[str, Any]:
    return {"oops": {"note": error.message, "num": error.status, "kind": error.code}}


def write_error(error: ProxyError, request_id: str) -> bytes:
    return write_value(_oops(error))


def write_error_event(error: ProxyError, request_id: str) -> bytes:
    return line(_oops(error))


CODEC = Codec(
    name="toy",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ToyStreamDecoder,
    stream_encoder=ToyStreamEncoder,
    decode_error=decode_error,
    key_header="x-toy-key",
    key_scheme="",
    takes_url=frozenset(),
)

TOY = Dialect(
    name="toy",
    paths=(PATH,),
    stream_paths=(STREAM_PATH,),
    framing=JSON_LINES,
    write_error=write_error,
    write_error_event=write_error_event,
    codec=CODEC,
    readers=readers(CODEC),
    reshape=DerivedReshape(CODEC, stream_fields=()),
)


# -- a vendor that speaks it, and no other word


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a conversation, strictly."""

    by: str
    say: str | None = None
    ref: str | None = None
    gave: str | None = None
    uses: Sequence[dict[str, Any]] = ()


class ToyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A request, strictly: unknown members, the model and the stream flag are refused."""

    talk: list[Line]
    persona: str | None = None
    gadgets: list[dict[str, Any]] = []
    pick: str | None = None
    heat: float | None = None
    cap: int | None = None

"""Streams of any blocks, interleaved in any way: as the vendor has them, and read back as they were told.

The SDK's accumulator forgives much that agents do not, so `consistent` follows places, names and growth itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Refusal, Reply, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.responses import CODEC
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from tests.support.draws import draws
from tests.support.full_responses_request import FULL, read
from tests.support.sdk_clients import openai_client

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_THOROUGH = draws(120, suppress_health_check=list(HealthCheck))
_LIKELY = {"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}
_SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
_REASONS: list[StopReason] = ["end", "length", "tool_calls", "refusal", "content_filter", "context_window"]
_USAGE = Usage(input=3, output=4, cache_read=1, reasoning=1)
_TEXTS = st.lists(st.sampled_from(["a", "é\u2028", "", "\ud800", 'x"\\\n\n']), max_size=3)


class _Told:
    """An item as its events tell it: its parts by their place, each with its text and number of citations."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.name = item["id"]
        self.open = True
        self.parts: dict[object, list[Any]] = {}
        self.unfinished: set[object] = set()


def consistent(data: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream. Fails where one is none of the SDK's, or contradicts those before it."""
    events = []
    items: list[_Told] = []
    for number, frame in enumerate(frame for frame in data.split(b"\n\n") if frame):
        head, line = frame.split(b"\ndata: ")
        event = json.loads(line)
        assert (head, event["sequence_number"]) == (b"event: " + event["type"].encode(), number)
        if event["type"] != "error":
            _EVENT.validate_python(event)
        _follow(items, event)
        events.append(event)
    if events[-1]["type"] not in ("error", "response.failed"):
        assert not any(item.open for item in items)
        Response.model_validate(events[-1]["response"])
        assert [item["id"] for item in events[-1]["response"]["output"]] == [item.name for item in items]
    return events


def _follow(items: list[_Told], event: dict[str, Any]) -> None:
    kind = event["type"].removeprefix("response.")
    if kind == "output_item.added":
        assert event["output_index"] == len(items) and event["item"]["id"] not in [item.name for item in items]
        items.append(_Told(event["item"]))
    elif kind == "output_item.done":
        _finish(items[event["output_index"]], event["item"])
    elif "item_id" in event:
        actual = items[event["output_index"]]
        assert actual.open and actual.name == event["item_id"]
        _grow(actual, event, kind)


def _grow(actual: _Told, event: dict[str, Any], kind: str) -> None:
    place = event.get("summary_index", event.get("content_index", "call"))
    if kind.endswith("part.added"):
        assert place == len(actual.parts)
        actual.unfinished.add(place)
    elif place != "call":
        assert place in actual.unfinished
    part = actual.parts.setdefault(place, ["", 0])
    if kind.endswith(".delta"):
        part[0] += event["delta"]
    elif kind.endswith("annotation.added"):
        assert event["annotation_index"] == part[1]
        part[1] += 1
    elif kind.endswith("part.done"):
        actual.unfinished.remove(place)
    elif kind.endswith(".done"):
        assert _text_of(event) == part[0]


def _finish(actual: _Told, item: dict[str, Any]) -> None:
    assert actual.open and actual.name == item["id"] and not actual.unfinished
    actual.open = False
    for place, (text, cited) in actual.parts.items():
        whole = item if place == "call" else _parts(item)[place]
        assert (_text_of(whole), len(whole.get("annotations", ()))) == (text, cited)


def _parts(item: dict[str, Any]) -> Any:
    return item["content"] if item["type"] == "message" else item["summary"]


def _text_of(whole: dict[str, Any]) -> object:
    return next(whole[name] for name in ("text", "refusal", "arguments", "input") if name in whole)


def _blocks(number: int) -> list[tuple[Block, Close]]:
    """Return one block of each kind as it is opened, with what closes it."""
    close = Close(index=number)
    thought = {"~summary": [{"type": "summary_text", "text": "elsewhere"}], "~status": "completed"}
    return [
        (Text(text=""), close),
        (Text(text="pre", annotations=[Citation(url="https://h")], logprobs=[_LIKELY]), close),
        (Refusal(text=""), close),
        (ToolCall(id=f"c{number}", name="f", arguments=""), close),
        (ToolCall(id=f"c{number}", name="f", arguments='{"a"', extra={"a": 1, "~id": "fc_9"}), close),
        (ToolCall(id=f"d{number}", name="g", arguments="", custom=True), close),
        (Thinking(text="", dialect="messages"), Close(index=number, signature="s")),
        (Thinking(text="", dialect="messages", encrypted="z", redacted=True), close),
        (
            Thinking(text="", dialect="responses", id=f"rs_{number}", summary=True),
            Close(index=number, encrypted="g", extra=thought),
        ),
        (Opaque(dialect="responses", kind="web_search_call", value=_SEARCH), close),
        (Opaque(dialect="messages", kind="server_tool_use", value={}), close),
        (Media(kind="image", data="QQ=="), close),
    ]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Blocks that grow at the same time or one by one; begun in their order."""
    queues: list[list[Event]] = []
    for number in range(draw(st.integers(0, 5))):
        opened, close = draw(st.sampled_from(_blocks(number)))
        grown: list[Event] = [] if isinstance(opened, Opaque | Media) else _growth(draw, number, opened)
        queues.append([Open(index=number, block=opened), *grown, close])
    events: list[Event] = [Start(id=draw(st.sampled_from(["chatcmpl-7", "msg_x", ""])), model="m-1")]
    begun, interleaved = 0, draw(st.booleans())
    while any(queues):
        choices = [number for number, queue in enumerate(queues) if queue and number <= begun]
        chosen = draw(st.sampled_from(choices)) if interleaved else choices[0]
        events.append(queues[chosen].pop(0))
        begun = max(begun, chosen + 1)
    return [*events, Stop(reason=draw(st.sampled_from(_REASONS))), UsageUpdate(usage=_USAGE), Done()]


def _growth(draw: st.DrawFn, number: int, opened: Block) -> list[Event]:
    grown: list[Event] = [Delta(index=number, text=text) for text in draw(_TEXTS)]
    if isinstance(opened, Text) and draw(st.booleans()):
        cited = draw(st.sampled_from([Citation(url="https://i", quote="q"), Citation(file_id="f"), Citation()]))
        grown += [Cite(index=number, citation=cited), Delta(index=number, text="x", logprobs=[_LIKELY])]
    return grown


def write(events: Sequence[Event], *, one_by_one: bool) -> bytes:
    writer, losses = CODEC.stream_encoder(CODEC.decode_request(FULL) if one_by_one else read()), Losses()
    given = copy.deepcopy(events)
    if one_by_one:
        return b"".join(writer.encode([event], losses) for event in given)
    return writer.encode(given, losses)


@given(streams(), st.booleans())
@_THOROUGH
def test_every_event_fits_those_before_it(events: list[Event], one_by_one: bool) -> None:
    data = write(events, one_by_one=one_by_one)
    last = consistent(data)[-1]
    with openai_client([data]).responses.stream(model="m", input="x") as stream:
        assert [event.type for event in stream][-1] == last["type"]


@given(streams(), st.data())
@_THOROUGH
def test_a_failure_may_come_at_any_point(events: list[Event], data: st.DataObject) -> None:
    cut = [*events[: data.draw(st.integers(0, len(events) - 1))], Fail(message="boom", code="x", status=429)]
    actual = consistent(write(cut, one_by_one=data.draw(st.booleans())))
    assert [event["type"] for event in actual].count("error") == 1 and actual[-1]["type"] == "error"


@given(streams(), st.sampled_from([1, 2, 7, 1 << 20]))
@_THOROUGH
def test_what_was_written_is_read_back(events: list[Event], size: int) -> None:
    data = write(events, one_by_one=False)
    whole = CODEC.decode_response(json.dumps(consistent(data)[-1]["response"]).encode())
    found = read_back(data, size)
    assert (found.stop, found.usage, said(found)) == (whole.stop, whole.usage, said(whole))


_KINDS = ["delta", "text.done", "content_part", "arguments", "input.", "item.added", "summary", "annotation", "created"]


@given(streams(), st.sets(st.sampled_from(_KINDS), max_size=4))
@_THOROUGH
def test_what_a_service_leaves_out_is_read_from_whole_items(events: list[Event], without: set[str]) -> None:
    """Whichever events never come: while items are finished, nothing is lost and nothing is told twice."""
    data = write(events, one_by_one=False)
    frames = [frame for frame in data.split(b"\n\n") if frame]
    kept = [frame for frame in frames if not any(kind.encode() in frame.split(b"\n")[0] for kind in without)]
    assert said(read_back(b"\n\n".join([*kept, b""]))) == said(read_back(data))


def read_back(data: bytes, size: int = 1 << 20) -> Reply:
    reader = CODEC.stream_decoder()
    events = [event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])]
    found = collect([*events, *reader.close()])
    assert isinstance(found, Reply), found
    return found


def said(reply: Reply) -> list[tuple[object, ...]]:
    """Return what a reply says, in no order: whole items may be told before parts that still grow."""
    return sorted((_said(block) for block in reply.content), key=repr)


def _said(block: Block) -> tuple[object, ...]:
    match block:
        case Text():
            return "text", block.text, len(block.annotations)
        case Refusal():
            return "refusal", block.text
        case Thinking():
            return "thinking", block.text, block.encrypted
        case ToolCall():
            return "call", block.id, block.name, block.arguments, block.custom
        case Opaque():
            return "item", json.dumps(block.value)
        case _:
            raise AssertionError(block)

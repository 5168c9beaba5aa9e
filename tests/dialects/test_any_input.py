"""Whatever comes in: requests of any JSON become a Request or a clean 400, streams of any bytes become events.

Nearly right ones are made of the golden conversations and of values from the SDKs' types, with a part of them changed.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses, Options
from llmproxy.dialects.model import Reply, Request, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Delta, Done, Event, Fail, Open, Start, Stop
from llmproxy.errors import BadRequest
from llmproxy.translation.translation import Translation, read_request
from llmproxy.wire.eventstream import MessageSplitter, read_lengths, write_message
from llmproxy.wire.json import read_value, write_value
from tests.dialects.test_every_field import BASE, VARIANTS, plausible
from tests.support.draws import draws
from tests.support.sdk_streams import StreamError, accumulate, check_reply
from tests.support.sdk_types import misfits
from tests.support.translation_cases import CASES, NAMES

_QUICK = draws(160, suppress_health_check=list(HealthCheck))

_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_ODD: Any = st.sampled_from(
    [None, True, "", "yes", 0, -1, 1.5, 1e308, [], {}, [None], [[]], [{}], {"type": None}, "\ud800"]
)


def _bodies(dialect: str) -> list[dict[str, Any]]:
    """Return the golden requests, and one with each member that there is."""
    made = [case.requests[dialect] for case in CASES if dialect in case.requests]
    return made + [plausible(BASE[dialect] | variant.value) for variant in VARIANTS[dialect]]


ALL = {name: _bodies(name) for name in NAMES}
# As many as may be drawn from without slowing hypothesis down.
SOME = {name: bodies[:: len(bodies) // 300 + 1] for name, bodies in ALL.items()}
STREAMS = {name: [case.streams[name] for case in CASES if name in case.streams] for name in NAMES}
PLAIN = next(case.requests for case in CASES if case.name == "plain")
REPLIES = {name: [case.replies[name] for case in CASES if name in case.replies] for name in NAMES}


def _places(value: object) -> list[tuple[Any, Any]]:
    """Return every array or object in a value, with each of its keys."""
    if isinstance(value, dict):
        return [place for name, each in value.items() for place in ((value, name), *_places(each))]
    if isinstance(value, list):
        return [place for index, each in enumerate(value) for place in ((value, index), *_places(each))]
    return []


@st.composite
def spoiled(draw: st.DrawFn, values: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw one of some values in which one or two places hold something else, or nothing."""
    value: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(values))))
    for _ in range(draw(st.integers(1, 2))):
        places = _places(value)
        if not places:
            return value
        holder, key = draw(st.sampled_from(places))
        if draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw(_ODD | _JSON))  # the next place may lie in it
    return value


def read(dialect: str, body: dict[str, Any]) -> Request | None:
    """Return the request; None for a clean 400."""
    try:
        request = codecs()[dialect].decode_request(body)
    except BadRequest as error:
        assert error.status == 400 and error.message
        return None
    assert isinstance(request, Request)
    return request


def _encoded(target: str, request: Request) -> dict[str, Any]:
    codec = codecs()[target]
    return codec.encode_request(request, codec.context(request.dialect, Losses()))


def write_everywhere(request: Request) -> None:
    """Let each dialect write it, or say in a clean 400 what it cannot carry."""
    for codec in codecs().values():
        losses = Losses()
        try:
            body = codec.encode_request(request, codec.context(request.dialect, losses))
        except BadRequest as error:
            assert error.status == 400 and error.message
            continue
        write_value(body)
        assert all(isinstance(path, str) and path for path in losses.dropped)


@pytest.mark.parametrize("dialect", NAMES)
@given(data=st.data())
@_QUICK
def test_any_object_is_a_request_or_a_clean_400(dialect: str, data: st.DataObject) -> None:
    body = data.draw(st.dictionaries(st.text(max_size=8), _JSON, max_size=4) | spoiled(SOME[dialect]))
    request = read(dialect, body)
    if request is not None:
        write_everywhere(request)


@pytest.mark.parametrize("depth", [200, 900, 50_000])
@pytest.mark.parametrize("dialect", NAMES)
def test_what_is_nested_deeply_is_written_or_refused(dialect: str, depth: int) -> None:
    schema = '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    case = next(case for case in CASES if case.name == "one-tool")
    body = json.dumps(case.requests[dialect]).replace(json.dumps(_schema(case.requests[dialect])), schema)
    assert len(body) > len(schema)
    for target in NAMES:
        try:
            request = read_request(codecs()[dialect], body.encode())
            made = Translation(
                request,
                codecs()[dialect],
                codecs()[target],
                options=Options(),
                strict=False,
            )
            made.request("model-1")
        except BadRequest as error:
            assert depth > 200 and error.status == 400 and "nested" in error.message


def _schema(body: dict[str, Any]) -> Any:
    if "toolConfig" in body:
        return body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    tool = body["tools"][0]
    if "functionDeclarations" in tool:
        return tool["functionDeclarations"][0]["parametersJsonSchema"]
    return tool.get("input_schema") or tool.get("parameters") or tool["function"]["parameters"]


@pytest.mark.parametrize("source", NAMES)
def test_a_large_image_passes(source: str) -> None:
    """30 MB of base64."""
    case = next(case for case in CASES if case.name == "image-base64")
    text = json.dumps(case.requests[source])
    image = re.search(r'iVBORw0KGgo[^"]*', text)
    assert image is not None
    body = text.replace(image[0], "iVBORw0KGgo" + "A" * 30_000_000).encode()
    for target in set(NAMES) - {source}:
        request = read_request(codecs()[source], body)
        assert (
            len(
                write_value(
                    codecs()[target].encode_request(request, codecs()[target].context(request.dialect, Losses()))
                )
            )
            > 30_000_000
        )


@pytest.mark.parametrize("source", NAMES)
def test_half_a_pair_of_surrogates_is_a_clean_400(source: str) -> None:
    """JSON can say it, UTF-8 cannot."""
    with pytest.raises(BadRequest, match="surrogate"):
        read_request(codecs()[source], json.dumps(PLAIN[source]).replace("What", r"\ud800").encode())


@pytest.mark.parametrize("dialect", NAMES)
def test_what_can_be_sent_is_written_as_the_vendors_types_have_it(dialect: str) -> None:
    """Each request that an SDK can send, in the two other dialects."""
    wrong: dict[str, list[str]] = {}
    for body in ALL[dialect]:
        for target in set(NAMES) - {dialect}:
            try:
                written = _encoded(target, codecs()[dialect].decode_request(body))
            except BadRequest:
                continue
            found = misfits(target, written)
            if found:
                wrong[json.dumps(body)[:300]] = found
    assert wrong == {}


def events_of(dialect: str, data: bytes, cuts: list[int]) -> list[Event]:
    """Return what a reader tells of a stream that arrives in pieces."""
    reader = codecs()[dialect].stream_decoder()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    events: list[Event] = []
    for start, end in itertools.pairwise(places):
        events += reader.feed(data[start:end])
    events += reader.close()
    return [*events, *reader.feed(b"data: {}\n\n"), *reader.close()]


def check_events(events: list[Event]) -> None:
    """Check that there is one end, nothing after it; deltas of open blocks alone."""
    ends = [index for index, event in enumerate(events) if isinstance(event, Done | Fail)]
    assert ends == [len(events) - 1]
    opened: set[int] = set()
    for event in events:
        if isinstance(event, Open):
            assert event.index not in opened
            opened.add(event.index)
        elif isinstance(event, Delta):
            assert event.index in opened and isinstance(event.text, str)
    if isinstance(events[-1], Done):
        assert sum(isinstance(event, Stop) for event in events) == 1
        assert isinstance(events[0], Start) or sum(isinstance(event, Start) for event in events) == 1
    collect(copy.deepcopy(events))


def write_streams(events: list[Event], read_from: str) -> None:
    """What each writer makes of it is read by the vendor's SDK. What a provider says in its own dialect beside what is
    understood goes back as it stood."""
    for name in set(NAMES) - {read_from}:
        codec = codecs()[name]
        writer = codec.stream_encoder(codec.decode_request(PLAIN[name]))
        losses = Losses()
        frames = b"".join(writer.encode([event], losses) for event in events)
        if isinstance(events[-1], Fail):
            with pytest.raises(StreamError):
                accumulate(name, frames, named=False)
        elif name not in ("messages", "converse") or _calls_are_json(events):
            accumulate(name, frames, named=False)


def _calls_are_json(events: list[Event]) -> bool:
    """Return whether what models say as arguments is JSON. Its pieces are passed on as they come, and the SDK of
    messages reads them as they come."""
    reply = collect(copy.deepcopy(events))
    assert isinstance(reply, Reply)
    calls = [block.arguments for block in reply.content if isinstance(block, ToolCall) and not block.custom]
    return all(isinstance(read_value(call.encode("utf-8", "replace")), dict) for call in calls if call.strip())


def _frames(dialect: str, stream: bytes) -> list[bytes]:
    """Return the frames of a stream, without what stands between them."""
    if dialect != "converse":
        return stream.replace(b"\r\n", b"\n").split(b"\n\n")
    frames, at = [], 0
    while (lengths := read_lengths(stream, at)) is not None:
        frames.append(stream[at : at + lengths.total])
        at += lengths.total
    return frames


def _spoiled(draw: st.DrawFn, dialect: str, frame: bytes) -> bytes:
    """Return a frame with another member, where it holds an object."""
    if dialect == "converse":
        [read] = MessageSplitter().feed(frame)
        return write_message(read.event, write_value(draw(spoiled([json.loads(read.data)]))))
    data = frame.partition(b"data: ")[2]
    return _framed(dialect, draw(spoiled([json.loads(data)]))).rstrip(b"\n") if data[:1] == b"{" else frame


def _framed(dialect: str, event: dict[str, Any]) -> bytes:
    kind = event.get("type")
    head = f"event: {kind}\n".encode("utf-8", "replace") if dialect != "chat" and isinstance(kind, str) else b""
    return head + b"data: " + write_value(event) + b"\n\n"


@st.composite
def broken_streams(draw: st.DrawFn, dialect: str) -> bytes:
    """Draw a golden stream with a frame changed, left out, doubled or put elsewhere; or any bytes."""
    stream: bytes = draw(st.sampled_from(STREAMS[dialect]))
    between = b"" if dialect == "converse" else b"\n\n"
    frames = _frames(dialect, stream)[:40]
    how = draw(st.sampled_from(["member", "member", "member", "order", "cut", "bytes"]))
    place = draw(st.integers(0, len(frames) - 1))
    if how == "bytes":
        return draw(st.binary(max_size=60)) + between.join(frames[:place]) + draw(st.binary(max_size=60))
    if how == "cut":
        return between.join(frames)[: draw(st.integers(0, 3000))]
    if how == "order":
        other = draw(st.integers(0, len(frames) - 1))
        frames[place], frames[other] = frames[other], draw(st.sampled_from([frames[place], frames[other], b""]))
        return between.join(frames) + between
    frames[place] = _spoiled(draw, dialect, frames[place])
    return between.join(frames) + between


@pytest.mark.parametrize("dialect", NAMES)
@given(data=st.data())
@_QUICK
def test_any_stream_is_read_to_one_end_and_written_as_the_vendors_sdk_reads_it(
    dialect: str, data: st.DataObject
) -> None:
    stream = data.draw(broken_streams(dialect))
    events = events_of(dialect, stream, data.draw(st.lists(st.integers(0, 5000), max_size=4)))
    check_events(events)
    write_streams(events, dialect)


@pytest.mark.parametrize("name", ["\ud800", "\x00", "", "\udc00type"])
@pytest.mark.parametrize("dialect", NAMES)
def test_odd_names_of_members_cost_no_answer(dialect: str, name: str) -> None:
    """In every object of every golden answer; a name of half a character is JSON, and nothing that UTF-8 can hold."""
    codec = codecs()[dialect]
    for body in REPLIES[dialect]:
        plain = codec.decode_response(write_value(body))
        odd = codec.decode_response(json.dumps(_with_name(body, name)).encode())
        assert (odd.model, odd.stop, odd.usage) == (plain.model, plain.stop, plain.usage)
        for writer in codecs().values():
            request = writer.decode_request(PLAIN[writer.name])
            write_value(writer.encode_response(odd, request, writer.context(odd.dialect, Losses())))


def _with_name(value: Any, name: str) -> Any:
    """Return a copy with one more member in every object."""
    if isinstance(value, dict):
        return {each: _with_name(inner, name) for each, inner in value.items()} | {name: 1}
    return [_with_name(each, name) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("dialect", NAMES)
@given(data=st.data())
@_QUICK
def test_any_reply_is_one_for_every_client_or_a_clean_error(dialect: str, data: st.DataObject) -> None:
    body = data.draw(spoiled(REPLIES[dialect]))
    try:
        reply = codecs()[dialect].decode_response(write_value(body))
    except BadReply as error:
        assert 400 <= error.status < 600
        return
    for name, codec in codecs().items():
        request = codec.decode_request(PLAIN[name])
        written = codec.encode_response(reply, request, codec.context(reply.dialect, Losses()))
        if name != dialect:
            check_reply(name, json.loads(write_value(written)))

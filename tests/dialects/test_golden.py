"""Golden conversations: each in every dialect that can express it, translated between all pairs.

The files stand below `tests/golden/translation`; `tests.support.translation_cases` reads them and defines what counts
as the same.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.model import Reply, Request, Thinking
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Fail
from llmproxy.errors import Untranslatable
from llmproxy.stores.memory import MemoryResponses
from llmproxy.translation.reasoning_store import KeptReasoning, ReasoningStore
from llmproxy.translation.translation import Translation, read_request
from llmproxy.wire.sse import SSE
from tests.support.sdk_streams import StreamError, accumulate, check_reply
from tests.support.sdk_types import misfits
from tests.support.translation_cases import CASES, PAIRS, ROOT, Case, same_reply, same_request, same_stream

_ASKED = {
    *("plain", "system", "multi-turn", "image-url", "image-base64", "document", "one-tool", "parallel-tools"),
    *("tool-error", "tool-choice", "thinking", "signed-thinking", "encrypted-reasoning", "structured-output"),
    *("stop-sequence", "refusal", "max-tokens", "cache-control", "unicode", "empty-content", "long", "logprobs"),
    *("usage-chunk", "error-first", "error-mid-stream", "builtin-tool-chat", "builtin-tool-responses"),
}
_ANSWERED = [case for case in CASES if not case.failure]
_FAILED = [case for case in CASES if case.failure]


def named(case: Case) -> str:
    return case.name


def sent(case: Case) -> list[tuple[str, str]]:
    """Return the pairs of dialects in which a client can ask."""
    return [(source, target) for source, target in PAIRS if source in case.requests]


def shared(case: Case) -> list[tuple[str, str]]:
    """Return the pairs of dialects that both have the conversation."""
    return [(source, target) for source, target in sent(case) if target in case.requests]


def translation(
    case: Case, client: str, provider: str, reasoning: Mapping[str, KeptReasoning] | None = None
) -> Translation:
    """Return one call of a client of the dialect `client`."""
    return Translation(
        read_request(codecs()[client], json.dumps(case.requests[client]).encode()),
        codecs()[client],
        codecs()[provider],
        options=Options(custom_tools=True),
        strict=False,
        reasoning=reasoning or {},
    )


def test_the_cases_show_what_translation_promises() -> None:
    assert {case.name for case in CASES} >= _ASKED
    assert len({case.title for case in CASES}) == len(CASES) >= 25
    assert {folder.name for folder in ROOT.iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_case_names_its_sources_and_is_of_the_vendors_types(case: Case) -> None:
    assert case.sources and all(source.startswith("https://") for source in case.sources)
    for dialect, body in case.requests.items():
        assert misfits(dialect, body) == []
    for dialect, reply in case.replies.items():
        check_reply(dialect, reply)
    for dialect, frames in case.streams.items():
        if case.failure:
            with pytest.raises(StreamError, match=case.failure):
                accumulate(dialect, frames, named=False)
        else:
            actual = accumulate(dialect, frames, named=False)
            assert same_stream(dialect, actual) == same_stream(dialect, case.replies[dialect])
    assert case.streams.keys() == case.requests.keys()
    for what in case.expected.values():
        for each in what.values():
            assert bool(each.why) == bool(each.differs or each.lacks), each


@pytest.mark.parametrize("case", CASES, ids=named)
def test_requests(case: Case) -> None:
    for source, target in sent(case):
        expected = case.expect("requests", source, target)
        made = translation(case, source, target)
        model = case.models.get(target, case.models[source])
        if expected.refused is not None:
            with pytest.raises(Untranslatable, match=re.escape(expected.refused)) as refused:
                made.request(model)
            assert (refused.value.status, refused.value.param) == (400, expected.refused)
            continue
        body = json.loads(made.request(model))
        if target not in case.requests:
            assert sorted(made.losses.dropped) == expected.dropped
            continue
        required = expected.applied(case.requests[target])
        assert (source, target, same_request(body)) == (source, target, same_request(required))
        assert (source, target, sorted(made.losses.dropped)) == (source, target, sorted(expected.dropped))
        assert misfits(target, body) == []


@pytest.mark.parametrize("dialect, name", [("messages", "signed-thinking"), ("responses", "encrypted-reasoning")])
async def test_thinking_comes_back_bit_by_bit_where_it_is_remembered(dialect: str, name: str) -> None:
    """Both sealed texts, from clients of all other dialects."""
    case = next(case for case in CASES if case.name == name)
    request = read_request(codecs()[dialect], json.dumps(case.requests[dialect]).encode())
    store = ReasoningStore(MemoryResponses(1 << 20))
    for message in request.messages:
        await store.keep("t", dialect, message.content)
    for source, _ in (pair for pair in shared(case) if pair[1] == dialect):
        asked = read_request(codecs()[source], json.dumps(case.requests[source]).encode())
        made = translation(case, source, dialect, await store.fetch("t", dialect, asked))
        again = read_request(codecs()[dialect], made.request(request.model))
        assert _thought(again) == _thought(request) != []
        assert not {"reasoning_effort", "reasoning.effort"} & set(made.losses.dropped)


def _thought(request: Request) -> list[Thinking]:
    found = [block for message in request.messages for block in message.content if isinstance(block, Thinking)]
    return [msgspec.structs.replace(block, path="", extra={}) for block in found]


@pytest.mark.parametrize("case", _ANSWERED, ids=named)
def test_replies(case: Case) -> None:
    """The reply of a provider that speaks `source`, for a client that speaks `target`."""
    for source, target in shared(case):
        expected = case.expect("replies", source, target)
        made = translation(case, target, source)
        reply = json.loads(made.reply(json.dumps(case.replies[source]).encode()))
        required = same_reply(target, expected.applied(case.replies[target]))
        assert (source, target, same_reply(target, reply)) == (source, target, required)
        assert (source, target, sorted(made.losses.dropped)) == (source, target, sorted(expected.dropped))
        check_reply(target, reply)


@pytest.mark.parametrize("case", _ANSWERED, ids=named)
def test_streams(case: Case) -> None:
    """The same reply as a stream, cut anywhere, and what the vendor's own parser makes of it."""
    for source, target in shared(case):
        expected = case.expect("streams", source, target)
        made = translation(case, target, source)
        frames = made.stream()
        pieces = _cut(case.streams[source], random.Random(case.name))
        written = b"".join(frames.feed(piece) for piece in pieces) + frames.close()
        assert frames.done and frames.failure is None
        actual = same_stream(target, accumulate(target, written))
        required = same_stream(target, expected.applied(case.replies[target]))
        if target == "chat" and not case.requests[target].get("stream_options"):
            del required["usage"]  # not asked for
        assert (source, target, actual) == (source, target, required)
        assert (source, target, sorted(made.losses.dropped)) == (source, target, sorted(expected.dropped))


def _cut(data: bytes, chance: random.Random) -> list[bytes]:
    """`data` in pieces of any length."""
    places = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(len(data) // 40))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_stream_cut_at_any_place_tells_its_reply(case: Case) -> None:
    for dialect, data in case.streams.items():
        whole = len(data) > 20_000
        lines = data.replace(b"\n", b"\r\n") if SSE.begins(data) else data
        pieces = _cut(lines, random.Random(1)) if whole else [bytes([byte]) for byte in data]
        reader = codecs()[dialect].stream_decoder()
        events = [event for piece in pieces for event in reader.feed(piece)]
        actual = collect([*events, *reader.close()])
        if case.failure:
            assert isinstance(actual, Fail) and actual.message == case.failure and actual.status >= 400
        else:
            assert isinstance(actual, Reply)
            reply = codecs()[dialect].decode_response(json.dumps(case.replies[dialect]).encode())
            assert (dialect, _comparable(actual)) == (dialect, _comparable(reply))


def _comparable(reply: Reply) -> Any:
    """Return what a stream and a whole reply tell alike."""
    value = msgspec.to_builtins(reply)
    plain = {name: value[name] for name in ("id", "model", "content", "stop", "stop_sequence", "usage")}
    return _without_places(same_request(plain))


def _without_places(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_places(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_places(each) for name, each in value.items() if name not in ("path", "extra")}


@pytest.mark.parametrize("case", _FAILED, ids=named)
def test_failed_streams_tell_their_error(case: Case) -> None:
    for source, target in PAIRS:
        made = translation(case, target, source)
        frames = made.stream()
        written = frames.feed(case.streams[source]) + frames.close()
        assert frames.failure is not None and frames.failure.message == case.failure and not frames.done
        with pytest.raises(StreamError, match=case.failure or ""):
            accumulate(target, written)


def test_strict_translation_refuses_what_would_be_dropped() -> None:
    refused = 0
    for case in CASES:
        for source, target in sent(case):
            if not case.expect("requests", source, target).dropped:
                continue
            made = translation(case, source, target)
            made.losses.strict = True
            with pytest.raises(Untranslatable):
                made.request(case.models.get(target, case.models[source]))
            refused += 1
    assert refused > 20

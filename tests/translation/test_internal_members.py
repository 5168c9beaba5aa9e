"""What the neutral vocabulary keeps for one dialect alone never leaves in another: bookkeeping, callers, item ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmproxy.dialects.encode_context import Options
from llmproxy.errors import BadRequest
from llmproxy.translation.translation import Translation, read_request
from tests.dialects.test_every_field import BASE, VARIANTS, plausible
from tests.support.short_answers import NAMES, codec, event, frames, start, translation, whole
from tests.support.translation_cases import CASES

CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
    "caller": {"type": "program", "caller_id": "call_0"},
    "async": True,
}
FOREIGN = {"caller", "async", "phase", "sequence_number", "output_index"}


def members(value: object) -> Iterator[str]:
    """Yield the names of all members in a value, but for those of arguments and schemas, which are content."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from members(each) if name not in ("input", "arguments", "parameters", "input_schema") else ()
    elif isinstance(value, list):
        for each in value:
            yield from members(each)


def written(data: bytes) -> set[str]:
    """Return the names of all members in a body or in the frames of a stream."""
    lines = data.decode().split("\n") if data[:1] != b"{" else ["data: " + data.decode()]
    bodies = [line[6:] for line in lines if line.startswith("data: {")]
    assert bodies
    return {name for body in bodies for name in members(json.loads(body))}


def sent(client: str, provider: str, body: dict[str, Any]) -> set[str]:
    """Return the names in the request that a provider gets; none of one that is refused."""
    try:
        request = read_request(codec(client), json.dumps(body | {"model": "m"}).encode())
        made = Translation(request, codec(client), codec(provider), options=Options(), strict=False)
        return written(made.request("m"))
    except BadRequest:
        return set()


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_bookkeeping_never_leaves(client: str, provider: str) -> None:
    found: set[str] = set()
    for case in CASES:
        if provider in case.replies:
            found |= written(translation(client, provider).reply(json.dumps(case.replies[provider]).encode()))
        if provider in case.streams:
            stream = translation(client, provider).stream()
            found |= written(stream.feed(case.streams[provider]) + stream.close())
        if client in case.requests:
            found |= sent(client, provider, case.requests[client])
    for variant in VARIANTS[client]:
        found |= sent(client, provider, plausible(BASE[client] | variant.value))
    assert len(found) > 20
    assert [name for name in found if name.startswith("~")] == []


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_the_caller_of_a_call_stays_with_responses(client: str) -> None:
    answer = whole("responses") | {"output": [CALL]}
    made = translation(client, "responses")
    names = written(made.reply(json.dumps(answer).encode()))
    assert not names & FOREIGN and not any(name.startswith("~") for name in names)
    done = event("response.output_item.done", output_index=0, item=CALL)
    for added in ([event("response.output_item.added", output_index=0, item=CALL)], []):
        stream = translation(client, "responses").stream()
        got = b"".join(map(stream.feed, [start("responses"), *added, done, frames("responses", [], kind="call")[-1]]))
        names = written(got)
        assert stream.done and b"look" in got
        assert not names & FOREIGN and not any(name.startswith("~") for name in names)


@pytest.mark.parametrize("provider", ["chat", "messages"])
def test_the_caller_of_an_earlier_call_stays_with_responses(provider: str) -> None:
    output = {"type": "function_call_output", "id": "fo_1", "call_id": "call_1", "output": "x", "status": "completed"}
    names = sent("responses", provider, {"input": [{"role": "user", "content": "hi"}, CALL, output]})
    assert names and not names & (FOREIGN | {"status", "call_id"})
    assert not any(name.startswith("~") for name in names)


@pytest.mark.parametrize("client", ["chat", "responses"])
def test_the_caller_of_a_call_stays_with_messages(client: str) -> None:
    answer = whole("messages", arguments={})
    answer["content"][0]["caller"] = {"type": "code_execution", "tool_id": "srvtoolu_1"}
    assert "caller" not in written(translation(client, "messages").reply(json.dumps(answer).encode()))

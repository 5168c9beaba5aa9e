"""Two dialects put together: what is kept of thinking, what structured output becomes, what a stream tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.encode_context import Options
from llmproxy.errors import BadRequest, Untranslatable
from llmproxy.stores.memory import MemoryResponses
from llmproxy.translation.reasoning_store import KeptReasoning, ReasoningStore
from llmproxy.translation.translation import ANSWER_TOOL, Translation, read_request
from tests.support import toy_vendor, vendors
from tests.support.json_lines import JSON_LINES
from tests.support.toy_dialect import CODEC

CHAT, MESSAGES = codecs()["chat"], codecs()["messages"]
HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CALL = {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LOOP: dict[str, Any] = {
    "model": "m",
    "reasoning_effort": "high",
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_a", "content": "42"},
    ],
}


def translation(
    body: dict[str, Any],
    client: Codec = CHAT,
    provider: Codec = MESSAGES,
    *,
    reasoning: Mapping[str, KeptReasoning] | None = None,
    strict: bool = False,
    options: Options | None = None,
) -> Translation:
    return Translation(
        read_request(client, json.dumps(body).encode()),
        client,
        provider,
        options=options or Options(),
        strict=strict,
        reasoning=reasoning or {},
    )


async def continued(
    store: ReasoningStore, body: dict[str, Any], client: Codec = CHAT, provider: Codec = MESSAGES, identity: str = "t"
) -> Translation:
    """Return a request that follows what `store` has kept for `identity`."""
    kept = await store.fetch(identity, provider.name, read_request(client, json.dumps(body).encode()))
    return translation(body, client, provider, reasoning=kept)


LONG = "mcp__a_server_of_tools__" + "a_very_long_name_" * 3
NAMED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "tools": [{"name": name, "input_schema": {"type": "object"}} for name in (LONG, LONG + "s", "look")],
    "tool_choice": {"type": "tool", "name": LONG},
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": LONG, "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
    ],
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_whose_name_is_too_long_has_a_shorter_one_at_the_provider(stream: bool) -> None:
    made = translation(NAMED, MESSAGES, CHAT)
    sent = json.loads(made.request("m"))
    names = [tool["function"]["name"] for tool in sent["tools"]]
    assert [len(name) for name in names] == [64, 64, 4] and len({*names}) == 3 and names[0].startswith(LONG[:55])
    assert (
        sent["tool_choice"]["function"]["name"] == sent["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    )

    call = {"index": 0, "id": "c", "type": "function", "function": {"name": names[0], "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    member = "delta" if stream else "message"
    answer = json.dumps(
        {"id": "x", "model": "m", "choices": [{"index": 0, member: message, "finish_reason": "tool_calls"}]}
    ).encode()
    told = made.stream().feed(b"data: " + answer + b"\n\ndata: [DONE]\n\n") if stream else made.reply(answer)
    assert f'"name":"{LONG}"' in told.decode()


def test_names_that_fit_stay() -> None:
    sent = json.loads(translation(NAMED, MESSAGES, codecs()["messages"]).request("m"))
    assert [tool["name"] for tool in sent["tools"]] == [LONG, LONG + "s", "look"]


@pytest.mark.parametrize("place", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("client", [MESSAGES, codecs()["responses"]], ids=lambda codec: codec.name)
def test_thinking_of_a_service_that_seals_nothing_comes_back_with_the_call(client: Codec, place: str) -> None:
    call = {"id": "functions.look:0", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, place: "Let me look.", "tool_calls": [call]}
    answer = json.dumps({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    if client is MESSAGES:
        asked: dict[str, Any] = {**HI, "max_tokens": 50}
        said = json.loads(translation(asked, client, CHAT).reply(answer.encode()))["content"]
        result = {"type": "tool_result", "tool_use_id": said[1]["id"], "content": "42"}
        more = [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
        asked["messages"] = [*HI["messages"], *more]
    else:
        asked = {"model": "m", "input": "Hi"}
        said = json.loads(translation(asked, client, CHAT).reply(answer.encode()))["output"]
        result = {"type": "function_call_output", "call_id": said[1]["call_id"], "output": "42"}
        asked["input"] = [{"role": "user", "content": "Hi"}, *said, result]
    made = translation(asked, client, CHAT)
    turn = json.loads(made.request("m"))["messages"][1]
    assert turn[place] == "Let me look." and turn["tool_calls"][0]["function"]["name"] == "look"
    assert made.losses.dropped == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_its_service_sealed_comes_back_sealed(stream: bool) -> None:
    """Gemini's OpenAI endpoint signs its calls and refuses them without."""
    store, seal = ReasoningStore(MemoryResponses(1 << 20)), {"google": {"thought_signature": "EvEB+/="}}
    function = {"name": "look", "arguments": "{}"}
    call = {"index": 0, "id": "function-call-1", "type": "function", "function": function, "extra_content": seal}
    member = "delta" if stream else "message"
    choice = {"index": 0, member: {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    answer = json.dumps({"id": "x", "choices": [choice]}).encode()
    first = translation({**HI, "max_tokens": 50}, MESSAGES, CHAT)
    if stream:
        first.stream().feed(b"data: " + answer + b"\n\ndata: [DONE]\n\n")
    else:
        first.reply(answer)
    assert first.losses.dropped == []
    await store.keep("t", "chat", first.content)

    use = {"type": "tool_use", "id": "function-call-1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "function-call-1", "content": "42"}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    asked = {"model": "m", "max_tokens": 50, "messages": [*HI["messages"], *turns]}
    sent = json.loads((await continued(store, asked, MESSAGES, CHAT)).request("m"))
    assert sent["messages"][1]["tool_calls"][0]["extra_content"] == seal
    sent = json.loads((await continued(store, asked, MESSAGES, CHAT, "other")).request("m"))
    assert "extra_content" not in sent["messages"][1]["tool_calls"][0]


def thought_before_a_call() -> dict[str, Any]:
    thinking = {"type": "thinking", "thinking": "Let me look.", "signature": "EuY+/="}
    use = {"type": "tool_use", "id": "call_a", "name": "look", "input": {}}
    return vendors.message("m") | {"content": [thinking, use], "stop_reason": "tool_use"}


def frames_of(message: dict[str, Any]) -> bytes:
    thinking, use = message["content"]
    deltas: list[dict[str, object]] = [
        {"type": "thinking_delta", "thinking": thinking["thinking"]},
        {"type": "signature_delta", "signature": thinking["signature"]},
    ]
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
        *vendors._block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas),
        *vendors._block(1, use, [{"type": "input_json_delta", "partial_json": "{}"}]),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return b"".join(vendors.event_frame(event) for event in events)


@pytest.mark.parametrize("stream", [False, True])
async def test_sealed_thinking_is_put_back_on_the_next_turn(stream: bool) -> None:
    store = ReasoningStore(MemoryResponses(1 << 20))
    first = translation(HI)
    first.request("m")
    if stream:
        frames = first.stream()
        whole = frames_of(thought_before_a_call())
        for start in range(0, len(whole), 7):
            frames.feed(whole[start : start + 7])
        assert frames.close() == b"" and frames.done
    else:
        first.reply(json.dumps(thought_before_a_call()).encode())
    await store.keep("t", "messages", first.content)

    second = await continued(store, LOOP)
    sent = json.loads(second.request("m"))
    said = sent["messages"][1]["content"]
    assert said[0] == {"type": "thinking", "thinking": "Let me look.", "signature": "EuY+/="}
    assert (said[1]["type"], said[1]["id"]) == ("tool_use", "call_a")
    assert "reasoning_effort" not in second.losses.dropped and sent.get("thinking", {}).get("type") != "disabled"


def test_a_turn_whose_thinking_is_lost_goes_on_without_and_says_so() -> None:
    lost = translation(LOOP)
    sent = json.loads(lost.request("m"))
    assert lost.losses.dropped == ["reasoning_effort"]
    assert sent.get("thinking", {"type": "disabled"}) == {"type": "disabled"} and "output_config" not in sent


def test_strictness_refuses_what_would_be_dropped() -> None:
    with pytest.raises(Untranslatable) as refused:
        translation(HI | {"seed": 5}, strict=True).request("m")
    assert (refused.value.status, refused.value.param, refused.value.retryable) == (400, "seed", True)


def test_the_request_of_one_target_leaves_that_of_the_next_as_it_was() -> None:
    request = read_request(CHAT, json.dumps(LOOP).encode())
    made = [
        Translation(request, CHAT, MESSAGES, options=options, strict=False).request("m")
        for options in (Options(), Options(structured_output="tool"), Options())
    ]
    assert made[0] == made[2]


def test_structured_output_may_be_a_tool_beside_the_clients_own() -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    tools = translation(LOOP | {"response_format": format_}, options=Options(structured_output="tool"))
    sent = json.loads(tools.request("m"))
    assert [tool["name"] for tool in sent["tools"]] == ["look", ANSWER_TOOL]
    assert sent["tool_choice"]["type"] == "any"


@pytest.mark.parametrize("calls_another", [False, True])
def test_the_answer_tool_is_streamed_as_text(calls_another: bool) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    made = translation(HI | {"response_format": format_, "stream": True}, options=Options(structured_output="tool"))
    made.request("m")
    use = vendors._tool_use("t1", ANSWER_TOOL, {})
    other = vendors._block(1, vendors._tool_use("t2", "look", {}), []) if calls_another else []
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": vendors.message("m") | {"content": []}},
        *vendors._block(0, use, [{"type": "input_json_delta", "partial_json": part} for part in ('{"a"', ":1}")]),
        *other,
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    frames = made.stream()
    out = frames.feed(b"".join(vendors.event_frame(event) for event in events)) + frames.close()
    chunks = [json.loads(line[6:]) for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == '{"a":1}'
    assert [choice["finish_reason"] for choice in choices][-1] == ("tool_calls" if calls_another else "stop")


def test_what_is_fed_after_the_end_says_nothing() -> None:
    made = translation(HI | {"stream": True})
    made.request("m")
    frames = made.stream()
    assert frames.feed(b"".join(vendors.message_frames("m")))
    assert frames.done and frames.feed(b"data: x\n\n") == b"" == frames.close()
    assert made.summary.usage is not None and made.summary.usage.output == vendors.OUT


@pytest.mark.parametrize("codec", codecs().values(), ids=codecs())
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"model": NaN}',
        b'{"model": "\xff"}',
        b"[" * 100_000,
        b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"input": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"model": "m", "messages": "x", "input": 5}',
        b'{"model": "m", "messages": [null], "input": [null]}',
        b'{"model": "m", "messages": [{"role": "nobody"}], "input": [{"role": "nobody"}]}',
        b'{"model": "m", "stream": "yes", "messages": [], "input": []}',
        b'{"model": 5, "messages": [], "input": []}',
    ],
)
def test_what_is_no_request_is_refused_cleanly(codec: Codec, body: bytes) -> None:
    if codec.name == "converse":
        body = body.replace(b'"stream": "yes"', b'"system": "yes"')  # whether it streams stands in its path
    with pytest.raises(BadRequest) as refused:
        read_request(codec, body)
    assert refused.value.status == 400 and len(refused.value.message) < 500


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_gets_another_id(stream: bool) -> None:
    responses = codecs()["responses"]
    body = json.dumps({"model": "m", "input": "Hi"}).encode()
    made = Translation(
        read_request(responses, body), responses, CHAT, options=Options(), strict=False, reply_id="resp_our-own"
    )
    answer = json.dumps(vendors.chat("m")).encode()
    written = made.reply_as_stream(answer) if stream else made.reply(answer)
    assert b'"id":"resp_our-own"' in written and b'"id":"msg_our-own_0"' in written
    assert b"chatcmpl" not in written


def test_a_stream_that_nobody_asked_for_is_understood_in_the_framing_of_its_dialect() -> None:
    request = read_request(CHAT, json.dumps(HI).encode())
    made = Translation(request, CHAT, CODEC, options=Options(), strict=False, framing=JSON_LINES)
    for answer in (
        b"".join(toy_vendor.frames("m", False)),
        json.dumps(toy_vendor.whole("m", False), indent=1).encode(),
    ):
        assert json.loads(made.reply(answer))["choices"][0]["message"]["content"] == vendors.TEXT


@pytest.mark.parametrize("depth", [200, *range(985, 999)])
def test_deep_nesting_is_carried_or_refused(depth: int) -> None:
    arguments = b'{"a":' * depth + b"1" + b"}" * depth
    use = b'{"type":"tool_use","id":"a","name":"f","input":%b}' % arguments
    body = b'{"model":"m","messages":[{"role":"assistant","content":[%b]}],"odd":%b}' % (use, arguments)
    for provider in codecs().values():
        try:
            request = read_request(MESSAGES, body)
            Translation(request, MESSAGES, provider, options=Options(), strict=False).request("m")
        except BadRequest:
            assert depth > 200

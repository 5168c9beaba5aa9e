"""Each of the five clients against each of the three kinds of provider, over real sockets, in the program itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError
from google.genai import errors as genai_errors

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.sdk_conversations import ASKERS, NAMES, PNG, SCHEMA, SdkConversation
from tests.support.vendors import IN, OUT, TEXT, TOOL_CALLS

KINDS = ("chat", "responses", "messages")
PATHS = {"chat": b"/v1/chat/completions", "responses": b"/v1/responses", "messages": b"/v1/messages"}
SIGNATURE = "EuYBCkQYAiJA+signed/thinking=="
ENCRYPTED = "gAAAAABo-encrypted_reasoning=="
WANTED = [(call, name, json.loads(arguments)) for call, name, arguments in TOOL_CALLS]


@pytest.fixture(scope="module")
def program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
providers:
  - {{name: on-chat, type: openai-compatible, base_url: "{lasting_upstream.url}/v1", dialects: [chat]}}
  - {{name: on-responses, type: openai-compatible, base_url: "{lasting_upstream.url}/v1", dialects: [responses]}}
  - {{name: on-messages, type: anthropic, base_url: "{lasting_upstream.url}", api_key: sk-ant-up}}
"""
    with Program(tmp_path_factory.mktemp("translation"), "serve", config=config) as program:
        yield program


@pytest.fixture(params=ASKERS, ids=lambda asker: f"{asker.dialect} client")
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    made: Any = request.param(program.url)
    with made.client:
        yield made


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind} provider")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sent(upstream: Upstream, number: int = -1) -> Any:
    return json.loads(upstream.requests[number].body)


@pytest.mark.ledger("H3")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_question_is_answered(asker: SdkConversation, kind: str, upstream: Upstream, stream: bool) -> None:
    asker.say("Grüß Gott")
    turn = asker.ask(f"on-{kind}/claude-test", stream=stream)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, [], asker.stops[0])
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT)
    assert upstream.only.target == PATHS[kind]
    body = sent(upstream)
    assert body["model"] == "claude-test" and "Grüß Gott" in upstream.only.body.decode()
    assert body.get("stream", False) is stream
    credential = upstream.only.value("x-api-key") or upstream.only.value("authorization")
    own = None if asker.dialect == "converse" else "Bearer dummy"  # a signature is for one request alone
    assert credential == {"messages": "sk-ant-up"}.get(kind, own)
    assert not [name for name, _ in upstream.only.headers if name.lower().startswith((b"x-amz", b"amz-sdk"))]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_parallel_tool_calls_arrive_whole(asker: SdkConversation, kind: str, upstream: Upstream, stream: bool) -> None:
    asker.say("What is it like there?")
    turn = asker.ask(f"on-{kind}/claude-test", stream=stream, tools=True)
    assert (turn.calls, turn.stop) == (WANTED, asker.stops[1])
    tools = sent(upstream)["tools"]
    assert [tool.get("name") or tool["function"]["name"] for tool in tools] == list(NAMES)


def thinking_turn(kind: str, stream: bool) -> Reply:
    """Thinking, then a tool call, as the vendor of `kind` says it."""
    call, name, arguments = TOOL_CALLS[0]
    if kind == "chat":
        message = {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Let me look.",
            "tool_calls": [{"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}],
        }
        if not stream:
            reply = vendors.chat("claude-test", True)
            reply["choices"] = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
            return vendors.plain(reply)
        part = {"index": 0, "id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
        deltas = [{"role": "assistant", "reasoning_content": "Let me look."}, {"tool_calls": [part]}, {}]
        chunks = [
            vendors._chat_chunk("claude-test", [{"index": 0, "delta": delta, "finish_reason": reason}])
            for delta, reason in zip(deltas, (None, None, "tool_calls"), strict=True)
        ]
        return vendors.streamed([*map(vendors.data_frame, chunks), b"data: [DONE]\n\n"])
    if kind == "messages":
        thinking = {"type": "thinking", "thinking": "Let me look.", "signature": SIGNATURE}
        use = vendors._tool_use(call, name, json.loads(arguments))
        whole = vendors.message("claude-test") | {"content": [thinking, use], "stop_reason": "tool_use"}
        if not stream:
            return vendors.plain(whole)
        begun = whole | {"content": [], "stop_reason": None, "usage": vendors.message_usage()}
        events: list[dict[str, object]] = [
            {"type": "message_start", "message": begun},
            *vendors._block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                [
                    {"type": "thinking_delta", "thinking": "Let me look."},
                    {"type": "signature_delta", "signature": SIGNATURE},
                ],
            ),
            *vendors._block(
                1, vendors._tool_use(call, name, {}), [{"type": "input_json_delta", "partial_json": arguments}]
            ),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": {"output_tokens": OUT},
            },
            {"type": "message_stop"},
        ]
        return vendors.streamed([vendors.event_frame(event) for event in events])
    reasoning: dict[str, object] = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Let me look."}],
        "encrypted_content": ENCRYPTED,
    }
    item: dict[str, object] = {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": call,
        "name": name,
        "arguments": arguments,
    }
    whole = vendors.response("claude-test") | {"output": [reasoning, item]}
    if not stream:
        return vendors.plain(whole)
    events = [
        {"type": "response.created", "response": vendors.response("claude-test", status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": reasoning | {"summary": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": reasoning},
        {"type": "response.output_item.added", "output_index": 1, "item": item | {"arguments": ""}},
        *vendors._function_events(arguments, {"item_id": "fc_1", "output_index": 1}),
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return vendors.streamed([vendors.event_frame(event | {"sequence_number": n}) for n, event in enumerate(events)])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_tool_loop_goes_on_with_the_thinking_that_began_it(
    asker: SdkConversation, kind: str, upstream: Upstream, stream: bool
) -> None:
    upstream.next(thinking_turn(kind, stream))
    asker.say("How is the weather?")
    model = f"on-{kind}/claude-sonnet-4-5" if kind == "messages" else f"on-{kind}/claude-test"
    turn = asker.ask(model, stream=stream, tools=True, think=True)
    assert turn.calls == WANTED[:1]

    asker.give({turn.calls[0][0]: "12 degrees"})
    upstream.next(_words(kind, stream))
    assert asker.ask(model, stream=stream, tools=True, think=True).text == TEXT

    body = sent(upstream)
    assert "12 degrees" in json.dumps(body)
    if kind == "messages":
        said = next(message for message in body["messages"] if message["role"] == "assistant")["content"]
        assert said[0] == {"type": "thinking", "thinking": "Let me look.", "signature": SIGNATURE}
        assert (said[1]["type"], said[1]["id"], said[1]["input"]) == ("tool_use", "call_a", {"city": "Łódź"})
        results = body["messages"][-1]
        assert results["role"] == "user" and results["content"][0]["tool_use_id"] == "call_a"
        assert body["thinking"]["type"] == "enabled"
    elif kind == "responses":
        kinds = [item.get("type", "message") for item in body["input"]]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
        assert body["input"][1]["encrypted_content"] == ENCRYPTED
        assert body["input"][3]["call_id"] == body["input"][2]["call_id"] == "call_a"
    else:
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
        assert body["messages"][1]["tool_calls"][0]["id"] == body["messages"][2]["tool_call_id"] == "call_a"


def _words(kind: str, stream: bool) -> Reply:
    """Return the plain answer of the vendor of `kind`, though the request names tools."""
    model = "claude-test"
    if kind == "chat":
        return (
            vendors.streamed(vendors.chat_frames(model, usage=True)) if stream else vendors.plain(vendors.chat(model))
        )
    if kind == "messages":
        return vendors.streamed(vendors.message_frames(model)) if stream else vendors.plain(vendors.message(model))
    return vendors.streamed(vendors.response_frames(model)) if stream else vendors.plain(vendors.response(model))


def test_a_picture_arrives(asker: SdkConversation, kind: str, upstream: Upstream) -> None:
    asker.say("What is this?", image=True)
    assert asker.ask(f"on-{kind}/claude-test", stream=False).text == TEXT
    body = sent(upstream)
    content = (body.get("messages") or body["input"])[0]["content"]
    data = f"data:image/png;base64,{PNG}"
    expected: Any = {
        "chat": {"type": "image_url", "image_url": {"url": data}},
        "responses": {"type": "input_image", "image_url": data},
        "messages": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    }[kind]
    for place in (content[1], content[1].get("image_url")):
        if isinstance(place, dict):
            place.pop("detail", None)
    assert content[1] == expected


def test_structured_output_is_asked_for(asker: SdkConversation, kind: str, upstream: Upstream) -> None:
    asker.say("Where?")
    asker.ask(f"on-{kind}/claude-test", stream=False, schema=True)
    body = sent(upstream)
    found = {
        "chat": lambda: body["response_format"]["json_schema"]["schema"],
        "responses": lambda: body["text"]["format"]["schema"],
        "messages": lambda: body["output_config"]["format"]["schema"],
    }[kind]()
    assert found == SCHEMA


def test_a_limit_is_told_as_the_clients_own_vendor_tells_it(
    asker: SdkConversation, kind: str, upstream: Upstream
) -> None:
    upstream.next(
        vendors.failure(429, "Too Many Requests", ("Retry-After", "7"), ("x-ratelimit-remaining-requests", "0"))
    )
    asker.say("Hi")
    limited = (openai.RateLimitError, anthropic.RateLimitError, ClientError, genai_errors.ClientError)
    with pytest.raises(limited, match="vendor says 429") as caught:
        asker.ask(f"on-{kind}/claude-test", stream=False)
    error: Any = caught.value
    if asker.dialect == "converse":
        assert type(error).__name__ == error.response["Error"]["Code"] == "ThrottlingException"
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    else:
        headers = error.response.headers
    assert headers["retry-after"] == "7" and headers["x-ratelimit-remaining-requests"] == "0"


def test_an_error_in_the_middle_of_a_stream_is_one_for_the_client(
    asker: SdkConversation, kind: str, upstream: Upstream
) -> None:
    frames = {
        "chat": [
            *vendors.chat_frames("claude-test")[:3],
            vendors.data_frame({"error": {"message": "boom", "type": "server_error"}}),
        ],
        "responses": [
            *vendors.response_frames("claude-test")[:5],
            vendors.event_frame(
                {"type": "error", "code": "server_error", "message": "boom", "param": None, "sequence_number": 5}
            ),
        ],
        "messages": [
            *vendors.message_frames("claude-test")[:4],
            vendors.event_frame({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}),
        ],
    }[kind]
    upstream.next(vendors.streamed(frames))
    asker.say("Hi")
    raised = (openai.APIError, anthropic.APIError, ClientError, genai_errors.APIError, RuntimeError)
    with pytest.raises(raised) as caught:
        asker.ask(f"on-{kind}/claude-test", stream=True)
    if isinstance(caught.value, RuntimeError):
        assert asker.dialect == "responses", "only its SDK wants a completed response and says nothing of errors"
    else:
        assert "boom" in str(caught.value)


@pytest.mark.parametrize("estimate", [True, False])
def test_tokens_are_estimated_where_the_configuration_says_so(
    upstream: Upstream, tmp_path: Path, estimate: bool
) -> None:
    config = f"""
translation: {{estimate_tokens: {str(estimate).lower()}}}
providers: [{{name: main, type: openai-compatible, base_url: "{upstream.url}/v1", api_key: k}}]
"""
    with Program(tmp_path, "serve", config=config) as program:
        claude = anthropic.Anthropic(base_url=program.url, api_key="dummy")
        gpt = openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy")
        if estimate:
            raw = claude.messages.with_raw_response.count_tokens(
                model="m", messages=[{"role": "user", "content": TEXT}]
            )
            assert raw.headers["x-llmproxy-estimated"] == "input_tokens" and raw.parse().input_tokens > 4
            assert gpt.responses.input_tokens.count(model="m", input=TEXT).input_tokens > 4
        else:
            with pytest.raises(anthropic.APIStatusError, match="estimate_tokens") as refused:
                claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": TEXT}])
            assert refused.value.status_code == 501
        with pytest.raises(openai.APIStatusError, match="/v1/responses/compact") as missing:
            gpt.responses.compact(model="gpt-5", input=TEXT)
        assert missing.value.status_code == 501
    assert upstream.requests == []

"""The strict vendor refuses what the real ones refuse, in their shape, and takes what they take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.scripted_turns import SpokenTurn
from tests.support.strict_chat import judge_chat
from tests.support.strict_messages import judge_messages
from tests.support.strict_responses import judge_responses
from tests.support.strict_vendor import StrictVendor

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
THOUGHT: Json = {"type": "thinking", "thinking": "Hm.", "signature": "signed=="}
USES: list[Json] = [{"type": "tool_use", "id": f"toolu_{each}", "name": "weather", "input": {}} for each in "ab"]
RESULTS = [{"type": "tool_result", "tool_use_id": f"toolu_{each}", "content": "12"} for each in "ab"]
ISSUED = {"toolu_a": [THOUGHT, *USES]}


def messages(model: str = "claude-opus-4-8") -> Json:
    return {
        "model": model,
        "max_tokens": 9000,
        "thinking": {"type": "adaptive"},
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [THOUGHT, *USES]},
            {"role": "user", "content": [*RESULTS]},
        ],
    }


def responses(model: str = "gpt-5.5") -> Json:
    function = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "weather", "arguments": "{}"}
    secret = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret=="}
    output = {"type": "function_call_output", "call_id": "call_a", "output": "12"}
    said = {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    return {"model": model, "store": False, "tools": [function], "input": [said, secret, call, output]}


def chat(model: str = "qwen3-coder") -> Json:
    function = {"name": "weather", "parameters": SCHEMA}
    call = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    return {
        "model": model,
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_a", "content": "12"},
        ],
    }


def judged(body: Json) -> list[str]:
    """Return the faults of a request of any dialect."""
    if "input" in body:
        return list(judge_responses(body, issued={"rs_1": "secret=="}))
    if "max_tokens" in body:
        return list(judge_messages(body, api_version="2023-06-01", beta=False, issued=ISSUED))
    return list(judge_chat(body, compatible=True))


@pytest.mark.parametrize("valid", [messages, responses, chat])
def test_a_valid_request_has_no_faults(valid: Callable[[], Json]) -> None:
    assert judged(valid()) == []


Change = Callable[[Json], object]
WRONG: list[tuple[str, Callable[[], Json], Change, str]] = [
    ("a member", messages, lambda body: body["messages"][1]["content"][1].update(foo="x"), "Extra inputs"),
    ("a lost result", messages, lambda body: body["messages"][2]["content"].pop(), "without `tool_result`"),
    ("a result twice", messages, lambda body: body["messages"][2]["content"].append(RESULTS[0]), "single result"),
    ("a foreign result", messages, lambda body: body["messages"].pop(1), "unexpected `tool_use_id`"),
    (
        "text before results",
        messages,
        lambda body: body["messages"][2]["content"].insert(0, {"type": "text", "text": "So:"}),
        "immediately after",
    ),
    (
        "text before thinking",
        messages,
        lambda body: body["messages"][1]["content"].insert(0, {"type": "text", "text": "So:"}),
        "must start with a thinking block",
    ),
    ("thinking left out", messages, lambda body: body["messages"][1]["content"].pop(0), "must start with a thinking"),
    (
        "an edited signature",
        messages,
        lambda body: body["messages"][1].update(content=[THOUGHT | {"signature": "other"}, *USES]),
        "Invalid `signature`",
    ),
    ("a name", messages, lambda body: body["tools"][0].update(name="a.b"), "should match pattern"),
    ("prefill", messages, lambda body: body["messages"].append({"role": "assistant", "content": "So"}), "prefill"),
    ("sampling", messages, lambda body: body.update(temperature=0.5), "temperature"),
    ("a budget", messages, lambda body: body.update(thinking={"type": "enabled", "budget_tokens": 2000}), "`enabled`"),
    ("a forced tool", messages, lambda body: body.update(tool_choice={"type": "any"}), "forces tool use"),
    ("no limit", messages, lambda body: body.update(max_tokens=None), "Field required"),
    ("blank text", messages, lambda body: body["messages"][0].update(content=" "), "non-whitespace"),
    (
        "a system turn behind an assistant's",
        messages,
        lambda body: body["messages"].insert(2, {"role": "system", "content": "x"}),
        "must directly follow a user",
    ),
    ("a member", responses, lambda body: body["input"][2].update(caller="x", foo="y"), "Unknown parameter"),
    ("a lost output", responses, lambda body: body["input"].pop(), "No tool output found"),
    ("an output twice", responses, lambda body: body["input"].append(body["input"][3]), "Duplicate item"),
    ("a lost call", responses, lambda body: body["input"].pop(2), "No tool call found"),
    (
        "edited reasoning",
        responses,
        lambda body: body["input"][1].update(encrypted_content="x"),
        "could not be verified",
    ),
    ("unknown reasoning", responses, lambda body: body["input"][1].pop("encrypted_content"), "not persisted"),
    ("a foreign id", responses, lambda body: body["input"][2].update(id="call_1"), "begins with 'fc'"),
    ("a long id", responses, lambda body: body["input"][2].update(id="fc_" + 64 * "x"), "string too long"),
    ("an effort", responses, lambda body: body.update(reasoning={"effort": "minimal"}), "does not support 'minimal'"),
    ("a tiny limit", responses, lambda body: body.update(max_output_tokens=5), "below minimum value"),
    ("a member", chat, lambda body: body["messages"][2]["tool_calls"][0].update(index=0), "Unknown parameter"),
    ("a lost result", chat, lambda body: body["messages"].pop(), "must be followed by tool messages"),
    ("a result twice", chat, lambda body: body["messages"].append(body["messages"][3]), "must be a response"),
    ("a late system turn", chat, lambda body: body["messages"].append({"role": "system", "content": "x"}), "beginning"),
    (
        "a custom tool",
        chat,
        lambda body: body["tools"].append({"type": "custom", "custom": {"name": "x"}}),
        "'function'",
    ),
    ("a choice alone", chat, lambda body: body.pop("tools") and body.update(tool_choice="auto"), "only allowed when"),
    (
        "no arguments",
        chat,
        lambda body: body["messages"][2]["tool_calls"][0]["function"].update(arguments=""),
        "JSON object",
    ),
]


@pytest.mark.parametrize(
    ("valid", "change", "words"),
    [pytest.param(*case[1:], id=f"{case[1].__name__}: {case[0]}") for case in WRONG],
)
def test_a_request_with_one_fault_is_refused_for_it(valid: Callable[[], Json], change: Change, words: str) -> None:
    body = json.loads(json.dumps(valid()))
    change(body)
    assert any(words in fault for fault in judged(body)), judged(body)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        ("claude-opus-5-5", {"thinking": {"type": "disabled"}}),
        ("claude-fable-5-1", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"output_config": {"effort": "max"}}),
        ("claude-opus-4-6", {"output_config": {"effort": "xhigh"}}),
        ("claude-sonnet-4-5", {"output_config": {"effort": "high"}}),
        ("claude-sonnet-4-5-20250929", {"thinking": {"type": "adaptive"}}),
        ("claude-opus-5-5", {"thinking": None, "tool_choice": {"type": "tool", "name": "weather"}}),
        ("claude-sonnet-4-5", {"max_tokens": 64001}),
    ],
)
def test_a_claude_refuses_what_this_model_does_not_take(model: str, members: Json) -> None:
    assert judged(messages(model) | members)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        ("gpt-4o", {"reasoning": {"effort": "low"}}),
        ("gpt-5", {"reasoning": {"effort": "none"}}),
        ("o3", {"temperature": 0.5}),
        ("gpt-5.1", {"reasoning": {"effort": "xhigh"}}),
        ("gpt-5.5", {"reasoning": {"effort": "low"}, "top_p": 0.5}),
        ("gpt-6-astra", {"reasoning": {"effort": "none"}}),
        ("openai/gpt-oss-120b", {"reasoning": {"effort": "none"}}),
    ],
)
def test_a_model_of_openai_refuses_what_it_does_not_take(model: str, members: Json) -> None:
    assert judged(responses(model) | members)


def test_a_refusal_has_the_vendors_shape_and_is_kept() -> None:
    vendor = StrictVendor(lambda question: SpokenTurn(text="Hi"))
    with Upstream(vendor) as upstream, RawClient(("127.0.0.1", upstream.port)) as client:
        client.post("/v1/messages", messages() | {"foo": 1})
        answer = client.read_answer()
        client.post("/v1/chat/completions", chat())
        taken = client.read_answer()
    assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (400, "error", "invalid_request_error")
    assert taken.json["choices"][0]["message"]["content"] == "Hi"
    assert vendor.faults[0] == "messages: foo: Extra inputs are not permitted"

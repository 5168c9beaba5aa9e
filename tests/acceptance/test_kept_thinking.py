"""Thinking that a client's dialect cannot carry, in a tool loop over a restart of the program.

A model that always thinks wants it back. A store on disk or in Redis has it; without it the loop goes on as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.redis_server import RedisServer
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.strict_messages import blocks_of
from tests.support.strict_vendor import Question, StrictVendor

MODEL = "claude/claude-fable-5-1"
TOOLS: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def play(question: Question) -> SpokenTurn:
    """Look twice, then say the end."""
    step = len(question.answered)
    if step == 2:
        return SpokenTurn(thinking="That is enough.", text="Done.")
    call = SpokenCall(id=f"toolu_{step}", name="look", input={"at": step})
    return SpokenTurn(thinking=f"Thought {step}.", text="A moment.", calls=(call,))


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param != "redis":
        yield "memory" if request.param == "memory" else f"disk:{tmp_path / 'store.sqlite'}"
        return
    if sys.platform == "win32":
        pytest.skip("there is no Redis server for Windows")
    with RedisServer(tmp_path) as server:
        yield server.url


@pytest.mark.parametrize(("store", "stream"), [("memory", False), ("disk", True), ("redis", False)], indirect=["store"])
def test_a_tool_loop_goes_on_over_a_restart(tmp_path: Path, store: str, stream: bool) -> None:
    vendor = StrictVendor(play)
    messages: list[Any] = [{"role": "user", "content": "Look twice."}]
    dropped: list[str] = []
    with Upstream(vendor) as upstream:
        config = f"""
providers: [{{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant-up}}]
stores: {{default: "{store}"}}
"""
        for more in (1, 2):
            with Program(tmp_path, "serve", config=config) as program:
                dropped += [take_turn(program.url, messages, stream=stream) for _ in range(more)]
    assert vendor.faults == []
    assert messages[-1]["content"] == "Done."
    for step, question in enumerate(vendor.questions):
        turns = [blocks_of(each) for each in question.body["messages"] if each["role"] == "assistant"]
        thoughts = [turn[0].get("thinking") for turn in turns]
        if store == "memory":
            assert thoughts[:1] == [None] * len(thoughts[:1])
            assert step == 0 or "thinking" not in question.body
        else:
            assert thoughts == [f"Thought {each}." for each in range(step)]
            assert question.body["thinking"] == {"type": "adaptive"}
    lost = ["", "reasoning_effort", "reasoning_effort"] if store == "memory" else ["", "", ""]
    assert dropped == lost


def take_turn(url: str, messages: list[Any], *, stream: bool) -> str:
    """Have one turn answered, give the result of its call, and return what was dropped of the request."""
    asked: Any = {"model": MODEL, "messages": messages, "tools": TOOLS, "reasoning_effort": "medium"}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0) as client:
        if stream:
            raw: Any = client.chat.completions.with_raw_response.create(**asked, stream=True)
            text, name, call_id, arguments = "", "", "", ""
            for chunk in raw.parse():
                delta = chunk.choices[0].delta if chunk.choices else None
                text += (delta and delta.content) or ""
                for call in (delta and delta.tool_calls) or ():
                    name, call_id = name or call.function.name, call_id or call.id
                    arguments += call.function.arguments or ""
            calls = [(call_id, name, arguments)] if call_id else []
        else:
            raw = client.chat.completions.with_raw_response.create(**asked)
            message = raw.parse().choices[0].message
            text = message.content or ""
            calls = [(each.id, each.function.name, each.function.arguments) for each in message.tool_calls or ()]
    answer: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        answer["tool_calls"] = [
            {"id": each, "type": "function", "function": {"name": name, "arguments": arguments}}
            for each, name, arguments in calls
        ]
    messages.append(answer)
    messages += [{"role": "tool", "tool_call_id": each, "content": "seen"} for each, _, _ in calls]
    dropped: str = raw.headers.get("x-llmproxy-dropped", "")
    return dropped

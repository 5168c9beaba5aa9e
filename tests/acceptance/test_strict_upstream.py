"""Tool loops of the four clients over vendors that judge every request: no request may go out that they refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_conversations import ASKERS, SdkConversation
from tests.support.strict_vendor import Question, StrictVendor

MODELS = {
    "chat": ("on-chat/qwen3-coder",),
    "responses": ("on-responses/gpt-5.5", "on-responses/gpt-5.1-codex"),
    "converse": (
        *(f"on-converse/us.anthropic.claude-{name}-v1:0" for name in ("sonnet-4-5", "opus-5-5")),
        "on-converse/amazon.nova-2-lite-v1:0",
    ),
    "messages": tuple(f"on-messages/claude-{name}" for name in ("sonnet-4-5", "opus-4-6", "opus-4-8", "opus-5-5")),
}
# One plain loop of each dialect is played; the streams are built from the same blocks.
LOOPS = [
    *(pytest.param(name, True, id=f"{name}-streamed") for names in MODELS.values() for name in names),
    *(
        pytest.param(name, False, id=f"{name}-plain", marks=[pytest.mark.long] if index else [])
        for names in MODELS.values()
        for index, name in enumerate(names)
    ),
]
FIRST = (
    SpokenCall(id="call_first_1", name="weather", input={"city": "Łódź"}),
    SpokenCall(id="call_first_2", name="clock", input={"zone": "UTC"}),
)
SECOND = (SpokenCall(id="call_second_1", name="weather", input={"city": "Oslo"}),)


def play(question: Question) -> SpokenTurn:
    """Think, speak and call two tools, then one more, then say the end."""
    if "call_second_1" in question.answered:
        return SpokenTurn(thinking="That is enough.", text="It is colder in Oslo.")
    if "call_first_1" in question.answered:
        return SpokenTurn(thinking="Now the other.", calls=SECOND)
    return SpokenTurn(thinking="Let me look at both.", text="One moment.", calls=FIRST)


@pytest.fixture(scope="module")
def vendor() -> StrictVendor:
    return StrictVendor(play)


@pytest.fixture(scope="module")
def program(vendor: StrictVendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Upstream(vendor) as upstream:
        config = f"""
providers:
  - {{name: on-chat, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [chat]}}
  - {{name: on-responses, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [responses]}}
  - {{name: on-converse, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [converse]}}
  - {{name: on-messages, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant-up}}
"""
        with Program(tmp_path_factory.mktemp("strict"), "serve", config=config) as program:
            yield program


@pytest.fixture(params=ASKERS, ids=lambda asker: f"{asker.dialect} client")
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    conversation = request.param(program.url)
    with conversation.client:
        yield conversation


@pytest.mark.parametrize(("model", "stream"), LOOPS)
def test_a_tool_loop_with_parallel_calls_and_thinking_is_never_refused(
    asker: SdkConversation, vendor: StrictVendor, model: str, stream: bool
) -> None:
    relayed = model.startswith(f"on-{asker.dialect}/")
    if relayed and any(name in model for name in ("opus-4-8", "opus-5-5")):
        pytest.skip("this client asks by a budget, which this model refuses")
    vendor.forget()
    asker.say("Where is it colder, in Łódź or in Oslo?")
    first = asker.ask(model, stream=stream, tools=True, think=True)
    assert [(name, value) for _, name, value in first.calls] == [(call.name, call.input) for call in FIRST]
    asker.give({call: f"{name}: 12" for call, name, _ in first.calls})
    second = asker.ask(model, stream=stream, tools=True, think=True)
    assert [name for _, name, _ in second.calls] == ["weather"]
    asker.give({call: "weather: 3" for call, _, _ in second.calls})
    assert asker.ask(model, stream=stream, tools=True, think=True).text == "It is colder in Oslo."
    asker.say("Thank you. And tomorrow?")
    assert asker.ask(model, stream=stream, tools=True, think=True).calls == []
    assert vendor.faults == []
    results = dict(vendor.questions[-1].results)
    assert results.keys() == {"call_first_1", "call_first_2", "call_second_1"}
    assert "clock: 12" in results["call_first_2"]

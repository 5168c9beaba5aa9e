"""Clients of other dialects over Mistral, which wants ids of nine letters or digits and refuses members it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_conversations import Messages, Responses
from tests.support.strict_mistral import judge_mistral
from tests.support.strict_vendor import Question, StrictVendor

MODEL = "m/mistral-medium-latest"
NAMES = ("home.weather", "horloge/été")
EARLIER = "toolu_01A09q90qw90lq917835lq9"


def play(question: Question) -> SpokenTurn:
    """Call both tools by the names that came, the first one once more, then say the end."""
    calls = len(question.answered)
    first, second = question.tools
    if calls == 4:
        return SpokenTurn(text="It is colder in Oslo.")
    if calls == 3:
        return SpokenTurn(calls=(SpokenCall(id="Nq3kf92Lx", name=first, input={"city": "Oslo"}),))
    return SpokenTurn(
        text="One moment.",
        calls=(
            SpokenCall(id="D681PevKs", name=first, input={"city": "Łódź"}),
            SpokenCall(id="a1B2c3D4e", name=second, input={"zone": "UTC"}),
        ),
    )


@pytest.fixture(scope="module")
def vendor() -> StrictVendor:
    return StrictVendor(play, judge_service=judge_mistral)


@pytest.fixture(scope="module")
def program(vendor: StrictVendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Upstream(vendor) as upstream:
        config = f'providers: [{{name: m, type: mistral, base_url: "{upstream.url}/v1", api_key: k}}]\n'
        with Program(tmp_path_factory.mktemp("mistral"), "serve", config=config) as program:
            yield program


def earlier_turns(dialect: str) -> list[Any]:
    """Return a loop that another provider began, with ids of its own."""
    if dialect == "messages":
        use = {"type": "tool_use", "id": EARLIER, "name": NAMES[0], "input": {"city": "Rome"}}
        result = {"type": "tool_result", "tool_use_id": EARLIER, "content": "20"}
        return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    call = {"type": "function_call", "call_id": EARLIER, "name": NAMES[0], "arguments": "{}"}
    return [call, {"type": "function_call_output", "call_id": EARLIER, "output": "20"}]


@pytest.mark.ledger("P1")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("kind", [Responses, Messages], ids=["responses", "messages"])
def test_a_tool_loop_is_never_refused_and_keeps_the_names_of_the_client(
    program: Program, vendor: StrictVendor, kind: type[Responses] | type[Messages], stream: bool
) -> None:
    vendor.forget()
    asker = kind(program.url)
    asker.names = NAMES
    with asker.client:
        asker.say("Where is it colder?")
        asker.history += earlier_turns(asker.dialect)
        first = asker.ask(MODEL, stream=stream, tools=True)
        assert [name for _, name, _ in first.calls] == list(NAMES)
        asker.give({call: "12" for call, _, _ in first.calls})
        second = asker.ask(MODEL, stream=stream, tools=True)
        assert [(name, value) for _, name, value in second.calls] == [(NAMES[0], {"city": "Oslo"})]
        asker.give({call: "3" for call, _, _ in second.calls})
        assert asker.ask(MODEL, stream=stream, tools=True).text == "It is colder in Oslo."
    assert vendor.faults == []
    assert {"D681PevKs", "a1B2c3D4e", "Nq3kf92Lx"} < set(vendor.questions[-1].answered)


def test_what_a_client_asks_for_is_what_mistral_understands(program: Program, vendor: StrictVendor) -> None:
    vendor.forget()
    pdf, sound = "data:application/pdf;base64,JVBERg==", "UklGRg=="
    parts = [
        {"type": "document", "title": "a.pdf", "source": {"type": "url", "url": "https://h/a.pdf"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
    ]
    asked = {"model": MODEL, "max_tokens": 50, "service_tier": "standard_only", "metadata": {"user_id": "u"}}
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in NAMES]
    answer = program.post("/v1/messages", asked | {"tools": tools, "messages": [{"role": "user", "content": parts}]})
    assert (answer.status, vendor.faults) == (200, [])
    body = vendor.questions[-1].body
    assert body["service_tier"] == "standard_only" and "user" not in body
    assert body["messages"][0]["content"] == [
        {"type": "document_url", "document_url": "https://h/a.pdf", "document_name": "a.pdf"},
        {"type": "document_url", "document_url": pdf},
        {"type": "text", "text": "words"},
    ]
    heard = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    items = [{"role": "user", "content": [heard]}]
    functions = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in NAMES]
    assert program.post("/v1/responses", {"model": MODEL, "input": items, "tools": functions}).status == 200
    assert vendor.faults == []
    assert vendor.questions[-1].body["messages"][0]["content"] == [{"type": "input_audio", "input_audio": sound}]

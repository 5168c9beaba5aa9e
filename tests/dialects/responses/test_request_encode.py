from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Format, Instruction, Message, Reasoning, Request, Sampling, Text, Thinking, Tool
from llmproxy.dialects.responses import CODEC
from llmproxy.errors import Untranslatable
from tests.support.full_responses_request import FULL, write


def foreign(**changes: Any) -> Request:
    """Return a request of another dialect."""
    hello = Message(path="messages[0]", role="user", content=[Text(path="messages[0].content", text="Hi")])
    return Request(**({"dialect": "chat", "model": "m", "messages": [hello]} | changes))


def test_ones_own_request_comes_back_as_it_was() -> None:
    body, dropped = write(CODEC.decode_request(FULL))
    assert dropped == []
    expected = FULL | {"include": ["message.output_text.logprobs", "web_search_call.action.sources"]}
    body["include"] = sorted(body["include"])
    assert body == expected


def test_what_is_sent_is_what_the_sdk_would_send() -> None:
    body, _ = write(foreign(tools=[Tool(name="f")], sampling=Sampling(max_tokens=50, temperature=1)))
    TypeAdapter(ResponseCreateParamsBase).validate_python(body)
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    ]


def test_of_another_dialect_nothing_is_stored_and_thinking_comes_encrypted() -> None:
    plain, _ = write(foreign())
    assert plain == {"model": "m", "input": "Hi", "store": False}
    thinking, _ = write(foreign(reasoning=Reasoning(effort="high")))
    assert thinking["reasoning"] == {"effort": "high", "summary": "auto"}
    assert thinking["include"] == ["reasoning.encrypted_content"]


def test_encrypted_thinking_asks_for_more_of_it() -> None:
    thought = Thinking(text="", dialect="responses", id="rs_1", encrypted="gAA=")
    request = foreign(messages=[Message(role="assistant", content=[thought, Text(text="x")])])
    body, _ = write(request)
    assert body["input"][0] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAA="}
    assert body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (Reasoning(mode="off"), {"effort": "none"}),
        (Reasoning(mode="on", budget_tokens=2000), {"effort": "low", "summary": "auto"}),
        (Reasoning(effort="low", summary="omitted"), {"effort": "low"}),
        (Reasoning(mode="adaptive"), {"summary": "auto"}),
    ],
)
def test_thinking_is_asked_for_by_effort(reasoning: Reasoning, expected: dict[str, str]) -> None:
    assert write(foreign(reasoning=reasoning))[0]["reasoning"] == expected


def test_system_blocks_become_instructions() -> None:
    system = [Instruction(content=[Text(text="one"), Text(text="two")]), Instruction(content=[Text(text="three")])]
    assert write(foreign(system=system))[0]["instructions"] == "one\n\ntwo\n\nthree"


def test_knobs_that_the_api_lacks_are_listed() -> None:
    sampling = Sampling(stop=["x"], seed=1, top_k=2, presence_penalty=0.1, frequency_penalty=0.2, logit_bias={"1": 1})
    knobs = {"service_tier": "odd", "user": "u", "unheard": 1}
    request = foreign(sampling=sampling, knobs=knobs, extra={"prediction": {}}, cache={"type": "ephemeral"})
    body, dropped = write(request)
    assert set(dropped) == {
        *("stop", "seed", "top_k", "presence_penalty", "frequency_penalty", "logit_bias", "service_tier", "unheard"),
        *("prediction", "cache_control"),
    }
    assert body["user"] == "u" and "service_tier" not in body


def test_a_user_whose_name_is_too_long_is_told_as_a_digest() -> None:
    users = [write(foreign(knobs={"user": name}))[0]["user"] for name in ("u" * 64, "u" * 130, "u" * 131)]
    assert users[0] == "u" * 64 and [len(user) for user in users] == [64, 64, 64] and len({*users}) == 3


def test_the_smallest_limit_of_the_api_is_kept() -> None:
    assert write(foreign(sampling=Sampling(max_tokens=5)))[0]["max_output_tokens"] == 16


def test_a_form_gets_the_name_that_it_needs() -> None:
    body, _ = write(foreign(format=Format(kind="schema", schema={"type": "object"})))
    assert body["text"] == {"format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}}}
    assert write(foreign(format=Format(kind="json")))[0]["text"] == {"format": {"type": "json_object"}}


def test_several_choices_are_refused() -> None:
    with pytest.raises(Untranslatable, match="n: "):
        write(foreign(extra={"n": 2}))


def test_strictness_refuses_a_loss() -> None:
    request = msgspec.structs.replace(foreign(), sampling=Sampling(seed=5))
    with pytest.raises(Untranslatable) as refused:
        CODEC.encode_request(request, CODEC.context(request.dialect, Losses(strict=True)))
    assert refused.value.param == "seed"

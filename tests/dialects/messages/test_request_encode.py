"""Messages requests, written from the neutral vocabulary."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.messages import CODEC
from llmproxy.dialects.messages.request_decode import decode_request
from llmproxy.dialects.messages.request_encode import encode_request
from llmproxy.dialects.model import Format, Instruction, Message, Reasoning, Request, Sampling, Text, Tool, ToolChoice
from llmproxy.errors import BadRequest, Untranslatable
from tests.dialects.messages.test_request_decode import JSON, places
from tests.support.full_messages_request import EVERYTHING

HI = [Message(path="messages[0]", role="user", content=[Text(path="messages[0].content", text="Hi")])]
MODEL = "claude-sonnet-4-5"


def write(dropped: list[str] | None = None, **members: Any) -> dict[str, Any]:
    losses = Losses()
    members = {"messages": HI, "model": MODEL, **members}
    body = encode_request(
        Request(dialect="chat", **members), EncodeContext(losses=losses, options=Options(default_max_tokens=77))
    )
    assert losses.dropped == (dropped or [])
    TypeAdapter(MessageCreateParamsNonStreaming).validate_python({**body, "stream": False})
    return body


def test_a_limit_is_always_sent() -> None:
    assert write() == {"model": MODEL, "max_tokens": 77, "messages": [{"role": "user", "content": "Hi"}]}
    assert write(sampling=Sampling(max_tokens=5))["max_tokens"] == 5


def test_a_messages_request_is_written_as_it_was_read() -> None:
    before = copy.deepcopy(EVERYTHING)
    losses = Losses(strict=True)
    assert encode_request(decode_request(EVERYTHING), EncodeContext(losses=losses, own=True)) == EVERYTHING == before


@pytest.mark.parametrize(
    "members",
    [
        {"thinking": {"type": "between_tools"}},
        {"thinking": {"type": "adaptive", "display": "updates"}},
        {"thinking": {"type": "disabled"}, "tool_choice": {"type": "any"}},
        {"output_config": {"effort": "max"}},
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
        {"tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": False}},
        {"thread": {"id": "t"}},
        {"metadata": {"team": "t"}},
        {"temperature": 2, "stop_sequences": [" "]},
    ],
    ids=repr,
)
def test_other_forms_are_written_as_they_were_read(members: dict[str, Any]) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": ""}], **members}
    assert (
        encode_request(decode_request(copy.deepcopy(body)), EncodeContext(losses=Losses(strict=True), own=True)) == body
    )


def test_system_stream_cache_and_the_user() -> None:
    body = write(
        system=[Instruction(content=[Text(text="Be brief.")])],
        stream=True,
        cache={"type": "ephemeral"},
        knobs={"user": "u", "safety_identifier": "u", "service_tier": "default", "store": False},
    )
    assert body["system"] == "Be brief." and body["stream"] is True and body["cache_control"] == {"type": "ephemeral"}
    assert body["metadata"] == {"user_id": "u"} and body["service_tier"] == "standard_only" and "store" not in body


def test_one_user_can_be_named() -> None:
    users = {"user": "u", "safety_identifier": "s", "metadata": {"user_id": "m", "team": "t"}}
    assert write(["safety_identifier", "metadata"], knobs=users)["metadata"] == {"user_id": "u"}
    assert write(knobs={"safety_identifier": "s"})["metadata"] == {"user_id": "s"}
    assert write(knobs={"metadata": {"user_id": "m"}})["metadata"] == {"user_id": "m"}


def test_knobs_that_messages_lacks_are_listed_by_the_names_that_the_client_used() -> None:
    knobs = {"verbosity": "low", "prompt_cache_key": "k", "store": True, "service_tier": "flex"}
    sampling = Sampling(
        seed=1,
        presence_penalty=0,
        frequency_penalty=0.5,
        logit_bias={},
        logprobs=False,
        top_logprobs=0,
        stop=["END", "\n"],
    )
    lost = ["halt", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"]
    body = write([*lost, *knobs], knobs=knobs, sampling=sampling, paths={"stop": "halt"})
    assert body["stop_sequences"] == ["END"]


def test_structured_output_is_closed_and_keeps_its_description() -> None:
    form = Format(path="response_format", kind="schema", name="n", description="d", schema={"type": "object"})
    schema = {"description": "d", "type": "object", "additionalProperties": False}
    assert write(format=form)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "output_config" not in write(["response_format"], format=Format(path="response_format", kind="json"))


def test_an_effort_and_a_format_stand_side_by_side() -> None:
    form = Format(path="response_format", kind="schema", schema={"type": "object", "additionalProperties": False})
    body = write(model="claude-opus-5", format=form, reasoning=Reasoning(effort="high"))
    assert body["output_config"] == {"effort": "high", "format": {"type": "json_schema", "schema": form.schema}}
    assert body["thinking"] == {"type": "adaptive"}


def test_the_budget_stays_below_the_limit() -> None:
    body = write(["temperature"], reasoning=Reasoning(effort="high"), sampling=Sampling(temperature=0.2))
    assert body["max_tokens"] > body["thinking"]["budget_tokens"] == 16384 and "temperature" not in body


def test_a_forced_tool_turns_thinking_off() -> None:
    body = write(
        ["reasoning_effort"],
        reasoning=Reasoning(effort="high"),
        paths={"effort": "reasoning_effort"},
        tools=[Tool(name="f", schema={"type": "object"})],
        tool_choice=ToolChoice(mode="required"),
    )
    assert body["thinking"] == {"type": "disabled"} and body["tool_choice"] == {"type": "any"}


def test_several_choices_are_refused() -> None:
    with pytest.raises(Untranslatable) as raised:
        write(extra={"n": 2})
    assert raised.value.param == "n"


def test_what_only_the_clients_dialect_understands_is_listed() -> None:
    lost = ["reasoning.odd", "tool_choice.odd", "odd"]
    extra = {"odd": 1}
    losses = Losses()
    request = Request(
        dialect="chat",
        model=MODEL,
        messages=HI,
        extra=extra,
        reasoning=Reasoning(path="reasoning", extra=extra),
        tool_choice=ToolChoice(path="tool_choice", mode="auto", extra=extra),
    )
    encode_request(request, EncodeContext(losses=losses))
    assert {*losses.dropped} == {*lost}


@given(st.data())
def test_whatever_can_be_read_can_be_written_or_is_refused(data: st.DataObject) -> None:
    body = copy.deepcopy(EVERYTHING)
    holder, key = data.draw(st.sampled_from(places(body)))
    holder[key] = data.draw(JSON)
    try:
        request = CODEC.decode_request(body)
    except BadRequest:
        return
    CODEC.encode_request(request, CODEC.context(request.dialect, Losses()))
    request.dialect = "chat"
    try:
        CODEC.encode_request(request, CODEC.context(request.dialect, Losses()))
    except BadRequest as error:
        assert error.param

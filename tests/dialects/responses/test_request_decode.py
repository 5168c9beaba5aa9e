from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.extra import paths_of
from llmproxy.dialects.model import Format, Opaque, Reasoning, Request, Text
from llmproxy.dialects.responses import CODEC
from llmproxy.dialects.responses.request_decode import decode_request
from llmproxy.dialects.shared_request import share
from llmproxy.errors import BadRequest
from tests.support.full_responses_request import FULL, read, write


def test_every_member_has_its_place() -> None:
    request = CODEC.decode_request(FULL)
    assert (request.dialect, request.model, request.stream, request.parallel_tools) == (
        "responses",
        "gpt-5",
        True,
        False,
    )
    assert [(each.role, each.content[0].text) for each in request.system] == [
        ("system", "Be brief"),
        ("developer", "Use metres"),
    ]
    assert [message.role for message in request.messages] == [
        "user",
        "assistant",
        "user",
        "system",
        "user",
        "assistant",
    ]
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (500, 0.5, 0.9)
    assert (sampling.logprobs, sampling.top_logprobs) == (True, 2)
    assert request.reasoning == Reasoning(path="reasoning", effort="high", summary="concise")
    assert isinstance(request.format, Format) and (request.format.kind, request.format.name) == ("schema", "n")
    assert request.knobs == {
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "metadata": {"a": "b"},
        "store": True,
        "verbosity": "low",
    }
    assert set(paths_of(request.extra, "")) == {
        "max_tool_calls",
        "include",
        "reasoning.context",
        "stream_options.include_obfuscation",
        "truncation",
        "previous_response_id",
    }
    assert request.where("max_tokens") == "max_output_tokens" and request.where("effort") == "reasoning.effort"


def test_a_string_is_what_the_user_says() -> None:
    [message] = read(input="Hello").messages
    assert (message.role, message.content) == ("user", [Text(path="input", text="Hello")])


def test_a_prompt_of_the_provider_stands_first_and_comes_back() -> None:
    prompt = {"id": "pmpt_1", "version": "2"}
    request = read(prompt=prompt)
    assert isinstance(request.messages[0].content[0], Opaque) and request.messages[0].content[0].kind == "prompt"
    assert write(request)[0] == {"model": "m", "prompt": prompt, "input": "Hi"}
    assert write(CODEC.decode_request({"model": "m", "prompt": prompt}))[0] == {"model": "m", "prompt": prompt}


@pytest.mark.parametrize(
    "changes", [{"background": False}, {"truncation": "disabled"}, {"text": {"format": {"type": "text"}}}]
)
def test_what_is_so_anyway_is_no_loss_elsewhere(changes: dict[str, Any]) -> None:
    request = read(**changes)
    assert all(name.startswith("~") for name in request.extra) and request.format is None


def test_what_replies_repeat_is_kept() -> None:
    request = CODEC.decode_request(FULL)
    assert request.echo["instructions"] == "Be brief" and request.echo["text"] == FULL["text"]
    assert "input" not in request.echo and "stream" not in request.echo


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"instructions": 5}, "instructions"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": "warm"}, "temperature"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": "often"}, "tool_choice"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "poem"}}}, "text.format.type"),
        ({"include": [5]}, "include[0]"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**changes)
    assert (refused.value.status, refused.value.param) == (400, param)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FULL, "type", "role", "content", "id"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(FULL)), JSON))
def test_any_object_is_a_request_or_refused(body: dict[str, Any]) -> None:
    try:
        assert isinstance(CODEC.decode_request({"model": "m", "input": "x"} | body), Request)
    except BadRequest as refused:
        assert refused.status == 400


def test_what_is_included_is_asked_for_in_the_same_words() -> None:
    included = ["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"]
    request = read(include=included)
    assert write(request)[0]["include"] == included
    assert request.extra["include"] == ["file_search_call.results"] and request.sampling.logprobs is True


def test_an_item_changes_the_effort_and_the_form_of_the_answer() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    first = {"type": "configuration_update", "reasoning": {"effort": "high"}, "text": {"format": form}}
    later = {"type": "configuration_update", "id": "cu", "reasoning": {"effort": "none"}}
    items = [first, {"role": "user", "content": "u"}, later]
    request = decode_request({"model": "m", "input": items, "reasoning": {"effort": "low"}})
    assert (request.reasoning.effort, request.reasoning.mode) == ("none", "off")
    assert request.where("effort") == "input[2].reasoning.effort"
    assert request.format is not None and request.format.name == "n"
    plain = {"type": "configuration_update", "text": {"format": {"type": "text"}}}
    assert decode_request({"model": "m", "input": [*items, plain]}).format is None
    losses = Losses()
    shared = share(request, EncodeContext(losses=losses))
    assert [message.role for message in shared.messages] == ["user"] and losses.dropped == []

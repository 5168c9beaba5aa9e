"""What OpenAI's models and the services refuse is changed before it is sent, and listed."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.messages import CODEC as MESSAGES
from llmproxy.dialects.openai_rules import fit_openai_request, reasons
from llmproxy.errors import Untranslatable
from llmproxy.providers.compatible import Compatible


def options_of(service: str) -> Options:
    return Compatible.Config.services[service].options


def sent(
    target: str, model: str, options: Options | None = None, **members: Any
) -> tuple[dict[str, Any], list[str], Losses]:
    base = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": "go"}]}
    request, losses = MESSAGES.decode_request(base | members), Losses()
    codec = codecs()[target]
    body = codec.encode_request(request, codec.context("messages", losses, options or Options()))
    return body, losses.dropped, losses


def effort_in(body: dict[str, Any]) -> Any:
    return body.get("reasoning_effort") or body.get("reasoning", {}).get("effort")


OFF: dict[str, Any] = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize("target", ["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("gpt-4o", "max", None),
        ("gpt-5", "max", "high"),
        ("o3", "xhigh", "high"),
        ("gpt-5.1", "xhigh", "high"),
        ("gpt-5.2", "max", "xhigh"),
        ("gpt-6-sol", "max", "max"),
        ("gpt-5-pro", "low", "high"),
        ("unknown", "max", "max"),
    ],
)
def test_an_effort_becomes_the_nearest(target: str, model: str, asked: str, expected: str | None) -> None:
    body, dropped, losses = sent(target, model, output_config={"effort": asked})
    assert effort_in(body) == expected
    assert dropped == [*losses.adapted] == ([] if asked == expected else ["output_config.effort"])


@pytest.mark.parametrize("target", ["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", None),
        ("gpt-5", "minimal"),
        ("o3", "low"),
        ("gpt-5.1", "none"),
        ("gpt-5.6", "none"),
        ("gpt-6-astra", "low"),
        ("gpt-oss-20b", "low"),
    ],
)
def test_no_thinking_becomes_the_least(target: str, model: str, expected: str | None) -> None:
    body, dropped, _ = sent(target, model, **OFF)
    assert effort_in(body) == expected
    assert dropped == ([] if expected in (None, "none") else ["thinking.type"])


@pytest.mark.parametrize("target", ["chat", "responses"])
@pytest.mark.parametrize(
    ("model", "members", "kept"),
    [
        ("gpt-4o", {}, True),
        ("gpt-5", {}, False),
        ("o3", OFF, False),
        ("gpt-5.1", {}, True),
        ("gpt-5.1", OFF, True),
        ("gpt-5.6", OFF, True),
        ("gpt-5.6", {}, False),
        ("gpt-5.1", {"output_config": {"effort": "low"}}, False),
        ("gpt-oss-120b", {"output_config": {"effort": "low"}}, True),
    ],
)
def test_sampling_goes_where_a_model_takes_it(target: str, model: str, members: dict[str, Any], kept: bool) -> None:
    body, dropped, _ = sent(target, model, temperature=0.5, top_p=0.9, **members)
    assert ("temperature" in body, "top_p" in body) == (kept, kept)
    assert ({"temperature", "top_p"} <= set(dropped)) is not kept


def test_nothing_of_reasoning_goes_to_a_model_that_does_not_reason() -> None:
    body, dropped, _ = sent("responses", "gpt-4o", thinking={"type": "adaptive", "display": "summarized"})
    assert "reasoning" not in body and "include" not in body and dropped == ["thinking.type"]
    body, dropped, _ = sent("responses", "gpt-4o", thinking={"type": "enabled", "budget_tokens": 2000})
    assert "reasoning" not in body and dropped == ["thinking.budget_tokens"]


def test_stop_sequences_are_dropped_where_models_lack_them() -> None:
    assert "stop" not in sent("chat", "o3", stop_sequences=["x"])[0]
    assert sent("chat", "o3", stop_sequences=["x"])[1] == ["stop_sequences"]
    assert sent("chat", "gpt-4o", stop_sequences=["x"])[0]["stop"] == ["x"]


@pytest.mark.parametrize(
    "model", ["gpt-5-mini", "gpt-5.1", "gpt-5.2-chat-latest", "gpt-5.4", "gpt-5.6-terra", "gpt-6-sol"]
)
def test_models_from_5_on_lack_stop_sequences_and_biases_also_without_thinking(model: str) -> None:
    body, dropped, _ = sent("chat", model, stop_sequences=["x"], thinking={"type": "disabled"})
    assert "stop" not in body and "stop_sequences" in dropped
    request = codecs()["chat"].decode_request(
        {"model": model, "messages": [], "reasoning_effort": "none", "logit_bias": {"1": 5}}
    )
    fitted = fit_openai_request(request, EncodeContext(losses=Losses(), own=True))
    assert fitted.sampling.logit_bias is None


def test_more_than_four_stop_sequences_are_cut() -> None:
    body, dropped, losses = sent("chat", "gpt-4o", stop_sequences=list("abcdef"))
    assert body["stop"] == list("abcd") and dropped == ["stop_sequences"]
    assert losses.adapted["stop_sequences"].sent == "the first 4"
    services = options_of("vllm")
    assert sent("chat", "llama3", services, stop_sequences=list("abcdef"))[0]["stop"] == list("abcdef")


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("gpt-3.5-turbo", 4096),
        ("gpt-35-turbo", 4096),
        ("gpt-4-turbo", 4096),
        ("gpt-4o-2024-05-13", 4096),
        ("gpt-4o-mini", 16384),
        ("ft:gpt-4.1-nano:acme", 32768),
        ("gpt-5.2-chat", 16384),
        ("o3-mini", 100000),
        ("gpt-5.6", 128000),
        ("llama3", 200000),
    ],
)
@pytest.mark.parametrize("target", ["chat", "responses"])
def test_the_limit_of_an_answer_is_the_longest_that_a_model_has(target: str, model: str, longest: int) -> None:
    body, dropped, _ = sent(target, model, max_tokens=200000)
    assert body["max_completion_tokens" if target == "chat" else "max_output_tokens"] == longest
    assert dropped == (["max_tokens"] if longest < 200000 else [])
    assert not sent(target, model, max_tokens=4096)[1]


@pytest.mark.parametrize(
    ("service", "model", "asked", "expected"),
    [
        ("groq", "openai/gpt-oss-120b", "max", "high"),
        ("groq", "qwen/qwen3-32b", "high", None),
        ("groq", "llama-3.3-70b-versatile", "high", None),
        ("mistral", "mistral-medium-latest", "low", "high"),
        ("mistral", "codestral-latest", "low", None),
        ("deepseek", "deepseek-v4-pro", "xhigh", "max"),
        ("together", "openai/gpt-5.1", "max", "high"),
    ],
)
def test_what_services_add_stands_in_their_rows(service: str, model: str, asked: str, expected: str | None) -> None:
    body, dropped, _ = sent("chat", model, options_of(service), output_config={"effort": asked})
    assert effort_in(body) == expected and dropped == ["output_config.effort"]


def test_no_thinking_is_said_where_a_service_takes_it() -> None:
    assert effort_in(sent("chat", "qwen/qwen3-32b", options_of("groq"), **OFF)[0]) == "none"
    assert sent("chat", "llama-3.3-70b-versatile", options_of("groq"), **OFF)[1] == []


def test_a_request_that_fits_is_the_same_and_strict_refuses_changes() -> None:
    request = MESSAGES.decode_request({"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]})
    context = EncodeContext(losses=Losses(strict=True))
    assert fit_openai_request(request, context) is request and reasons(request, context)
    request.sampling.temperature = 0.5
    with pytest.raises(Untranslatable, match="strict"):
        fit_openai_request(request, context)


@pytest.mark.parametrize(("dialect", "path"), [("chat", "reasoning_effort"), ("responses", "reasoning.effort")])
def test_no_effort_is_also_one_for_a_model_that_does_not_reason(dialect: str, path: str) -> None:
    asked = {"reasoning_effort": "none", "messages": []} if dialect == "chat" else {"reasoning": {"effort": "none"}}
    request = codecs()[dialect].decode_request({"model": "gpt-4o", "input": "u", **asked})
    for own, listed in ((True, [path]), (False, [])):
        losses = Losses()
        fit_openai_request(request, EncodeContext(losses=losses, own=own))
        assert losses.dropped == listed

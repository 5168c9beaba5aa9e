"""What a Claude model refuses of a request in its own dialect is known before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.errors import BadRequest
from tests.support.strict_models import claude_refusals

TURN = {"role": "user", "content": "x"}
ON = {"type": "enabled", "budget_tokens": 1024}
ADAPTIVE = {"type": "adaptive"}
FORCED = {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}}


def refused(model: str, **members: Any) -> list[str]:
    """Return the paths that the model refuses."""
    codec = codecs()["messages"]
    request = codec.decode_request({"model": model, "max_tokens": 2000, "messages": [TURN], **members})
    losses = Losses()
    codec.fit_request(request, EncodeContext(losses=losses, own=True))
    assert losses.adapted.keys() == set(losses.dropped)
    return losses.dropped


@pytest.mark.parametrize(
    ("model", "members", "paths"),
    [
        ("claude-opus-4-7", {"thinking": ON}, ["thinking.type"]),
        ("claude-opus-5-5", {"thinking": ON}, ["thinking.type"]),
        ("claude-opus-4-6", {"thinking": ON}, []),
        ("claude-haiku-4-5", {"thinking": ON}, []),
        ("claude-haiku-4-5", {"thinking": ADAPTIVE}, ["thinking.type"]),
        ("claude-opus-4-8", {"thinking": ADAPTIVE}, []),
        ("claude-3-5-haiku-latest", {"thinking": ON}, ["thinking.type"]),
        ("claude-opus-4-8", {"thinking": {"type": "between_tools"}}, ["thinking.type"]),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, []),
        ("claude-haiku-4-5", {"thinking": {"type": "enabled", "budget_tokens": 500}}, ["thinking.budget_tokens"]),
        ("claude-haiku-4-5", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, ["thinking.budget_tokens"]),
        ("claude-haiku-4-5", {"output_config": {"effort": "low"}}, ["output_config.effort"]),
        ("claude-opus-4-5", {"output_config": {"effort": "low"}}, []),
        ("claude-opus-4-5", {"output_config": {"effort": "max"}}, ["output_config.effort"]),
        ("claude-opus-4-6", {"output_config": {"effort": "xhigh"}}, ["output_config.effort"]),
        ("claude-haiku-4-5", {"thinking": ON, **FORCED}, ["tool_choice"]),
        ("claude-haiku-4-5", FORCED, []),
        ("claude-opus-4-8", {"thinking": ADAPTIVE, **FORCED}, ["tool_choice"]),
        ("claude-haiku-4-5", {"thinking": ON, "temperature": 0.5, "top_k": 4}, ["temperature", "top_k"]),
        ("claude-haiku-4-5", {"temperature": 0.5, "top_p": 0.5}, ["top_p"]),
        ("claude-sonnet-4-0", {"temperature": 0.5, "top_p": 0.5}, []),
        ("claude-opus-4-8", {"temperature": 1}, ["temperature"]),
        ("claude-opus-4-1", {"max_tokens": 50000}, ["max_tokens"]),
        ("claude-of-another-time", {"thinking": ON, "max_tokens": 900000, "temperature": 0.5}, ["temperature"]),
        ("deepseek-flash", {"thinking": ON, "temperature": 0.5, **FORCED}, []),
    ],
)
def test_what_the_model_refuses_is_listed(model: str, members: dict[str, Any], paths: list[str]) -> None:
    assert refused(model, **members) == paths


MODELS = [
    *("claude-opus-4-0", "claude-opus-4-1", "claude-sonnet-4-5", "claude-opus-4-5"),
    *("claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-4-8", "claude-opus-5", "claude-sonnet-5-5"),
    *("claude-opus-5-5", "claude-fable-5-1", "claude-mythos-5-1"),
]
KINDS: list[dict[str, Any]] = [
    *({"thinking": {"type": kind}} for kind in ("adaptive", "disabled", "between_tools")),
    {"thinking": ON},
    *({"output_config": {"effort": effort}} for effort in ("low", "xhigh", "max")),
    *({"temperature": 0.5}, {"top_k": 4}, {"temperature": 0.5, "top_p": 0.5}),
    FORCED,
    {"messages": [TURN, {"role": "assistant", "content": "y"}]},
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("members", KINDS, ids=str)
def test_the_strict_vendor_and_the_table_agree(model: str, members: dict[str, Any]) -> None:
    body = {"model": model, "max_tokens": 2000, "messages": [TURN], **members}
    faults = list(claude_refusals(body, "2023-06-01"))
    try:
        ours = refused(model, **members)
    except BadRequest as error:  # a prefill is refused at once
        ours = [str(error)]
    assert bool(ours) == bool(faults), (ours, faults)

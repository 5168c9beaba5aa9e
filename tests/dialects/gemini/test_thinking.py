"""How much a model thinks."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.gemini.models import family_of
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.thinking import decode_thinking_config, own_thinking_config, plan_thinking_config
from llmproxy.dialects.model import Reasoning, Request

FLASH3, PRO3, FLASH25, PRO25, OLD = (
    *("gemini-3-flash", "gemini-3-pro", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash"),
)


def planned(model: str, reasoning: Reasoning) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    request = Request(dialect="chat", model=model, reasoning=reasoning)
    return plan_thinking_config(request, family_of(model), EncodeContext(losses=losses)), losses.dropped


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": 0}, Reasoning(mode="off")),
        ({"thinkingBudget": -1, "includeThoughts": True}, Reasoning(mode="adaptive", summary="auto")),
        ({"thinkingBudget": 500}, Reasoning(mode="on", budget_tokens=500)),
        ({"thinkingLevel": "XHIGH", "includeThoughts": False}, Reasoning(effort="xhigh", summary="omitted")),
        ({"thinkingLevel": "low"}, Reasoning(effort="low")),
        ({"thinkingLevel": "NEW"}, Reasoning()),
    ],
)
def test_it_is_read_and_goes_back(config: dict[str, Any], expected: Reasoning) -> None:
    reasoning = decode_thinking_config(ProtoMembers(config, "t"), {})
    for name in ("mode", "effort", "budget_tokens", "summary"):
        assert getattr(reasoning, name) == getattr(expected, name)
    again = own_thinking_config(reasoning) | {name.removeprefix("~"): each for name, each in reasoning.extra.items()}
    assert again == config


@pytest.mark.parametrize(
    ("model", "reasoning", "config", "dropped"),
    [
        (FLASH3, Reasoning(effort="high"), {"thinkingLevel": "HIGH"}, []),
        (FLASH3, Reasoning(effort="max"), {"thinkingLevel": "HIGH"}, ["effort"]),
        (PRO3, Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}, ["effort"]),
        (PRO3, Reasoning(mode="off"), {"thinkingLevel": "LOW"}, ["mode"]),
        (FLASH3, Reasoning(mode="on", budget_tokens=2000), {"includeThoughts": True, "thinkingLevel": "LOW"}, []),
        (FLASH3, Reasoning(mode="adaptive", summary="omitted"), {}, []),
        (FLASH25, Reasoning(mode="off"), {"thinkingBudget": 0}, []),
        (FLASH25, Reasoning(effort="none"), {"thinkingBudget": 0}, []),
        (PRO25, Reasoning(effort="none"), {"thinkingBudget": 128}, ["effort"]),
        (FLASH25, Reasoning(effort="medium", summary="auto"), {"includeThoughts": True, "thinkingBudget": 8192}, []),
        (FLASH25, Reasoning(mode="adaptive"), {"includeThoughts": True, "thinkingBudget": -1}, []),
        (
            PRO25,
            Reasoning(mode="on", budget_tokens=99999),
            {"includeThoughts": True, "thinkingBudget": 32768},
            ["budget_tokens"],
        ),
        (OLD, Reasoning(mode="on", budget_tokens=2000), {}, ["mode", "budget_tokens"]),
        (OLD, Reasoning(mode="off"), {}, []),
        (FLASH3, Reasoning(), {}, []),
    ],
)
def test_a_model_is_asked_for_what_it_has(
    model: str, reasoning: Reasoning, config: dict[str, Any], dropped: list[str]
) -> None:
    assert planned(model, reasoning) == (config, dropped)

"""The words of messages beside ours, both ways: stop reasons, tool choices, tiers, and names of members."""

from __future__ import annotations

from typing import Literal, TypeAlias

from llmproxy.dialects.model import Effort, StopReason

ChoiceMode: TypeAlias = Literal["auto", "none", "required", "tool"]

_STOP_REASONS: tuple[tuple[str, StopReason], ...] = (
    ("end_turn", "end"),
    ("max_tokens", "length"),
    ("stop_sequence", "stop_sequence"),
    ("tool_use", "tool_calls"),
    ("pause_turn", "pause"),
    ("refusal", "refusal"),
    ("model_context_window_exceeded", "context_window"),
    # Only read:
    ("compaction", "pause"),
)
STOP_REASONS: dict[str, StopReason] = dict(_STOP_REASONS)
STOP_WORDS: dict[StopReason, str] = {stop: word for word, stop in reversed(_STOP_REASONS)} | {
    "content_filter": "refusal"
}

_CHOICES: tuple[tuple[str, ChoiceMode], ...] = (
    ("auto", "auto"),
    ("any", "required"),
    ("tool", "tool"),
    ("none", "none"),
)
CHOICE_MODES: dict[str, ChoiceMode] = dict(_CHOICES)
CHOICE_TYPES: dict[ChoiceMode, str] = {mode: kind for kind, mode in _CHOICES}

OUTPUT_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")

REQUEST_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
REPLY_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}

LACKING = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")
"""The members of `Sampling` that messages do not have."""
USERS = ("user", "safety_identifier")
"""Knobs that name the end user; of several the first counts."""
SERVERS = "mcp_servers"
THREAD = "thread"
"""A conversation that the provider keeps (beta)."""
SERVER_TOOLS = "server_tool_use"
"""How often built-in tools were used, in `usage`."""

"""The words of chat completions beside ours, both ways: finish reasons, and the names of members."""

from __future__ import annotations

from typing import Literal

from llmproxy.dialects.model import StopReason

_FINISH_REASONS: tuple[tuple[str, StopReason], ...] = (
    ("stop", "end"),
    ("length", "length"),
    ("tool_calls", "tool_calls"),
    ("content_filter", "content_filter"),
    # Only read:
    ("function_call", "tool_calls"),
    ("model_length", "context_window"),
    ("eos", "end"),
    ("end_turn", "end"),
    ("max_tokens", "length"),
    ("tool_use", "tool_calls"),
    ("sensitive", "content_filter"),
)
STOP_REASONS: dict[str, StopReason] = dict(_FINISH_REASONS)
FINISH_REASONS: dict[StopReason, str] = {stop: word for word, stop in reversed(_FINISH_REASONS)} | {
    "stop_sequence": "stop",
    "refusal": "content_filter",
    "pause": "stop",
    "context_window": "length",
}
FAILED = "error"
"""The finish reason with which routers of other services say that the answer broke off."""

TEXT_KNOBS = (
    *("user", "safety_identifier", "service_tier", "verbosity"),
    *("prompt_cache_key", "prompt_cache_retention"),
)
OBJECT_KNOBS = ("metadata", "prompt_cache_options", "moderation")
CACHE_OPTIONS = {"mode": ("implicit", "explicit"), "ttl": ("30m",)}
"""What chat accepts in `prompt_cache_options`."""
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs")
"""The members of `Sampling` that have the same name in chat."""

THINKING = ("reasoning_content", "reasoning")
"""The names of the thinking in a message, the first one being the more common."""
SIGNATURE = "extra_content"
"""The member of a call that must come back with it."""
LEGACY = "functions"
"""The name in `Request.echo` that says that the client knows `function_call` and no `tool_calls`."""
WEB_SEARCH = "web_search_options"
"""The built-in tool that is a member of the request and not one of `tools`."""
SWITCH = "thinking"
"""The member with which some services (DeepSeek, Z.ai, Moonshot) turn thinking on and off."""
SWITCH_OFF = "disabled"
SWITCH_MODES: dict[str, Literal["on", "adaptive", "off"]] = {"enabled": "on", "adaptive": "adaptive", SWITCH_OFF: "off"}

"""The words of responses beside ours, both ways: reasons of incomplete answers, error codes, and names of members."""

from __future__ import annotations

from llmproxy.dialects.model import StopReason

_INCOMPLETE: tuple[tuple[str, StopReason], ...] = (
    ("max_output_tokens", "length"),
    ("content_filter", "content_filter"),
)
STOP_REASONS: dict[str, StopReason] = dict(_INCOMPLETE)
INCOMPLETE_REASONS: dict[StopReason, str] = {stop: word for word, stop in _INCOMPLETE} | {
    "context_window": "max_output_tokens"
}

# Of the SDK's `response_error`, and two more that agents look for.
ERROR_CODES = frozenset(
    (
        *("server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy"),
        *("misalignment_policy_violation", "vector_store_timeout", "context_length_exceeded", "insufficient_quota"),
    )
)
ERROR_CODE_OF_STATUS = {400: "invalid_prompt", 413: "invalid_prompt", 429: "rate_limit_exceeded"}

LOGPROBS = "message.output_text.logprobs"
"""A value of `include` that other dialects understand too."""
SUMMARIES = ("auto", "concise", "detailed")

TEXT_KNOBS = ("user", "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention")
OBJECT_KNOBS = ("metadata", "prompt_cache_options", "moderation")
LACKING = ("stop", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
"""The members of `Sampling` that responses do not have."""
ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id"),
    *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text"),
    *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
)
"""What an answer repeats of its request."""

CALL_TYPES = ("function_call", "custom_tool_call")
"""The types of items that are calls, the second one those of custom tools."""

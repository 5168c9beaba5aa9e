"""The words of gemini beside ours, both ways: finish reasons, modes, levels, tiers, names of errors.

Source: `google.genai.types` (`FinishReason`, `BlockedReason`, `FunctionCallingConfigMode`, `ThinkingLevel`,
`ServiceTier`), as for all of this dialect, and google.rpc.Code for the errors.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from llmproxy.dialects.model import Effort, StopReason

NAME = "gemini"
ChoiceMode: TypeAlias = Literal["auto", "none", "required", "tool"]

_FINISHES: tuple[tuple[str, StopReason], ...] = (
    ("STOP", "end"),
    ("MAX_TOKENS", "length"),
    ("SAFETY", "content_filter"),
    # Only read:
    ("FINISH_REASON_UNSPECIFIED", "end"),
    ("OTHER", "end"),
    ("LANGUAGE", "content_filter"),
    ("RECITATION", "content_filter"),
    ("BLOCKLIST", "content_filter"),
    ("PROHIBITED_CONTENT", "content_filter"),
    ("SPII", "content_filter"),
    ("MODEL_ARMOR", "content_filter"),
    ("ESCALATION", "content_filter"),
    ("PUP_LIMITED_DISABLED", "content_filter"),
    ("IMAGE_SAFETY", "content_filter"),
    ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
    ("IMAGE_RECITATION", "content_filter"),
    ("IMAGE_OTHER", "end"),
    ("NO_IMAGE", "end"),
    ("MALFORMED_FUNCTION_CALL", "end"),
    ("MALFORMED_RESPONSE", "end"),
    ("UNEXPECTED_TOOL_CALL", "end"),
    ("TOO_MANY_TOOL_CALLS", "end"),
    ("MISSING_THOUGHT_SIGNATURE", "end"),
    ("CONTINUATION", "pause"),
)
FINISHES: dict[str, StopReason] = dict(_FINISHES)
FINISH_WORDS: dict[StopReason, str] = {stop: word for word, stop in reversed(_FINISHES)} | {
    "refusal": "SAFETY",
    "context_window": "MAX_TOKENS",
    "tool_calls": "STOP",
    "stop_sequence": "STOP",
    "pause": "STOP",
}
BLOCKED = frozenset(
    (
        *("BLOCKED_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"),
        *("MODEL_ARMOR", "JAILBREAK"),
    )
)
"""The reasons for which a prompt is blocked, `promptFeedback.blockReason`."""

VALIDATED = "VALIDATED"
"""The mode in which calls keep to their schemas, and which alone beside ANY takes `allowedFunctionNames`."""
_MODES: tuple[tuple[str, ChoiceMode], ...] = (("AUTO", "auto"), ("ANY", "required"), ("NONE", "none"))
CHOICE_MODES: dict[str, ChoiceMode] = dict(_MODES) | {VALIDATED: "auto"}
CHOICE_WORDS: dict[ChoiceMode, str] = {mode: word for word, mode in _MODES} | {"tool": "ANY"}

_LEVELS: tuple[tuple[str, Effort], ...] = (
    ("MINIMAL", "minimal"),
    ("LOW", "low"),
    ("MEDIUM", "medium"),
    ("HIGH", "high"),
    ("XHIGH", "xhigh"),
)
THINKING_LEVELS: dict[str, Effort] = dict(_LEVELS)
LEVEL_WORDS: dict[Effort, str] = {effort: word for word, effort in _LEVELS}
DYNAMIC = -1
"""The thinking budget that leaves it to the model how much to think."""

REQUEST_TIERS = {name: name for name in ("flex", "standard", "priority")} | {
    "default": "standard",
    "auto": "standard",
    "standard_only": "standard",
    "fast": "priority",
}

SAMPLING = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""The members of `generationConfig` by those of `Sampling`."""

FILLER = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Stands in place of the signature of a call that Gemini did not make: base64 of `skip_thought_signature_validator`
(ai.google.dev/gemini-api/docs/thought-signatures)."""
SIGNATURE = "thoughtSignature"

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The names of errors by their status; others are `INVALID_ARGUMENT` below 500 and `INTERNAL` from there on."""

"""The words of converse beside ours, both ways: stop reasons, tool choices, formats of media, tiers.

Source: the service model of `bedrock-runtime` in botocore, as for all of this dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from llmproxy.dialects.model import Effort, StopReason

ForcingMode: TypeAlias = Literal["auto", "required", "tool"]
MediaKind: TypeAlias = Literal["image", "document", "audio", "video"]

SEAL = "messages"
"""Where thinking with a signature was made: Claude accepts its own back in both dialects (Anthropic's documentation of
extended thinking: signatures are compatible across platforms)."""

_STOP_REASONS: tuple[tuple[str, StopReason], ...] = (
    ("end_turn", "end"),
    ("tool_use", "tool_calls"),
    ("max_tokens", "length"),
    ("stop_sequence", "stop_sequence"),
    ("content_filtered", "content_filter"),
    ("model_context_window_exceeded", "context_window"),
    # Only read:
    ("guardrail_intervened", "content_filter"),
    ("malformed_model_output", "end"),
    ("malformed_tool_use", "end"),
)
STOP_REASONS: dict[str, StopReason] = dict(_STOP_REASONS)
STOP_WORDS: dict[StopReason, str] = {stop: word for word, stop in reversed(_STOP_REASONS)} | {
    "refusal": "content_filtered",
    "pause": "end_turn",
}
FIELD_PATHS, STOP_SEQUENCE_PATH = "additionalModelResponseFieldPaths", "/stop_sequence"
"""The member of a request, and the JSON pointer in it, by which Claude is asked which sequence stopped it."""

_CHOICES: tuple[tuple[str, ForcingMode], ...] = (("auto", "auto"), ("any", "required"), ("tool", "tool"))
CHOICE_MODES: dict[str, ForcingMode] = dict(_CHOICES)
CHOICE_WORDS: Mapping[str, str] = {mode: word for word, mode in _CHOICES}

OUTPUT_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
THINKING_FIELDS = ("thinking", "reasoning_config")
"""The members of `additionalModelRequestFields` in which a Claude is asked to think; the second is the older name."""

REQUEST_TIERS = {name: name for name in ("default", "flex", "priority", "reserved")} | {
    "auto": "default",
    "standard_only": "default",
}
REPLY_TIERS = {"standard": "default", "default": "default", "priority": "priority", "flex": "flex"}

LACKING = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")
"""The members of `Sampling` that converse does not have."""

_OFFICE = "application/vnd.openxmlformats-officedocument"
# Of two formats of one media type the first is written.
_FORMATS: dict[MediaKind, tuple[tuple[str, str], ...]] = {
    "image": (("png", "image/png"), ("jpeg", "image/jpeg"), ("gif", "image/gif"), ("webp", "image/webp")),
    "document": (
        ("pdf", "application/pdf"),
        ("csv", "text/csv"),
        ("doc", "application/msword"),
        ("docx", f"{_OFFICE}.wordprocessingml.document"),
        ("xls", "application/vnd.ms-excel"),
        ("xlsx", f"{_OFFICE}.spreadsheetml.sheet"),
        ("html", "text/html"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
    ),
    "audio": (
        ("mp3", "audio/mpeg"),
        ("opus", "audio/opus"),
        ("wav", "audio/wav"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("mp4", "audio/mp4"),
        ("ogg", "audio/ogg"),
        ("webm", "audio/webm"),
        ("m4a", "audio/x-m4a"),
        ("mka", "audio/x-matroska"),
        ("pcm", "audio/pcm"),
        ("x-aac", "audio/x-aac"),
        ("mkv", "audio/matroska"),
        ("mpeg", "audio/mpeg"),
        ("mpga", "audio/mpeg"),
    ),
    "video": (
        ("mp4", "video/mp4"),
        ("mov", "video/quicktime"),
        ("mkv", "video/x-matroska"),
        ("webm", "video/webm"),
        ("flv", "video/x-flv"),
        ("mpeg", "video/mpeg"),
        ("wmv", "video/x-ms-wmv"),
        ("three_gp", "video/3gpp"),
        ("mpg", "video/mpeg"),
    ),
}
MEDIA_TYPES: dict[MediaKind, dict[str, str]] = {kind: dict(rows) for kind, rows in _FORMATS.items()}
"""Media types by the format, for each kind of media."""
FORMATS: dict[MediaKind, dict[str, str]] = {
    kind: {media_type: name for name, media_type in reversed(rows)} for kind, rows in _FORMATS.items()
}
"""Formats by the media type, for each kind of media."""
SPELLINGS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "application/x-pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
}
"""Media types as others write them."""

"""The rules by which the vendors' models refuse requests that others of their models take.

They stand apart from the tables of llmproxy on purpose, so that one can be held against the other. Sources: the
vendors' migration guides and the recorded refusals of other projects. Begin at `claude_refusals` and `openai_refusals`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple


class Claude(NamedTuple):
    """A Claude model by its name: the family and the version, as in (`opus`, (4, 8))."""

    family: str
    version: tuple[int, int]

    @property
    def always_thinks(self) -> bool:
        return self.family in ("fable", "mythos") or (self.family == "opus" and self.version >= (5, 5))

    @property
    def newest(self) -> bool:
        """Return whether it refuses `thinking: disabled` and forced tools."""
        return self.always_thinks or (self.family == "sonnet" and self.version >= (5, 5))


_NAME = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-(\d)(?:[-.](\d{1,2}))?(?!\d)")


def claude_of(name: str) -> Claude | None:
    """Return the model of a name; None where it is older than 4 or no Claude."""
    match = _NAME.search(name.lower())
    return Claude(match[1], (int(match[2]), int(match[3] or 0))) if match else None


def claude_refusals(body: dict[str, Any], api_version: str) -> Iterator[str]:
    """Yield what a Claude model refuses of a request."""
    model = claude_of(str(body.get("model")))
    knobs = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if knobs and (api_version >= "2026-10-21" or (model and model.version >= (4, 7))):
        yield f"{knobs[0]}: Extra inputs are not permitted"
    if model is None:
        return
    if {"temperature", "top_p"} <= set(knobs) and model.version >= (4, 1):
        yield "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    yield from _thinking_refusals(body, model)
    yield from _effort_refusals(body, model)
    if model.newest and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "tool_choice: this model does not support forcing tool use; use `auto` or `none`"
    messages = body.get("messages") or [{}]
    if messages[-1].get("role") == "assistant" and model.version >= (4, 6):
        yield ("This model does not support assistant message prefill. The conversation must end with a user message.")
    if any(message.get("role") == "system" for message in messages) and model.version < (4, 8):
        yield "messages: role 'system' is not supported on this model"


def _thinking_refusals(body: dict[str, Any], model: Claude) -> Iterator[str]:
    kind = (body.get("thinking") or {}).get("type")
    if kind == "disabled" and model.newest:
        yield "thinking.type: `disabled` is not supported for this model"
    if kind == "enabled" and model.version >= (4, 7):
        yield "thinking.type: `enabled` is not supported for this model. Use `adaptive` and `output_config.effort`"
    if kind == "adaptive" and model.version < (4, 6):
        yield "adaptive thinking is not supported on this model"
    if kind == "between_tools" and not model.newest:
        yield "thinking.type: `between_tools` is not supported for this model"


def _effort_refusals(body: dict[str, Any], model: Claude) -> Iterator[str]:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is None:
        return
    taken = ["low", "medium", "high"]
    if model.version < (4, 5) or (model.version < (4, 6) and model.family != "opus"):
        taken = []
    elif model.family == "sonnet" and model.version >= (5, 5):
        pass
    elif model.version >= (4, 7):
        taken += ["xhigh", "max"]
    elif model.version >= (4, 6):
        taken += ["max"]
    if not taken:
        yield "This model does not support the effort parameter."
    elif effort not in taken:
        yield f"output_config.effort: `{effort}` is not supported for this model; use one of {', '.join(taken)}"


class OpenAI(NamedTuple):
    """A model by its name: the efforts that it takes (none where it does not reason), and whether it always reasons."""

    efforts: tuple[str, ...]
    always_reasons: bool = False


_OPENAI: tuple[tuple[str, OpenAI], ...] = (
    (r"gpt-oss", OpenAI(("low", "medium", "high"))),
    (r"gpt-4|gpt-3\.5|gpt-5-chat", OpenAI(())),
    (r"(?:^|/)o[134](?:-|$)", OpenAI(("low", "medium", "high"), True)),
    (r"gpt-5\.1-codex-max", OpenAI(("low", "medium", "high", "xhigh"), True)),
    (r"gpt-5\.1-codex|gpt-5-codex", OpenAI(("low", "medium", "high"), True)),
    (r"gpt-5\.\d-chat", OpenAI(("medium",), True)),
    (r"gpt-5(?:\.\d)?-pro", OpenAI(("medium", "high", "xhigh"), True)),
    (r"gpt-5\.1", OpenAI(("none", "low", "medium", "high"))),
    (r"gpt-5\.6", OpenAI(("none", "low", "medium", "high", "xhigh", "max"))),
    (r"gpt-5\.\d", OpenAI(("none", "low", "medium", "high", "xhigh"))),
    (r"gpt-5", OpenAI(("minimal", "low", "medium", "high"), True)),
    (r"gpt-6(?:\.\d)?-astra", OpenAI(("low", "medium", "high", "xhigh", "max"), True)),
    (r"gpt-6", OpenAI(("none", "low", "medium", "high", "xhigh", "max"))),
)


def openai_of(name: str) -> OpenAI | None:
    """Return the rules of a model of OpenAI; None for models of others."""
    return next((rules for pattern, rules in _OPENAI if re.search(pattern, name.lower())), None)


def openai_refusals(body: dict[str, Any], effort: Any, effort_path: str) -> Iterator[str]:
    """Yield what a model of OpenAI refuses: its `effort`, which stands at `effort_path`, and sampling beside it."""
    model = openai_of(str(body.get("model")))
    if model is None:
        return
    if effort is not None and not model.efforts:
        yield f"Unsupported parameter: '{effort_path}' is not supported with this model."
    elif effort is not None and effort not in model.efforts:
        words = ", ".join(f"'{word}'" for word in model.efforts)
        yield (
            f"Unsupported value: '{effort_path}' does not support '{effort}' with this model. "
            f"Supported values are: {words}."
        )
    reasons = model.always_reasons or (bool(model.efforts) and effort not in (None, "none"))
    for name in ("temperature", "top_p"):
        if reasons and name in body and "oss" not in str(body["model"]):
            yield f"Unsupported parameter: '{name}' is not supported with this model."

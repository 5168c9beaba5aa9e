"""What the target's model refuses, changed in the neutral request into what it accepts, each change listed.

The facts are in `models.py`, those of Claude in `claude_rules.py`. Begin reading at `fit_request`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.claude_models import is_claude
from llmproxy.dialects.claude_rules import fit_claude_request
from llmproxy.dialects.converse.models import family_of
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Request, ToolChoice
from llmproxy.dialects.system_turns import as_user_turns, has_system_turns


def fit_request(request: Request, context: EncodeContext) -> Request:
    """Return the request as its model accepts it. Raises BadRequest where nothing like it can be sent."""
    if is_claude(request.model):
        return fit_claude_request(request, context)
    changes: dict[str, Any] = {}
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "tool"):
        changes["tool_choice"] = _fit_choice(request, choice, context)
    if has_system_turns(request.messages):
        some = context.options.system_turns is True
        changes["messages"] = as_user_turns(request.messages, request.model or "the model", context, some=some)
    return msgspec.structs.replace(request, **changes) if changes else request


def _fit_choice(request: Request, choice: ToolChoice, context: EncodeContext) -> ToolChoice:
    """Return a choice that the model knows. Where it cannot be forced to call one tool, it may call no other."""
    forced = family_of(request.model).forced
    if forced == "named" or (forced == "any" and choice.mode == "required"):
        return choice
    path = choice.path or request.where("tool_choice")
    allowed = choice.allowed if choice.name is None else [choice.name]
    if forced == "any":
        context.adapt(path, f"{request.model} cannot be forced to call one of its tools", "any, with that tool alone")
        return msgspec.structs.replace(choice, mode="required", name=None, allowed=allowed)
    context.adapt(path, f"{request.model} cannot be forced to call a tool", "auto")
    return msgspec.structs.replace(choice, mode="auto", name=None, allowed=allowed)

"""System messages among the others, which not every model accepts: as messages of the user in the same place.

They are never moved to the system prompt, since that would change what stands before all other messages and so what is
cached. Begin reading at `as_user_turns`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.history import INSTRUCTIONS
from llmproxy.dialects.model import Message, Request


def has_system_turns(messages: Sequence[Message]) -> bool:
    """Return whether there is any."""
    return any([message.role in INSTRUCTIONS for message in messages])


def fit_messages(request: Request, context: EncodeContext) -> list[Message]:
    """Return the messages of a request as a service accepts them whose models do not differ in this."""
    if context.own or context.options.system_turns is not False or not has_system_turns(request.messages):
        return request.messages
    return as_user_turns(request.messages, "the provider", context, some=False)


def as_user_turns(messages: Sequence[Message], model: str, context: EncodeContext, *, some: bool) -> list[Message]:
    """Return the messages, those of the system as the user's. With `some`, they stay where Claude accepts them: one
    between a message of the user and one of the assistant."""
    turns: list[Message] = []
    for index, message in enumerate(messages):
        if message.role not in INSTRUCTIONS or (some and _placed(messages, index)):
            turns.append(message)
            continue
        where = "in this place" if some else "after the first message"
        context.adapt(f"{message.path}.role", f"{model} accepts no system message {where}", "user")
        turns.append(msgspec.structs.replace(message, role="user"))
    return turns


def _placed(messages: Sequence[Message], index: int) -> bool:
    if not 0 < index < len(messages) - 1:
        return False
    return messages[index - 1].role == "user" and messages[index + 1].role == "assistant"

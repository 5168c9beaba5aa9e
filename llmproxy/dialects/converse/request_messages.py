"""The system prompt and the messages of a request, encoded. Decoding is in `request_decode.py`, as it needs no state.

Bedrock refuses conversations that the assistant begins (dify#12340, strands-agents/harness-sdk#2085), two messages of
one role in a row, messages without content, blank texts, and documents without a text beside them (dify#9294,
langchain-aws#130, the words of the shape `Message`). Begin reading at `encode_messages`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.dialects.converse.cache_points import POINT, Blocks, point_of
from llmproxy.dialects.converse.content import encode_blocks
from llmproxy.dialects.converse.media import unique_documents
from llmproxy.dialects.converse.models import Family
from llmproxy.dialects.converse.request_decode import OWN_BLOCK
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import Instruction, Message, Opaque, Text

_BEGINNING = "Begin."
"""The message of the user before a conversation that the assistant begins."""
_BESIDE_DOCUMENT = "Document:"
"""The text beside a document that came without one."""


def encode_system(instructions: Sequence[Instruction], family: Family, context: EncodeContext) -> Blocks:
    """Return the member `system`."""
    content: Blocks = []
    for instruction in instructions:
        for text in instruction.content:
            if context.own and OWN_BLOCK in text.extra:
                content.append(text.extra[OWN_BLOCK])
                content += [] if text.cache is None else [point_of(text, context)]
            else:
                content += encode_blocks([text], context, caches=family.caches, status=family.status)
        context.drop_extra(instruction)
    return content


def encode_messages(messages: Sequence[Message], family: Family, context: EncodeContext) -> list[dict[str, object]]:
    """Return the member `messages`: the user's and the assistant's in turn."""
    turns: list[tuple[str, Blocks]] = []
    encoded: list[dict[str, object]] = []
    for message in messages:
        if message.name is not None:
            context.drop(f"{message.path}.name")
        role = "system" if message.role == "developer" else message.role
        content = _encode_content(message, family, context)
        if not context.own and turns and turns[-1][0] == role:
            turns[-1][1].extend(content)
        elif content or context.own:
            turns.append((role, content))
            encoded.append({"role": role, "content": content})
        else:
            context.drop_extra(message)
            continue
        context.put_extra(encoded[-1], message)
    if not context.own:
        _finish(turns)
        if turns and turns[0][0] == "assistant" and not context.continued:
            where = next((message.path for message in messages if message.role == "assistant"), "messages")
            context.adapt(where, "a conversation with Bedrock begins with the user", "a message of the user before it")
            encoded.insert(0, {"role": "user", "content": [{"text": _BEGINNING}]})
    return encoded


def _encode_content(message: Message, family: Family, context: EncodeContext) -> Blocks:
    if message.role in ("system", "developer"):
        for block in message.content:
            if not isinstance(block, Text | Opaque):
                context.refuse(block.path, "Only text is allowed in a system message of Converse")
    return encode_blocks(message.content, context, caches=family.caches, status=family.status)


def _finish(turns: Sequence[tuple[str, Blocks]]) -> None:
    """Let the results of tools come first in their turns, and documents have a name of their own and a text."""
    names: set[str] = set()
    for role, content in turns:
        if role == "user":
            _lead_with_results(content)
        unique_documents(content, names)
        if any("document" in block for block in content) and not any("text" in block for block in content):
            content.append({"text": _BESIDE_DOCUMENT})


def _lead_with_results(content: Blocks) -> None:
    """Move results in front of what the user adds, each with the cache point behind it."""
    results: Blocks = []
    others: Blocks = []
    group = others
    for block in content:
        if POINT not in block:
            group = results if "toolResult" in block else others
        group.append(block)
    content[:] = results + others

"""What of a request other dialects than its own can carry.

Content that has words goes as those words. What a client only declares, such as built-in tools, is left out and listed,
unless the request forces its use. Begin reading at `share`.
"""

from __future__ import annotations

import msgspec

from llmproxy.dialects.call_arguments import NO_ARGUMENTS, has_arguments
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.model import (
    Block,
    Instruction,
    Message,
    Opaque,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llmproxy.dialects.server_records import record_words


def share(request: Request, context: EncodeContext) -> Request:
    """Return `request` as another dialect can carry it, or itself where its own is written. Raises BadRequest."""
    if context.own:
        return request
    context.refuse_unshared(request)
    messages, declared = request.messages, False
    if not all([type(block) is Text for message in messages for block in message.content]):
        messages = [shared for message in messages if (shared := _share_message(message, context)) is not None]
        declared = len(messages) < len(request.messages)
    request = msgspec.structs.replace(request, messages=messages)
    if declared:
        _lead_with_instructions(request)
    dropped = [tool for tool in request.tools if isinstance(tool, Opaque) and tool.declares]
    if dropped:
        _drop_tools(request, dropped, context)
    choice = request.tool_choice
    if choice is not None and choice.opaque is not None:
        request.tool_choice = msgspec.structs.replace(choice, opaque=None)
    if not request.tools and not request.found_tools:
        _drop_choice(request, context)
    return request


def _drop_tools(request: Request, dropped: list[Opaque], context: EncodeContext) -> None:
    """Leave out tools that run at the provider of the client's dialect. Raises BadRequest when one is forced."""
    request.tools = [tool for tool in request.tools if not (isinstance(tool, Opaque) and tool.declares)]
    choice = request.tool_choice
    if choice is not None:
        _refuse_forced(choice, request, dropped, context)
    for tool in dropped:
        context.drop(tool.path)


def _drop_choice(request: Request, context: EncodeContext) -> None:
    """Leave out what says how to use tools where there are none. Vendors refuse it, but clients send it, as Codex does
    to compact a conversation."""
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "tool"):
        context.drop(request.where("tool_choice"))
    if choice is not None:
        context.drop_extra(choice)
    if request.parallel_tools is not None:
        context.drop(request.where("parallel_tools"))
    request.tool_choice = request.parallel_tools = None


def _refuse_forced(choice: ToolChoice, request: Request, dropped: list[Opaque], context: EncodeContext) -> None:
    known = {tool.name for tool in request.tools if isinstance(tool, Tool)}
    names = [tool.value.get("name") for tool in dropped]  # any JSON, as it came
    named = choice.mode == "tool" and choice.name in names and choice.name not in known
    if named or (choice.mode in ("required", "tool") and not request.tools):
        kind = dropped[0].kind
        reason = f"A tool must be called, but {kind!r} is built into another API and does not exist in this one"
        context.refuse(choice.path or request.where("tool_choice"), reason)


def _share_message(message: Message, context: EncodeContext) -> Message | None:
    """Return a message as other dialects have it; None when it only declares something."""
    content = message.content
    if not any([type(block) is not Text for block in content]):
        return message
    shared: list[Block] = []
    for block in content:
        if isinstance(block, Opaque) and block.declares:
            context.drop_extra(block)
        else:
            shared.append(_share_block(block, context))
    if not shared and content:
        return None
    return msgspec.structs.replace(message, content=shared)


def _lead_with_instructions(request: Request) -> None:
    """Let the system messages that now come first be instructions: Codex declares tools in front of its own."""
    leading: list[Instruction] = []
    for message in request.messages:
        texts = [block for block in message.content if isinstance(block, Text)]
        if (message.role != "system" and message.role != "developer") or len(texts) < len(message.content):
            break
        leading.append(Instruction(path=message.path, role=message.role, content=texts, extra=message.extra))
    request.system = [*request.system, *leading]
    request.messages = request.messages[len(leading) :]


def _share_block(block: Block, context: EncodeContext) -> Block:
    match block:
        case ToolCall() if not block.custom and not has_arguments(block.arguments):
            return msgspec.structs.replace(block, arguments=NO_ARGUMENTS)
        case ToolResult() if any([isinstance(each, Opaque) for each in block.content]):
            return msgspec.structs.replace(block, content=[_share_block(each, context) for each in block.content])
        case Opaque() if block.words is not None:
            context.drop_extra(block)
            return Text(path=block.path, text=block.words)
        case Opaque() if (words := record_words(block.kind, block.value)) is not None:
            context.adapt(block.path, f"a block of kind {block.kind!r} exists in its own API only", "its words")
            return Text(path=block.path, text=words)
        case _:
            return block

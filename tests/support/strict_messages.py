"""Judge requests of messages as Anthropic does: members, turns, pairs of calls and results, thinking, cache marks.

The words are the vendor's own where a public report shows them. Begin at `judge_messages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.support.strict_members import unknown_members
from tests.support.strict_models import claude_of, claude_refusals

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_THINKING = ("thinking", "redacted_thinking")
Blocks = list[dict[str, Any]]


def judge_messages(body: dict[str, Any], *, api_version: str, beta: bool, issued: dict[str, Blocks]) -> Iterator[str]:
    """Yield the faults of a request, as the vendor words them.

    `issued` holds the blocks of the answers so far, by the ids of their calls and by their signatures.
    """
    for path in unknown_members("messages beta" if beta else "messages", body):
        yield f"{_dotted(path)}: Extra inputs are not permitted"
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            yield f"{name}: Field required"
    yield from claude_refusals(body, api_version)
    yield from _judge_tools(body)
    yield from _judge_limits(body)
    yield from _judge_marks(body)
    turns = list(merged_turns(body.get("messages") or []))
    yield from _judge_roles(body.get("messages") or [])
    yield from _judge_blocks(turns)
    yield from _judge_pairs(turns)
    yield from _judge_thinking(body, turns, issued)


def _dotted(path: str) -> str:
    return re.sub(r"\[(\d+)\]", r".\1", path)


def blocks_of(message: dict[str, Any]) -> Blocks:
    """Return the content of a message as blocks."""
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def merged_turns(messages: list[dict[str, Any]]) -> Iterator[tuple[str, Blocks]]:
    """Yield role and blocks of each turn: consecutive messages of one role are one turn, system messages belong to
    the user's."""
    role, blocks = "", Blocks()
    for message in messages:
        mine = "user" if message.get("role") == "system" else str(message.get("role"))
        if mine != role and role:
            yield role, blocks
            blocks = []
        role = mine
        blocks = blocks + blocks_of(message)
    if role:
        yield role, blocks


def _judge_tools(body: dict[str, Any]) -> Iterator[str]:
    tools = body.get("tools") or []
    names = [tool.get("name") for tool in tools]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    for index, tool in enumerate(tools):
        yield from _judge_tool(index, tool)
    choice = body.get("tool_choice")
    if choice and not tools:
        yield "tool_choice may only be specified while providing tools"
    if choice and choice.get("type") == "tool" and choice.get("name") not in names:
        yield f"Tool '{choice.get('name')}' not found in provided tools"


def _judge_tool(index: int, tool: dict[str, Any]) -> Iterator[str]:
    if not _NAME.fullmatch(str(tool.get("name", "x"))):
        yield f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
    schema = tool.get("input_schema", {"type": "object"})
    if schema.get("type") != "object":
        yield f"tools.{index}.custom.input_schema.type: Input should be 'object'"
    for word in ("oneOf", "allOf", "anyOf"):
        if word in schema:
            yield f"tools.{index}.custom.input_schema: input_schema does not support {word} at the top level"


_LONGEST = (("opus", (4, 0), 32000), ("opus", (4, 1), 32000))


def _judge_limits(body: dict[str, Any]) -> Iterator[str]:
    limit, model = body.get("max_tokens"), claude_of(str(body.get("model")))
    if not isinstance(limit, int):
        return
    longest = 128000
    if model and model.version < (4, 6):
        longest = next((most for family, version, most in _LONGEST if model == (family, version)), 64000)
    if limit > longest:
        yield f"max_tokens: {limit} > {longest}, which is the maximum allowed number of output tokens for this model"
    if any(not str(word).strip() for word in body.get("stop_sequences") or ()):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _judge_marks(body: dict[str, Any]) -> Iterator[str]:
    """Judge the cache marks: four at most, and none where the vendor takes none."""
    system = body.get("system")
    contents = [block for message in body.get("messages") or () for block in blocks_of(message)]
    inner = [each for block in contents if isinstance(block.get("content"), list) for each in block["content"]]
    everything = [*(body.get("tools") or ()), *(system if isinstance(system, list) else ()), *contents, *inner, body]
    marked = [each for each in everything if each.get("cache_control")]
    if len(marked) > 4:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {len(marked)}."
    for block in marked:
        if block.get("type") in _THINKING:
            yield "cache_control cannot be set for thinking blocks"
        if block.get("type") == "text" and not block.get("text"):
            yield "cache_control cannot be set for empty text blocks"
        if block.get("defer_loading"):
            yield "cache_control cannot be set for a tool with defer_loading"


def _judge_roles(messages: list[dict[str, Any]]) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
    elif messages[0].get("role") == "assistant":
        yield 'messages: first message must use the "user" role'
    for index, message in enumerate(messages):
        if message.get("role") != "system":
            continue
        # Claude Code ends its first request on one, so the last place is good behind a user turn.
        if index == 0 or messages[index - 1].get("role") != "user":
            yield f"messages.{index}: a system message must directly follow a user message"
        if index + 1 < len(messages) and messages[index + 1].get("role") != "assistant":
            yield f"messages.{index}: a system message must be followed by an assistant message"


def _judge_blocks(turns: list[tuple[str, Blocks]]) -> Iterator[str]:
    for index, (role, blocks) in enumerate(turns):
        last = index == len(turns) - 1
        if not blocks and not (last and role == "assistant"):
            yield f"messages.{index}: {role} messages must have non-empty content"
        for block in blocks:
            yield from _judge_block(index, role, block)
        if last and role == "assistant" and blocks and str(blocks[-1].get("text", "x")).endswith((" ", "\n")):
            yield "messages: final assistant content cannot end with trailing whitespace"


def _judge_block(index: int, role: str, block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind == "text" and not str(block.get("text") or "").strip():
        yield f"messages.{index}: text content blocks must contain non-whitespace text"
    if kind in ("tool_use", *_THINKING) and role != "assistant":
        yield f"messages.{index}: `{kind}` blocks can only be in `assistant` messages"
    if kind == "tool_result" and role != "user":
        yield f"messages.{index}: `tool_result` blocks can only be in `user` messages"
    if kind == "tool_use":
        yield from _judge_call(index, block)


def _judge_call(index: int, block: dict[str, Any]) -> Iterator[str]:
    if not _ID.fullmatch(str(block.get("id"))):
        yield f"messages.{index}.content.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if not _NAME.fullmatch(str(block.get("name"))):
        yield f"messages.{index}.content.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
    if not isinstance(block.get("input"), dict):
        yield f"messages.{index}.content.tool_use.input: Input should be a valid dictionary"


def _judge_pairs(turns: list[tuple[str, Blocks]]) -> Iterator[str]:
    """Judge that every call is answered once, at the head of the next turn, and nothing else is."""
    seen: set[str] = set()
    open_calls: list[str] = []
    for index, (role, blocks) in enumerate(turns):
        results = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
        head = [block.get("tool_use_id") for block in blocks[: len(results)]]
        missing = [call for call in open_calls if call not in results]
        if missing or (open_calls and head != results):
            yield (
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing or open_calls)}. Each `tool_use` block must have a corresponding `tool_result` "
                "block in the next message."
            )
        for result in results:
            if result not in open_calls:
                yield f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {result}."
            elif results.count(result) > 1:
                yield f"messages.{index}: each tool_use must have a single result. Found multiple for id: {result}"
        open_calls = [block["id"] for block in blocks if block.get("type") == "tool_use" and role == "assistant"]
        if seen & set(open_calls) or len(set(open_calls)) < len(open_calls):
            yield "messages: `tool_use` ids must be unique"
        seen |= set(open_calls)
    if open_calls:
        yield (
            f"messages.{len(turns) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_calls)}."
        )


def _judge_thinking(body: dict[str, Any], turns: list[tuple[str, Blocks]], issued: dict[str, Blocks]) -> Iterator[str]:
    kind = (body.get("thinking") or {}).get("type")
    model = claude_of(str(body.get("model")))
    if kind in ("enabled", "adaptive", "between_tools"):
        yield from _judge_beside_thinking(body, body["thinking"])
    known = {_key(block) for blocks in issued.values() for block in blocks if block.get("type") in _THINKING}
    for index, (_, blocks) in enumerate(turns):
        for place, block in enumerate(blocks):
            if block.get("type") in _THINKING and _key(block) not in known:
                yield f"messages.{index}.content.{place}: Invalid `signature` in `thinking` block"
    asked = kind in ("enabled", "adaptive", "between_tools")
    if asked or (model and model.always_thinks):
        yield from _judge_tool_turn(turns, issued, asked=asked)


def _judge_beside_thinking(body: dict[str, Any], thinking: dict[str, Any]) -> Iterator[str]:
    if thinking["type"] == "enabled" and thinking.get("budget_tokens", 0) < 1024:
        yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    if thinking.get("budget_tokens", 0) >= (body.get("max_tokens") or 0):
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if body.get("temperature", 1) != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled."
    if "top_k" in body:
        yield "`top_k` must be unset when thinking is enabled."


def _judge_tool_turn(turns: list[tuple[str, Blocks]], issued: dict[str, Blocks], *, asked: bool) -> Iterator[str]:
    """Judge the latest turn of the assistant: where it called tools, it begins with its thinking, as it came. A model
    that thinks unasked goes on without (platform.claude.com/docs/en/build-with-claude/adaptive-thinking)."""
    index = next((at for at in reversed(range(len(turns))) if turns[at][0] == "assistant"), None)
    if index is None:
        return
    blocks = turns[index][1]
    calls = [block["id"] for block in blocks if block.get("type") == "tool_use"]
    answer = next((issued[call] for call in calls if call in issued), None)
    expected = [_key(block) for block in answer or () if block.get("type") in _THINKING]
    if not calls or not expected:
        return
    if not asked and not any(block.get("type") in _THINKING for block in blocks):
        return
    if blocks[0].get("type") not in _THINKING:
        yield (
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0].get('type')}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block."
        )
    elif [_key(block) for block in blocks if block.get("type") in _THINKING] != expected:
        yield (
            f"messages.{index}.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message "
            "cannot be modified. These blocks must remain as they were in the original response."
        )
    elif _order(blocks) != _order(answer or []):
        yield f"messages.{index}: the blocks of the latest assistant message are not in the order of the response"


def _key(block: dict[str, Any]) -> tuple[Any, ...]:
    return block.get("type"), block.get("thinking"), block.get("signature"), block.get("data")


def _order(blocks: Blocks) -> list[str]:
    return [block["type"] for block in blocks if block.get("type") in ("tool_use", *_THINKING)]

"""Whole answers of generateContent, decoded into the neutral vocabulary.

Source: `google.genai.types.GenerateContentResponse` and `Candidate`. Begin reading at `decode_response`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.extra import Inner
from llmproxy.dialects.gemini.call_ids import CallIds, is_made_up, new_id
from llmproxy.dialects.gemini.citations import CITED, GROUNDING, decode_citations
from llmproxy.dialects.gemini.content import OWN_SIGNATURE, read_part
from llmproxy.dialects.gemini.logprobs import decode_logprobs
from llmproxy.dialects.gemini.partial_calls import PartialCalls
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.tables import FINISHES, NAME, SIGNATURE
from llmproxy.dialects.gemini.usage import decode_usage
from llmproxy.dialects.lenient_json import object_of, objects, string
from llmproxy.dialects.model import Block, Refusal, Reply, StopReason, Text, ToolCall
from llmproxy.dialects.response_fields import decode_object, not_a
from llmproxy.errors import BadRequest

ANSWER = "GenerateContentResponse"
CANDIDATE = "candidate"
"""The member of `Reply.extra` with what only this dialect says of the candidate."""
_DECODED = frozenset({"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId"})
_OF_CANDIDATE = frozenset({"content", "finishReason", "index", "logprobsResult"})
_BOOKKEEPING = frozenset({"safetyRatings", "avgLogprobs", "tokenCount", "createTime", "modelStatus", CITED})


def decode_response(body: bytes) -> Reply:
    """Return a provider's whole answer; of several candidates, the first. Raises BadReply for what is none."""
    value = decode_object(body, ANSWER, "candidates")
    if not isinstance(value.get("candidates"), list) and not isinstance(value.get("promptFeedback"), dict):
        raise not_a(ANSWER, "it has no candidates")
    candidate = next(iter(objects(value.get("candidates"))), {})
    blocks = answer_parts(candidate, PartialCalls())
    word = string(candidate.get("finishReason"))
    stop = decode_stop(word, called=any(isinstance(block, ToolCall) for block in blocks))
    blocked = blocked_prompt(value)
    if blocked is not None:
        word, stop = blocked[0], "refusal"
        blocks += blocked[1]
    _annotate(candidate, blocks)
    extra = {
        f"~{name}" if name in _BOOKKEEPING else name: each
        for name, each in value.items()
        if name not in _DECODED and each is not None
    }
    rest = rest_of_candidate(candidate, blocks)
    if rest:
        extra[CANDIDATE] = Inner(rest)
    return Reply(
        path="reply",
        dialect=NAME,
        extra=extra,
        id=string(value.get("responseId")) or "",
        model=string(value.get("modelVersion")) or "",
        content=blocks,
        stop=stop,
        stop_word=word,
        usage=decode_usage(value),
    )


def answer_parts(candidate: Mapping[str, Any], calls: PartialCalls, *, last: bool = True) -> list[Block]:
    """Return the blocks of a candidate, in a whole answer or a chunk, with `calls` that came in pieces. Raises
    BadReply."""
    parts = object_of(candidate.get("content")).get("parts")
    ids = CallIds()
    try:
        joined = calls.join(parts if isinstance(parts, list) else ())
        blocks = [
            read_part(ProtoMembers(part, f"reply.content[{index}]"), ids)
            for index, part in enumerate([*joined, *calls.rest()] if last else joined)
        ]
    except BadRequest as error:
        raise not_a(ANSWER, error.message) from error
    for block in blocks:
        if isinstance(block, ToolCall):
            block.id = new_id() if is_made_up(block.id) else block.id
            signature = block.extra.pop(OWN_SIGNATURE, None)
            block.signature = None if signature is None else {SIGNATURE: signature}
    return blocks


def blocked_prompt(value: Mapping[str, Any]) -> tuple[str, list[Block]] | None:
    """Return why the prompt was blocked, and the words that say so; None where it was not."""
    feedback = object_of(value.get("promptFeedback"))
    reason = string(feedback.get("blockReason"))
    if reason is None:
        return None
    words = string(feedback.get("blockReasonMessage"))
    return reason, [] if words is None else [Refusal(path="reply.refusal", text=words)]


def decode_stop(reason: str | None, *, called: bool) -> StopReason:
    """Return why the model stopped. Turns with calls end like others."""
    stop = FINISHES.get(reason or "", "end")
    return "tool_calls" if stop == "end" and called else stop


def _annotate(candidate: Mapping[str, Any], blocks: list[Block]) -> None:
    """Give the first text what the candidate says of all its text."""
    texts = [block for block in blocks if isinstance(block, Text)]
    if texts:
        texts[0].logprobs = decode_logprobs(candidate.get("logprobsResult"))
        texts[0].annotations = decode_citations(dict(candidate), "".join(text.text for text in texts))


def rest_of_candidate(candidate: Mapping[str, Any], blocks: list[Block]) -> dict[str, Any]:
    """Return what no other dialect has of a candidate; that which is cited is no loss."""
    cited = any(isinstance(block, Text) and block.annotations for block in blocks)
    bookkeeping = _BOOKKEEPING | ({GROUNDING} if cited else set())
    return {
        f"~{name}" if name in bookkeeping else name: each
        for name, each in candidate.items()
        if name not in _OF_CANDIDATE and each is not None
    }

"""The request of the small chat endpoint: a chat request whose conversation is checked before any provider sees it.

It needs messages, of the roles system, user and assistant, each with content, and the last one is not the model's own.
All other members are those of a chat request.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Request

ROLES = ("system", "user", "assistant")


def decode_proxy_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    messages = Members(body).items("messages")
    if messages is None:
        wrong("messages", "is missing")
    if not messages:
        wrong("messages", "must not be empty")
    for index, message in enumerate(messages):
        role = _check(Members(message, f"messages[{index}]"))
    if role == "assistant":
        wrong(f"messages[{index}].role", "must not be 'assistant' in the last message")
    return decode_request(body)


def _check(message: Members) -> str:
    """Return the role of a message that has one, and content. Raises BadRequest."""
    role = message.word("role", ROLES) or message.missing("role")
    content = message.any("content")
    if content is None:
        message.missing("content")
    if _is_empty(content):
        wrong(message.at("content"), "must not be empty")
    return role


def _is_empty(content: object) -> bool:
    """Return whether content, a text or a list of parts, says nothing."""
    if isinstance(content, list):
        return all(isinstance(part, dict) and part.get("text") == "" for part in content)
    return content == ""

"""Find the name that a request itself gives to its conversation, where it gives one.

Names count before the content of messages. `prompt_cache_key` is not one: clients use the same for many conversations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmproxy.access.identity import digest
from llmproxy.answer import Headers
from llmproxy.wire.json import read_value

NAMING_MEMBERS = ("conversation", "previous_response_id", "metadata")
"""The members of a body that may name a conversation."""

_MAX_LENGTH = 200
_PRINTABLE = re.compile(r"[!-~]+(?: [!-~]+)*")
# Coding agents put their session into `metadata.user_id`, in one of two forms: a name that ends so, or JSON.
_SUFFIX = re.compile(r"(?:^|.*_)session_([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


class SessionName(msgspec.Struct, frozen=True):
    """The name of a conversation in a request: the `key` for finding its session, and the `id` that a new
    session gets. `id` is None where the name is that of an earlier answer, which only finds a session.
    """

    key: str
    id: str | None


def session_name_of(headers: Headers, names: Sequence[str], body: Mapping[str, Any], tenant: str) -> SessionName | None:
    """Return the request's name of its conversation: a header, the state it continues, the session in its metadata.

    `names` are the headers that may name it, `tenant` is the identity of the client.
    """
    for header in names:
        value = headers.get(header, "").strip()
        if value:
            return _session_name(value, tenant)
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str) and conversation:
        return _session_name(conversation, tenant)
    previous = body.get("previous_response_id")
    if isinstance(previous, str) and previous:
        return SessionName(answer_key(previous, tenant), None)
    metadata = body.get("metadata")
    session = _session_in(metadata.get("user_id")) if isinstance(metadata, dict) else None
    return _session_name(session, tenant) if session else None


def answer_key(identifier: str, tenant: str) -> str:
    """Return the key by which a session is found from the id of one of its answers."""
    return f"a:{_digest(tenant, identifier)}"


def _session_name(name: str, tenant: str) -> SessionName:
    """Return the name of a client's own. One that is not allowed in a header gets its digest as id."""
    fits = len(name) <= _MAX_LENGTH and _PRINTABLE.fullmatch(name)
    return SessionName(f"n:{_digest(tenant, name)}", name if fits else _digest("name", name))


def _digest(owner: str, name: str) -> str:
    """Return the digest of a name. That of a long one is not cached: a body may name megabytes."""
    return digest(owner, name) if len(name) <= _MAX_LENGTH else digest.__wrapped__(owner, name)


def _session_in(user: object) -> str | None:
    """Return the session that a coding agent writes into `metadata.user_id`, None without one."""
    if not isinstance(user, str):
        return None
    if match := _SUFFIX.fullmatch(user):
        return match[1]
    value = read_value(user.encode("utf-8", "surrogatepass")) if user[:1] == "{" else None
    session = value.get("session_id") if isinstance(value, dict) else None
    return session if isinstance(session, str) and session else None

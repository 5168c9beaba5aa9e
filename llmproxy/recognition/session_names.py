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

_LONGEST = 200
_PRINTABLE = re.compile(r"[!-~]+(?: [!-~]+)*")
# Coding agents put their session into `metadata.user_id`, in one of two forms: a name that ends so, or JSON.
_SUFFIX = re.compile(r"(?:^|.*_)session_([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


class Name(msgspec.Struct, frozen=True):
    """What a request calls its conversation. `wanted` is the id that the session gets, None where the name is that of
    an earlier answer, which the session is only found by."""

    key: str
    wanted: str | None


def name_of(headers: Headers, names: Sequence[str], body: Mapping[str, Any], tenant: str) -> Name | None:
    """What the request calls its conversation: a header, the state it continues, the session in its metadata."""
    for header in names:
        said = headers.get(header, "").strip()
        if said:
            return _named(said, tenant)
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str) and conversation:
        return _named(conversation, tenant)
    previous = body.get("previous_response_id")
    if isinstance(previous, str) and previous:
        return Name(answer_key(previous, tenant), None)
    metadata = body.get("metadata")
    session = _in_metadata(metadata.get("user_id")) if isinstance(metadata, dict) else None
    return _named(session, tenant) if session else None


def answer_key(identifier: str, tenant: str) -> str:
    """The key by which a session is found from the id of an answer that was given in it."""
    return f"a:{digest(tenant, identifier)}"


def _named(said: str, tenant: str) -> Name:
    """A name of the client's own. What cannot stand in a header is known by its digest."""
    wanted = said if len(said) <= _LONGEST and _PRINTABLE.fullmatch(said) else digest("name", said)
    return Name(f"n:{digest(tenant, said)}", wanted)


def _in_metadata(user: object) -> str | None:
    if not isinstance(user, str):
        return None
    if found := _SUFFIX.fullmatch(user):
        return found[1]
    value = read_value(user.encode("utf-8", "surrogatepass")) if user[:1] == "{" else None
    said = value.get("session_id") if isinstance(value, dict) else None
    return said if isinstance(said, str) and said else None

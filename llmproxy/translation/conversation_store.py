"""What is stored for the Responses API: responses, their items, and conversations, by identity and id.

It is JSON in a `ResponseStore`; what others wrote there in another form counts as absent. Begin reading at
`ConversationStore`.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from llmproxy.dialects.members import wrong
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.responses import ResponseStore
from llmproxy.wire.json import read_value, write_value

RESPONSE_TTL_S = 30 * 86400.0  # as long as OpenAI stores responses
CONVERSATION_TTL_S = 365 * 86400.0  # since the last change; OpenAI's never end
_TRIES = 20

ItemJson = dict[str, Any]


class ConversationStore:
    """JSON objects by identity and id, in `store`. Every method raises StoreFault."""

    def __init__(self, store: ResponseStore) -> None:
        self._values = store

    async def get(self, identity: str, name: str) -> ItemJson | None:
        """Return what is stored under that id."""
        return _read(await self._values.get(_key(identity, name)))

    async def set(self, identity: str, name: str, state: ItemJson, ttl_s: float) -> None:
        """Store `state` in place of what was there."""
        await self._values.set(_key(identity, name), write_value(state), ttl_s)

    async def delete(self, identity: str, name: str) -> None:
        """Remove what is stored under that id."""
        await self._values.delete(_key(identity, name))

    async def change(self, identity: str, name: str, change: Callable[[ItemJson], None]) -> ItemJson | None:
        """Apply `change` to a stored conversation, again when others changed it meanwhile. Return what it is then, None
        when there is none."""
        key = _key(identity, name)
        for _ in range(_TRIES):
            raw = await self._values.get(key)
            state = _read(raw)
            if raw is None or state is None or "conversation" not in state:
                return None
            change(state)
            if await self._values.replace(key, raw, write_value(state), CONVERSATION_TTL_S):
                return state
        raise StoreFault("others change the conversation all the time")


def read_items(value: object, member: str = "input") -> list[ItemJson]:
    """Return `input` as items: a string is one message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        wrong(member, "must be a string or an array of items" if member == "input" else "must be an array of items")
    return value


def with_id(item: ItemJson) -> ItemJson:
    """Return an item as lists show it: with an id, and its content in parts."""
    complete = item if item.get("id") else {"id": f"msg_{secrets.token_hex(24)}", "type": "message", **item}
    content = complete.get("content")
    if isinstance(content, str):
        kind = "output_text" if complete.get("role") == "assistant" else "input_text"
        part: ItemJson = {"type": kind, "text": content} | ({"annotations": []} if kind == "output_text" else {})
        complete = complete | {"type": "message", "status": "completed", "content": [part]}
    return complete


def item_name(name: str) -> str:
    """Return the name under which an item of an answer is stored; no response or conversation has such a name."""
    return f"item\n{name}"


@contextlib.contextmanager
def require_store() -> Iterator[None]:
    """Turn a fault of the store within the block into `store_unavailable`."""
    try:
        yield
    except StoreFault as fault:
        raise store_unavailable() from fault


def store_unavailable() -> ProxyError:
    """Return the error for a client who cannot be answered without the store."""
    message = (
        "The store of responses and conversations does not answer. Try again soon, or send the whole conversation as "
        "`input`"
    )
    return ProxyError(message, status=503, code="store_unavailable", headers=(("Retry-After", "1"),))


def refuse_unknown_id(what: str, name: str, param: str | None = None) -> NoReturn:
    """Raise the error for an id that nothing is stored under. `what` names the kind of thing, `param` the field."""
    code = "previous_response_not_found" if param == "previous_response_id" else "not_found"
    raise BadRequest(f"{what} with id {name[:200]!r} not found.", status=404, code=code, param=param)


def _key(identity: str, name: str) -> str:
    """Return the key in the store: ids are the client's words, of any form and length."""
    return "state:" + hashlib.sha256(f"{identity}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:48]


def _read(raw: bytes | None) -> dict[str, Any] | None:
    """Return what is stored; None for what is not of the form that we write, since others may write there too."""
    value = None if raw is None else read_value(raw)
    return value if isinstance(value, dict) and _is_ours(value) else None


def _is_ours(state: dict[str, Any]) -> bool:
    if "item" in state:
        return isinstance(state["item"], dict)
    if not _are_objects(state.get("items")) or not all("id" in item for item in state["items"]):
        return False
    if "conversation" in state:
        return isinstance(state["conversation"], dict)
    response = state.get("response")
    return isinstance(response, dict) and _are_objects(response.get("output", []))


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)

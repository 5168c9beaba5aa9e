"""Calls about the responses and conversations that are stored here: read, list, change, delete.

Begin reading at `ConversationCalls.answer`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.stores.facet import StoreFault
from llmproxy.translation.conversation_store import (
    CONVERSATION_TTL_S,
    ConversationStore,
    ItemJson,
    item_name,
    read_items,
    refuse_unknown_id,
    require_store,
    store_unavailable,
    with_id,
)
from llmproxy.wire.json import read_value, write_value

_MOST_BODY_BYTES = 64 * 1024 * 1024
_MOST_ITEMS, _USUAL_ITEMS = 100, 20


class ConversationCalls:
    """Answers calls about what is stored here."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store

    async def answer(self, exchange: Exchange, *, alone: bool) -> Answer | None:
        """Answer a call about something that is stored here; None for what belongs to a provider.

        `alone` says that no provider has such state, so that what is unknown here is unknown at all.
        """
        endpoint = exchange.endpoint
        first, _, rest = exchange.path.removeprefix("/v1").lstrip("/").partition("/")
        if endpoint is None or endpoint.model or first not in ("responses", "conversations"):
            return None
        if not rest:
            return await self._create(exchange) if first == "conversations" and alone else None
        name, _, page = rest.partition("/")
        identity = identity_of(exchange)
        try:
            state = await self._store.get(identity, name)
        except StoreFault as fault:
            if alone:
                raise store_unavailable() from fault
            return None
        if state is None or first.removesuffix("s") not in state:
            if alone:
                refuse_unknown_id("Response" if first == "responses" else "Conversation", name)
            return None
        with require_store():
            return await self._page(exchange, state, identity, name, page)

    async def _page(self, exchange: Exchange, state: dict[str, Any], identity: str, name: str, page: str) -> Answer:
        response = state.get("response")
        kind = "conversation" if response is None else "response"
        match exchange.method, page:
            case "GET" | "HEAD", "":
                return _json(state["conversation"] if response is None else response)
            case "DELETE", "":
                await self._store.delete(identity, name)
                for item in (response or {}).get("output", []):
                    await self._store.delete(identity, item_name(str(item.get("id"))))
                return _json({"id": name, "object": kind if response else "conversation.deleted", "deleted": True})
            case "GET" | "HEAD", "input_items" | "items" if (page == "items") is (response is None):
                return _json(_page_of(state["items"], exchange.query))
            case "POST", "cancel" if response is not None:
                message = "Only responses made with `background` can be cancelled, and this model's provider has none"
                raise BadRequest(message, code="invalid_request")
        if response is None:
            return await self._change(exchange, state, identity, name, page)
        raise _no_such_call(exchange)

    async def _change(self, exchange: Exchange, state: dict[str, Any], identity: str, name: str, page: str) -> Answer:
        """Answer calls that change a conversation, or are about one of its items."""
        item = page.removeprefix("items/")
        match exchange.method, page:
            case "POST", "items":
                added = [with_id(each) for each in read_items((await _object(exchange)).get("items"), "items")]
                await self._changed(identity, name, lambda state: state["items"].extend(added))
                return _json(_list(added, more=False))
            case "POST", "":
                metadata = (await _object(exchange)).get("metadata") or {}
                changed = await self._changed(identity, name, lambda state: _set_metadata(state, metadata))
                return _json(changed["conversation"])
            case "GET" | "HEAD", _ if item != page:
                return _json(_found(state["items"], item))
            case "DELETE", _ if item != page:
                changed = await self._changed(
                    identity, name, lambda state: state["items"].remove(_found(state["items"], item))
                )
                return _json(changed["conversation"])
        raise _no_such_call(exchange)

    async def _changed(self, identity: str, name: str, change: Callable[[ItemJson], None]) -> ItemJson:
        state = await self._store.change(identity, name, change)
        if state is None:
            refuse_unknown_id("Conversation", name)
        return state

    async def _create(self, exchange: Exchange) -> Answer | None:
        if exchange.method != "POST":
            return None
        body = await _object(exchange)
        name = f"conv_{secrets.token_hex(24)}"
        conversation = {
            "id": name,
            "object": "conversation",
            "created_at": int(time.time()),
            "metadata": body.get("metadata") or {},
        }
        items = [with_id(item) for item in read_items(body.get("items"), "items")]
        with require_store():
            state = {"conversation": conversation, "items": items}
            await self._store.set(identity_of(exchange), name, state, CONVERSATION_TTL_S)
        return _json(conversation)


def _set_metadata(state: ItemJson, metadata: object) -> None:
    state["conversation"]["metadata"] = metadata


def _found(items: list[ItemJson], name: str) -> ItemJson:
    for item in items:
        if item.get("id") == name:
            return item
    refuse_unknown_id("Item", name)


def _page_of(items: list[ItemJson], query: str | None) -> dict[str, Any]:
    """Return a page of `items`: newest first unless `order=asc`, `limit` of them after the one called `after`."""
    parameters = dict(parse_qsl(query or ""))
    limit = parameters.get("limit", str(_USUAL_ITEMS))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_ITEMS:
        raise BadRequest(f"limit must be a number from 1 to {_MOST_ITEMS}", param="limit")
    if parameters.get("order", "desc") not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc", param="order")
    ordered = items if parameters.get("order") == "asc" else items[::-1]
    after = parameters.get("after")
    if after is not None:
        places = [number for number, item in enumerate(ordered, 1) if item.get("id") == after]
        if not places:
            raise BadRequest(
                f"Unknown item {after[:100]!r} in `after`. Use the id of an item on an earlier page", param="after"
            )
        ordered = ordered[places[0] :]
    return _list(ordered[: int(limit)], more=len(ordered) > int(limit))


def _list(items: list[ItemJson], *, more: bool) -> dict[str, Any]:
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": more}


async def _object(exchange: Exchange) -> dict[str, Any]:
    """Return the JSON object in the body; an empty body is an empty object."""
    body = exchange.body
    if isinstance(body, StreamedBody):
        raw = b""
        while len(raw) < _MOST_BODY_BYTES and (data := await body.stream.read()):
            raw += data
        body = Body(raw, exchange.headers.get("Content-Encoding", ""))
    if body is None or not body.raw:
        return {}
    value = read_value(body.decoded)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object", code="invalid_json")
    return value


def _json(value: object) -> Answer:
    return Answer(status=200, headers=Headers({"Content-Type": "application/json"}), body=write_value(value))


def _no_such_call(exchange: Exchange) -> BadRequest:
    return BadRequest(f"Not found: {exchange.method} {exchange.path}", status=404, code="not_found")

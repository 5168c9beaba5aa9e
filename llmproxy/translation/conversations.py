"""The state of the Responses API for providers that have none: requests and answers, under the answer's id.

A request that names an earlier response or a conversation gets its items put in front; finished responses are stored
when `store` is not false; calls about them are answered here. Ids are our own, since some providers repeat theirs. What
is stored is JSON in a `ResponseStore`, by identity. Begin reading at `Conversations`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.dialects.members import wrong
from llmproxy.dialects.responses.input_paths import InputPaths
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.responses import ResponseStore
from llmproxy.wire.json import read_value, write_value

RESPONSE_TTL_S = 30 * 86400.0  # as long as OpenAI stores responses
CONVERSATION_TTL_S = 365 * 86400.0  # since the last change; OpenAI's never end
_TRIES = 20
_MOST_BODY_BYTES = 64 * 1024 * 1024
_MOST_ITEMS, _USUAL_ITEMS = 100, 20
_REFERENCE = "item_reference"

ItemJson = dict[str, Any]


class Turn(msgspec.Struct, kw_only=True):
    """One request whose answer may be stored: all its input, what it continues, and the id of its answer.

    `new` are the items that the client sent now, `items` the whole conversation. `places` says where the client's own
    items stand in the input that the model gets.
    """

    identity: str
    response_id: str
    items: list[ItemJson]
    new: list[ItemJson]
    store: bool = True
    previous: str | None = None
    conversation: str | None = None
    places: InputPaths


class _States:
    """JSON objects by identity and id, in `store`. Every method raises StoreFault."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def get(self, identity: str, name: str) -> ItemJson | None:
        """Return what is stored under that id."""
        return _read(await self._store.get(_key(identity, name)))

    async def set(self, identity: str, name: str, state: ItemJson, ttl_s: float) -> None:
        """Store `state` in place of what was there."""
        await self._store.set(_key(identity, name), write_value(state), ttl_s)

    async def delete(self, identity: str, name: str) -> None:
        """Remove what is stored under that id."""
        await self._store.delete(_key(identity, name))

    async def change(self, identity: str, name: str, change: Callable[[ItemJson], None]) -> ItemJson | None:
        """Apply `change` to a stored conversation, again when others changed it meanwhile. Return what it is then, None
        when there is none."""
        key = _key(identity, name)
        for _ in range(_TRIES):
            raw = await self._store.get(key)
            state = _read(raw)
            if raw is None or state is None or "conversation" not in state:
                return None
            change(state)
            if await self._store.replace(key, raw, write_value(state), CONVERSATION_TTL_S):
                return state
        raise StoreFault("others change the conversation all the time")


def _key(identity: str, name: str) -> str:
    """Return the key in the store: ids are the client's words, of any form and length."""
    return "state:" + hashlib.sha256(f"{identity}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:48]


class Conversations:
    """Expands requests, stores responses, answers calls about them."""

    def __init__(self, store: ResponseStore) -> None:
        self._states = _States(store)

    async def begin(self, exchange: Exchange, body: dict[str, Any]) -> tuple[dict[str, Any], Turn]:
        """Return `body` with the whole conversation as its `input`, and the turn for `finish`.

        Raises BadRequest: 404 for an unknown id, 400 for what needs a provider's own state; and ProxyError (503) when
        the store does not answer.
        """
        if body.get("background") is True:
            message = (
                "background responses need a provider that runs them; this model's provider has no Responses API of "
                "its own. Leave `background` out"
            )
            raise BadRequest(message, code="unsupported_parameter", param="background")
        identity = identity_of(exchange)
        previous, conversation = _name(body, "previous_response_id"), _conversation(body)
        if previous is not None and conversation is not None:
            wrong("previous_response_id", "cannot be sent together with `conversation`")
        sent = _items(body.get("input"))
        with _store_needed():
            earlier = await self._earlier(identity, previous, conversation)
            new = await self._resolved(identity, sent)
        before = [item for item in earlier if not _only_shown(item)]
        turn = Turn(
            identity=identity,
            response_id=f"resp_{secrets.token_hex(24)}",
            items=[*earlier, *new],
            new=new,
            store=body.get("store") is not False,
            previous=previous,
            conversation=conversation,
            places=InputPaths(
                earlier=len(before),
                source="conversation" if previous is None else "previous_response_id",
                whole=isinstance(body.get("input"), str),
            ),
        )
        return (body | {"input": [*before, *new]} if before or new != sent else body), turn

    async def _earlier(self, identity: str, previous: str | None, conversation: str | None) -> list[ItemJson]:
        """Return the items of the response or conversation that a request continues."""
        if previous is not None:
            state = await self._states.get(identity, previous)
            if state is None or "response" not in state:
                _unknown("Previous response", previous, "previous_response_id")
            return [*state["items"], *state["response"].get("output", [])]
        if conversation is None:
            return []
        state = await self._states.get(identity, conversation)
        if state is None or "conversation" not in state:
            _unknown("Conversation", conversation, "conversation")
        items: list[ItemJson] = state["items"]
        return items

    async def finish(self, turn: Turn, response: ItemJson) -> None:
        """Store the whole answer to a turn. Where the store does not take it, it cannot be continued later."""
        with contextlib.suppress(StoreFault):
            if turn.store and isinstance(response.get("id"), str):
                await self._store(turn, response)
            if turn.conversation is not None:
                added = [_with_id(item) for item in (*turn.new, *response.get("output", []))]
                await self._states.change(turn.identity, turn.conversation, lambda state: state["items"].extend(added))

    async def _store(self, turn: Turn, response: ItemJson) -> None:
        state = {"response": response, "items": [_with_id(item) for item in turn.items]}
        states = {response["id"]: state}
        for item in response.get("output", []):
            if isinstance(item.get("id"), str):
                states[_item_name(item["id"])] = {"item": item}
        await asyncio.gather(
            *(self._states.set(turn.identity, name, state, RESPONSE_TTL_S) for name, state in states.items())
        )

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
            state = await self._states.get(identity, name)
        except StoreFault as fault:
            if alone:
                raise _unavailable() from fault
            return None
        if state is None or first.removesuffix("s") not in state:
            if alone:
                _unknown("Response" if first == "responses" else "Conversation", name)
            return None
        with _store_needed():
            return await self._page(exchange, state, identity, name, page)

    async def _page(self, exchange: Exchange, state: dict[str, Any], identity: str, name: str, page: str) -> Answer:
        response = state.get("response")
        kind = "conversation" if response is None else "response"
        match exchange.method, page:
            case "GET" | "HEAD", "":
                return _json(state["conversation"] if response is None else response)
            case "DELETE", "":
                await self._states.delete(identity, name)
                for item in (response or {}).get("output", []):
                    await self._states.delete(identity, _item_name(str(item.get("id"))))
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
                added = [_with_id(each) for each in _items((await _object(exchange)).get("items"), "items")]
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
        state = await self._states.change(identity, name, change)
        if state is None:
            _unknown("Conversation", name)
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
        items = [_with_id(item) for item in _items(body.get("items"), "items")]
        with _store_needed():
            state = {"conversation": conversation, "items": items}
            await self._states.set(identity_of(exchange), name, state, CONVERSATION_TTL_S)
        return _json(conversation)

    async def _resolved(self, identity: str, items: list[ItemJson]) -> list[ItemJson]:
        """Return `items` with stored items in place of references to them. Raises BadRequest (404) for unknown ones."""
        resolved = []
        for number, item in enumerate(items):
            name = item.get("id")
            if isinstance(name, str) and (item.get("type") or ("" if "role" in item else _REFERENCE)) == _REFERENCE:
                state = await self._states.get(identity, _item_name(name))
                if state is None or "item" not in state:
                    _unknown("Item", name, f"input[{number}].id")
                item = state["item"]
            resolved.append(item)
        return resolved


@contextlib.contextmanager
def _store_needed() -> Iterator[None]:
    """Turn a fault of the store into an error for the client, who cannot be answered without it."""
    try:
        yield
    except StoreFault as fault:
        raise _unavailable() from fault


def _unavailable() -> ProxyError:
    message = (
        "The store of responses and conversations does not answer. Try again soon, or send the whole conversation as "
        "`input`"
    )
    return ProxyError(message, status=503, code="store_unavailable", headers=(("Retry-After", "1"),))


def _set_metadata(state: ItemJson, metadata: object) -> None:
    state["conversation"]["metadata"] = metadata


def _found(items: list[ItemJson], name: str) -> ItemJson:
    for item in items:
        if item.get("id") == name:
            return item
    _unknown("Item", name)


def _name(body: dict[str, Any], member: str) -> str | None:
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        wrong(member, "must be a string")
    return value


def _conversation(body: dict[str, Any]) -> str | None:
    value = body.get("conversation")
    if isinstance(value, dict):
        return _name(value, "id")
    return _name(body, "conversation")


def _items(value: object, member: str = "input") -> list[ItemJson]:
    """Return `input` as items: a string is one message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        wrong(member, "must be a string or an array of items" if member == "input" else "must be an array of items")
    return value


def _item_name(name: str) -> str:
    """Return the name under which an item of an answer is stored; no response or conversation has such a name."""
    return f"item\n{name}"


def _only_shown(item: ItemJson) -> bool:
    """Return whether an item only shows thinking to the client: no provider takes it back."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def _with_id(item: ItemJson) -> ItemJson:
    """Return an item as lists show it: with an id, and its content in parts."""
    complete = item if item.get("id") else {"id": f"msg_{secrets.token_hex(24)}", "type": "message", **item}
    content = complete.get("content")
    if isinstance(content, str):
        kind = "output_text" if complete.get("role") == "assistant" else "input_text"
        part: ItemJson = {"type": kind, "text": content} | ({"annotations": []} if kind == "output_text" else {})
        complete = complete | {"type": "message", "status": "completed", "content": [part]}
    return complete


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


def _json(value: object) -> Answer:
    return Answer(status=200, headers=Headers({"Content-Type": "application/json"}), body=write_value(value))


def _no_such_call(exchange: Exchange) -> BadRequest:
    return BadRequest(f"Not found: {exchange.method} {exchange.path}", status=404, code="not_found")


def _unknown(what: str, name: str, param: str | None = None) -> NoReturn:
    code = "previous_response_not_found" if param == "previous_response_id" else "not_found"
    raise BadRequest(f"{what} with id {name[:200]!r} not found.", status=404, code=code, param=param)

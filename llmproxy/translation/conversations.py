"""The state of the Responses API for providers that have none: what was asked and answered, under the answer's id.

A request that names an earlier response or a conversation gets its items put in front; finished responses are kept
when `store` is not false; their pages are answered here. What is kept is JSON in a `Kept`, by tenant, bounded in bytes.
Begin reading at `Conversations`.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qsl

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.dialects.members import wrong
from llmproxy.dialects.responses.input_paths import Places
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.wire.json import read_value, write_value
from llmproxy.wire.sse import Splitter

MAX_BYTES = 64 * 1024 * 1024
_ENTRY_BYTES = 300
_MOST_ITEMS, _USUAL_ITEMS = 100, 20
_REFERENCE = "item_reference"
_LAST_EVENTS = ("response.completed", "response.incomplete")

Item = dict[str, Any]


class Kept(Protocol):
    """Where states are kept. `key` is made of a tenant and an id; values are JSON."""

    async def get(self, key: tuple[str, str]) -> bytes | None:
        """What was put there last; None when it is gone."""

    async def put(self, key: tuple[str, str], value: bytes) -> None:
        """Keep `value`, in place of what was there."""

    async def delete(self, key: tuple[str, str]) -> bool:
        """Forget it; whether it was there."""


class InMemory:
    """A Kept in this process: the longest unused goes when more than `max_bytes` are kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._values: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def get(self, key: tuple[str, str]) -> bytes | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def put(self, key: tuple[str, str], value: bytes) -> None:
        await self.delete(key)
        if len(value) + _ENTRY_BYTES > self._max_bytes:
            return
        self._values[key] = value
        self.size_bytes += len(value) + _ENTRY_BYTES
        while self.size_bytes > self._max_bytes:
            await self.delete(next(iter(self._values)))

    async def delete(self, key: tuple[str, str]) -> bool:
        value = self._values.pop(key, None)
        if value is None:
            return False
        self.size_bytes -= len(value) + _ENTRY_BYTES
        return True


class Turn(msgspec.Struct, kw_only=True):
    """One request whose answer may be kept: all its input, what it continues, and where it goes.

    `given` is what the client sent now, `items` all that was said. `places` says where the client's own items stand in
    the input that the model gets.
    """

    tenant: str
    items: list[Item]
    given: list[Item]
    store: bool = True
    previous: str | None = None
    conversation: str | None = None
    places: Places


class Conversations:
    """Expands requests, keeps responses, answers their pages."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept or InMemory()

    async def begin(self, exchange: Exchange, body: dict[str, Any]) -> tuple[dict[str, Any], Turn]:
        """`body` with the whole conversation as its `input`, and the turn for `finish`.

        Raises BadRequest: 404 for what is not known here, 400 for what cannot be had without a provider's own state.
        """
        if body.get("background") is True:
            told = (
                "background responses need a provider that runs them; this model's provider has no Responses API of "
                "its own. Leave `background` out"
            )
            raise BadRequest(told, code="unsupported_parameter", param="background")
        tenant = identity_of(exchange)
        previous, conversation = _name(body, "previous_response_id"), _conversation(body)
        if previous is not None and conversation is not None:
            wrong("previous_response_id", "cannot be sent together with `conversation`")
        earlier: list[Item] = []
        if previous is not None:
            state = await self._state(tenant, previous, "Previous response", "previous_response_id")
            earlier = [*state["items"], *state["response"].get("output", [])]
        elif conversation is not None:
            earlier = (await self._state(tenant, conversation, "Conversation", "conversation"))["items"]
        sent = _items(body.get("input"))
        given = await self._referred(tenant, sent)
        before = [item for item in earlier if not _shown(item)]
        turn = Turn(
            tenant=tenant,
            items=[*earlier, *given],
            given=given,
            store=body.get("store") is not False,
            previous=previous,
            conversation=conversation,
            places=Places(
                earlier=len(before),
                source="conversation" if previous is None else "previous_response_id",
                whole=isinstance(body.get("input"), str),
            ),
        )
        return (body | {"input": [*before, *given]} if before or given != sent else body), turn

    async def finish(self, turn: Turn, response: Item) -> None:
        """The whole answer to a turn: keep it."""
        if turn.store and isinstance(response.get("id"), str):
            kept = {"response": response, "items": [_identified(item) for item in turn.items]}
            await self._kept.put((turn.tenant, response["id"]), write_value(kept))
            for item in response.get("output", []):
                if isinstance(item.get("id"), str):
                    await self._kept.put(_item_key(turn.tenant, item["id"]), write_value({"item": item}))
        if turn.conversation is not None:
            key = (turn.tenant, turn.conversation)
            state = _read(await self._kept.get(key))
            if state is not None:
                items = state["items"] + [_identified(item) for item in (*turn.given, *response.get("output", []))]
                await self._kept.put(key, write_value(state | {"items": items}))

    async def finish_stream(self, turn: Turn, frames: bytes) -> None:
        """The last frames of a streamed answer: keep the response that they tell."""
        for frame in Splitter().feed(frames):
            event = read_value(frame.data)
            if isinstance(event, dict) and event.get("type") in _LAST_EVENTS:
                await self.finish(turn, event["response"])

    async def answer(self, exchange: Exchange, *, alone: bool) -> Answer | None:
        """The page of something that is kept here, None for what belongs to a provider.

        `alone` says that no provider has such state, so that what is not known here is not known at all.
        """
        endpoint = exchange.endpoint
        first, _, rest = exchange.path.removeprefix("/v1").lstrip("/").partition("/")
        if endpoint is None or endpoint.model or first not in ("responses", "conversations"):
            return None
        if not rest:
            return await self._create(exchange) if first == "conversations" and alone else None
        name, _, page = rest.partition("/")
        tenant = identity_of(exchange)
        state = _read(await self._kept.get((tenant, name)))
        if state is None or first.removesuffix("s") not in state:
            if alone:
                _unknown("Response" if first == "responses" else "Conversation", name)
            return None
        return await self._page(exchange, state, tenant, name, page)

    async def _page(self, exchange: Exchange, state: dict[str, Any], tenant: str, name: str, page: str) -> Answer:
        response = state.get("response")
        kind = "conversation" if response is None else "response"
        match exchange.method, page:
            case "GET" | "HEAD", "":
                return _json(state["conversation"] if response is None else response)
            case "DELETE", "":
                await self._kept.delete((tenant, name))
                for item in (response or {}).get("output", []):
                    await self._kept.delete(_item_key(tenant, str(item.get("id"))))
                return _json({"id": name, "object": kind if response else "conversation.deleted", "deleted": True})
            case "GET" | "HEAD", "input_items" | "items" if (page == "items") is (response is None):
                return _json(_listed(state["items"], exchange.query))
            case "POST", "cancel" if response is not None:
                told = "Only responses made with `background` can be cancelled, and this model's provider has none"
                raise BadRequest(told, code="invalid_request")
        if response is None:
            return await self._change(exchange, state, (tenant, name), page)
        raise _nothing(exchange)

    async def _change(self, exchange: Exchange, state: dict[str, Any], key: tuple[str, str], page: str) -> Answer:
        """What is said of a conversation, or of its items one by one."""
        name = page.removeprefix("items/")
        match exchange.method, page:
            case "POST", "items":
                return await self._add(exchange, state, key)
            case "POST", "":
                state["conversation"]["metadata"] = (await _object(exchange)).get("metadata") or {}
            case "GET" | "HEAD" | "DELETE", _ if name != page:
                found = next((item for item in state["items"] if item.get("id") == name), None)
                if found is None:
                    _unknown("Item", name)
                if exchange.method != "DELETE":
                    return _json(found)
                state["items"].remove(found)
            case _:
                raise _nothing(exchange)
        await self._kept.put(key, write_value(state))
        return _json(state["conversation"])

    async def _create(self, exchange: Exchange) -> Answer | None:
        if exchange.method != "POST":
            return None
        body = await _object(exchange)
        name = f"conv_{random.getrandbits(192):048x}"
        made = {
            "id": name,
            "object": "conversation",
            "created_at": int(time.time()),
            "metadata": body.get("metadata") or {},
        }
        state = {"conversation": made, "items": [_identified(item) for item in _items(body.get("items"), "items")]}
        await self._kept.put((identity_of(exchange), name), write_value(state))
        return _json(made)

    async def _add(self, exchange: Exchange, state: dict[str, Any], key: tuple[str, str]) -> Answer:
        added = [_identified(item) for item in _items((await _object(exchange)).get("items"), "items")]
        state["items"] += added
        await self._kept.put(key, write_value(state))
        return _json(_list(added, more=False))

    async def _state(self, tenant: str, name: str, what: str, param: str) -> dict[str, Any]:
        state = _read(await self._kept.get((tenant, name)))
        if state is None or ("conversation" if param == "conversation" else "response") not in state:
            _unknown(what, name, param)
        return state

    async def _referred(self, tenant: str, items: list[Item]) -> list[Item]:
        """`items` with what was said in place of references to it. Raises BadRequest (404) for what is not known."""
        found = []
        for number, item in enumerate(items):
            name = item.get("id")
            if isinstance(name, str) and (item.get("type") or ("" if "role" in item else _REFERENCE)) == _REFERENCE:
                state = _read(await self._kept.get(_item_key(tenant, name)))
                if state is None:
                    _unknown("Item", name, f"input[{number}].id")
                item = state["item"]
            found.append(item)
        return found


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


def _items(given: object, member: str = "input") -> list[Item]:
    """`input` as items: a string is one message."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        wrong(member, "must be a string or an array of items" if member == "input" else "must be an array of items")
    return given


def _item_key(tenant: str, name: str) -> tuple[str, str]:
    """Where an item of an answer is kept; apart from responses and conversations, whose names no client can make so."""
    return tenant, f"item\n{name}"


def _shown(item: Item) -> bool:
    """Whether an item only showed to the client what was thought: no provider takes it back."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def _identified(item: Item) -> Item:
    """An item as lists show it: with an id, and its content in parts."""
    made = item if item.get("id") else {"id": f"msg_{random.getrandbits(192):048x}", "type": "message", **item}
    content = made.get("content")
    if isinstance(content, str):
        kind = "output_text" if made.get("role") == "assistant" else "input_text"
        part: Item = {"type": kind, "text": content} | ({"annotations": []} if kind == "output_text" else {})
        made = made | {"type": "message", "status": "completed", "content": [part]}
    return made


def _listed(items: list[Item], query: str | None) -> dict[str, Any]:
    """A page of `items`: newest first unless `order=asc`, `limit` of them after the one called `after`."""
    asked = dict(parse_qsl(query or ""))
    limit = asked.get("limit", str(_USUAL_ITEMS))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_ITEMS:
        raise BadRequest(f"limit must be a number from 1 to {_MOST_ITEMS}", param="limit")
    if asked.get("order", "desc") not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc", param="order")
    ordered = items if asked.get("order") == "asc" else items[::-1]
    after = asked.get("after")
    if after is not None:
        places = [number for number, item in enumerate(ordered, 1) if item.get("id") == after]
        if not places:
            raise BadRequest(f"There is no item {after[:100]!r}", param="after")
        ordered = ordered[places[0] :]
    return _list(ordered[: int(limit)], more=len(ordered) > int(limit))


def _list(items: list[Item], *, more: bool) -> dict[str, Any]:
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": more}


async def _object(exchange: Exchange) -> dict[str, Any]:
    """The JSON object in the body; nothing sent is an empty one."""
    body = exchange.body
    if isinstance(body, StreamedBody):
        raw = b""
        while len(raw) < MAX_BYTES and (data := await body.stream.read()):
            raw += data
        body = Body(raw, exchange.headers.get("Content-Encoding", ""))
    if body is None or not body.raw:
        return {}
    value = read_value(body.decoded)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object", code="invalid_json")
    return value


def _read(raw: bytes | None) -> dict[str, Any] | None:
    value = None if raw is None else read_value(raw)
    return value if isinstance(value, dict) else None


def _json(value: object) -> Answer:
    return Answer(status=200, headers=Headers({"Content-Type": "application/json"}), body=write_value(value))


def _nothing(exchange: Exchange) -> BadRequest:
    return BadRequest(f"There is no {exchange.method} {exchange.path}", status=404, code="not_found")


def _unknown(what: str, name: str, param: str | None = None) -> NoReturn:
    code = "previous_response_not_found" if param == "previous_response_id" else "not_found"
    raise BadRequest(f"{what} with id {name[:200]!r} not found.", status=404, code=code, param=param)

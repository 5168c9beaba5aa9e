"""Turns of the Responses API for providers that store nothing: what a request continues, and its answer for the next.

A request that names an earlier response or a conversation gets its items put in front; finished responses are stored
when `store` is not false. Ids are our own, since some providers repeat theirs. Begin reading at `Conversations.begin`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.dialects.members import wrong
from llmproxy.dialects.responses.input_paths import InputPaths
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.stores.facet import StoreFault
from llmproxy.translation.conversation_store import (
    RESPONSE_TTL_S,
    ConversationStore,
    ItemJson,
    item_name,
    read_items,
    refuse_unknown_id,
    require_store,
    with_id,
)

_REFERENCE = "item_reference"


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


class Conversations:
    """Expands requests, and stores their responses."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store

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
        sent = read_items(body.get("input"))
        with require_store():
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
            state = await self._store.get(identity, previous)
            if state is None or "response" not in state:
                refuse_unknown_id("Previous response", previous, "previous_response_id")
            return [*state["items"], *state["response"].get("output", [])]
        if conversation is None:
            return []
        state = await self._store.get(identity, conversation)
        if state is None or "conversation" not in state:
            refuse_unknown_id("Conversation", conversation, "conversation")
        items: list[ItemJson] = state["items"]
        return items

    async def finish(self, turn: Turn, response: ItemJson) -> None:
        """Store the whole answer to a turn. Where the store does not take it, it cannot be continued later."""
        with contextlib.suppress(StoreFault):
            if turn.store and isinstance(response.get("id"), str):
                await self._keep(turn, response)
            if turn.conversation is not None:
                added = [with_id(item) for item in (*turn.new, *response.get("output", []))]
                await self._store.change(turn.identity, turn.conversation, lambda state: state["items"].extend(added))

    async def _keep(self, turn: Turn, response: ItemJson) -> None:
        state = {"response": response, "items": [with_id(item) for item in turn.items]}
        states = {response["id"]: state}
        for item in response.get("output", []):
            if isinstance(item.get("id"), str):
                states[item_name(item["id"])] = {"item": item}
        await asyncio.gather(
            *(self._store.set(turn.identity, name, state, RESPONSE_TTL_S) for name, state in states.items())
        )

    async def _resolved(self, identity: str, items: list[ItemJson]) -> list[ItemJson]:
        """Return `items` with stored items in place of references to them. Raises BadRequest (404) for unknown ones."""
        resolved = []
        for number, item in enumerate(items):
            name = item.get("id")
            if isinstance(name, str) and (item.get("type") or ("" if "role" in item else _REFERENCE)) == _REFERENCE:
                state = await self._store.get(identity, item_name(name))
                if state is None or "item" not in state:
                    refuse_unknown_id("Item", name, f"input[{number}].id")
                item = state["item"]
            resolved.append(item)
        return resolved


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


def _only_shown(item: ItemJson) -> bool:
    """Return whether an item only shows thinking to the client: no provider takes it back."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")

"""What the Responses API stores here, for tests: turns and calls about them over one store."""

from __future__ import annotations

import json
from typing import Any

from llmproxy.client_request import Client
from llmproxy.exchange import Exchange
from llmproxy.stores.memory import MemoryResponses
from llmproxy.stores.responses import ResponseStore
from llmproxy.translation.conversation_calls import ConversationCalls
from llmproxy.translation.conversation_store import ConversationStore
from llmproxy.translation.conversations import Conversations
from tests.support.exchanges import new_exchange


def exchange(
    method: str = "POST", target: str = "/v1/responses", body: Any = None, address: str = "1.2.3.4"
) -> Exchange:
    """Return a call of the Responses API by the client at that address."""
    path, _, query = target.partition("?")
    made = new_exchange(path, method=method, query=query, body=body)
    made.client = Client(address=address)
    return made


class StoredTurns:
    """Turns and calls about them, over `store`."""

    def __init__(self, store: ResponseStore | None = None) -> None:
        kept = ConversationStore(store or MemoryResponses(1 << 20))
        self.turns = Conversations(kept)
        self.calls = ConversationCalls(kept)

    async def take(self, response: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Begin a turn with that body, and finish it with `response`. Return the body that a provider gets."""
        expanded, turn = await self.turns.begin(exchange(), body)
        await self.turns.finish(turn, response)
        return expanded

    async def call(self, method: str, target: str, address: str = "1.2.3.4", body: Any = None) -> Any:
        """Return the JSON of the answer to a call about what is stored."""
        answer = await self.calls.answer(exchange(method, target, body, address), alone=True)
        assert answer is not None and answer.status == 200
        return json.loads(answer.body)


def answered(name: str, words: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": words, "annotations": []}
    message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": f"resp_{name}", "object": "response", "output": [message]}


def texts(item: dict[str, Any]) -> list[str]:
    return [part["text"] for part in item["content"]]

"""Send requests of conversations to the sessions middleware without a server, for tests of recognition.

Begin reading at `SessionClient`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.client_request import Client
from llmproxy.dialects.catalog import find
from llmproxy.dialects.summary import Summary
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import PageRequest
from llmproxy.middleware.sessions import Sessions
from llmproxy.stores.open_stores import Stores
from tests.support.exchanges import ended

CHAT, MESSAGES, RESPONSES = "/chat/completions", "/messages", "/responses"
ANN, BOB = Client(address="10.0.0.1", agent="sdk/1"), Client(address="10.0.0.2", agent="sdk/1")
ASIDE = "How do I keep a sourdough alive while I am away for three weeks in the summer?"
QUESTION = "Which of the twelve largest lakes in Europe can be crossed by a regular ferry all year round?"
REPLY = "Several of them: Lake Ladoga no longer, but on Lake Constance ferries go every day of the year."
MORE = "And how long does the crossing take from one shore to the other with a car on board?"
ANSWER = "About fifteen minutes between Constance and Meersburg, and more than half an hour further down."
LAST = "Then tell me what I would pay for it with a camper of seven metres and two children."


def turns(*texts: str, role: str = "user") -> list[dict[str, Any]]:
    """Return messages of user and assistant in turn."""
    first = ("user", "assistant").index(role)
    return [{"role": ("user", "assistant")[(first + number) % 2], "content": text} for number, text in enumerate(texts)]


class SessionClient:
    """A client of the middleware. Each request ends at once; `now_s` is its wall-clock time."""

    def __init__(self, **config: Any) -> None:
        self.sessions = Sessions(Sessions.Config.model_validate(config))
        self.sessions.use_stores(Stores())
        self.now_s = time.time()

    async def begin(
        self,
        body: dict[str, Any] | bytes | None,
        *,
        path: str = CHAT,
        client: Client = ANN,
        encoding: str = "",
        method: str = "POST",
        **headers: str,
    ) -> Exchange:
        """Return a request that is not over yet."""
        sent = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        exchange = ended(
            method=method,
            endpoint=find(method, path),
            headers=sent,
            client=client,
            body=None if raw is None else Body(raw, encoding),
            began_s=self.now_s,
            summary=Summary(),
        )
        assert await self.sessions.on_request(exchange) is None
        return exchange

    async def ask(self, body: dict[str, Any] | bytes | None, *, answer: str | None = None, **how: Any) -> str | None:
        """Return the session of a request, over with an answer of that id."""
        exchange = await self.begin(body, **how)
        exchange.summary.id = answer
        self.sessions.on_end(exchange)
        return exchange.session

    async def say(self, *texts: str, role: str = "user", **how: Any) -> str | None:
        """Return the session of a chat request with these texts in turn."""
        return await self.ask({"messages": turns(*texts, role=role)}, **how)

    async def figure(self, name: str) -> Any:
        return (await self.sessions.stats())[name]

    async def page(self, name: str | None = None, **query: str) -> Any:
        """Return the page `/sessions`, or one below it."""
        return await self.sessions.page(PageRequest(name=name, query=query, changing=False))


async def header_of(sessions: Sessions, exchange: Exchange) -> str | None:
    """Return the session header of the answer to `exchange`."""
    answer = Answer(status=200, headers=Headers())
    await sessions.on_response(exchange, answer)
    return answer.headers.get("x-llmproxy-session")

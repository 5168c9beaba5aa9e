"""Nobody gets what is another's: every two clients that differ in one header, against everything that is kept.

The program runs twice: with a provider that gets the clients' own credentials, and with one that has our key. Each
test does for all clients what fills a store, and then looks at whose it is.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Upstream
from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import until

CHAT, RESPONSES, CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"
VENDORS = ("Authorization", "x-api-key", "api-key", "x-goog-api-key")
FORWARDED = ("Cookie", "x-portkey-api-key", "cf-aig-authorization", "X-Auth-Token", "x-gateway")
MODEL = "claude-sonnet-4-5"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client by what it sends; `source` is its address."""

    headers: tuple[tuple[str, str], ...] = ()
    source: str = "127.0.0.1"

    def differs_in_one(self, other: Client) -> bool:
        names = {name for name, _ in {*self.headers} ^ {*other.headers}}
        return len(names) + (self.source != other.source) == 1


def _clients() -> list[Client]:
    """Clients without and with a common key, and of each kind those that send one more header, in two values."""
    found = []
    for common in ((), (("Authorization", "Bearer common-key"),)):
        found.append(Client(headers=common))
        for name in (*VENDORS, *FORWARDED):
            kept = tuple(pair for pair in common if pair[0] != name)
            scheme = "Bearer " if name in ("Authorization", "cf-aig-authorization", "x-gateway") else ""
            for value in ("first-key", "second-key"):
                found.append(Client(headers=(*kept, (name, scheme + value))))
    return list(dict.fromkeys(found))


CLIENTS = _clients()
ANONYMOUS = [Client(headers=(("User-Agent", agent),)) for agent in ("sdk/1", "sdk/2")]
if sys.platform == "linux":  # elsewhere loopback has one address
    ANONYMOUS.append(Client(source="127.0.0.2"))


@dataclass
class Line:
    """A connection of each client to one program."""

    program: Program
    ours: bool
    _open: dict[Client, RawClient] = field(default_factory=dict)

    def ask(self, client: Client, method: str, target: str, value: object = None, *more: str) -> RawAnswer:
        if client not in self._open:
            self._open[client] = RawClient(self.program.address, source=client.source)
        lines = [f"{name}: {text}" for name, text in client.headers]
        body = None if value is None else json.dumps(value).encode()
        self._open[client].request(method, target, "Content-Type: application/json", *lines, *more, body=body)
        return self._open[client].read_answer(method)

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()


def words() -> str:
    return f"Nobody said number {next(_numbers)} before"


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def _answer(call: Call) -> None:
    """Answer with words that are like no other: with tools, a call of always the same id behind thinking of its own."""
    number = next(_numbers)
    content: list[dict[str, object]] = [{"type": "text", "text": f"Answer {number}."}]
    if b'"tools"' in call.request.body:
        thinking: dict[str, object] = {
            "type": "thinking",
            "thinking": "Let me look.",
            "signature": f"signature-{number}.",
        }
        content = [thinking, vendors._tool_use("toolu_1", "weather", {})]
    message = vendors.message(MODEL) | {"id": f"msg_{number}", "content": content}
    await call.give(vendors.plain(message))


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream(_answer) as provider:
        yield provider


@pytest.fixture(scope="module", params=["clients' keys", "our key"])
def line(
    provider: Upstream, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    ours = request.param == "our key"
    config = f"""
providers:
  - {{name: claude, type: anthropic, base_url: "{provider.url}"{", api_key: sk-ant-ours" if ours else ""}}}
middlewares:
  - {{type: sessions}}
  - {{type: cache, config: {{when: always, vary: [X-Tenant]}}}}
"""
    with Program(tmp_path_factory.mktemp("identity"), config=config) as program:
        line = Line(program, ours)
        yield line
        line.close()


def everybody(line: Line) -> list[Client]:
    return [*CLIENTS, *ANONYMOUS]


def neighbours(clients: list[Client]) -> Iterator[tuple[Client, Client]]:
    """Return every two clients that differ in one header, or in their address."""
    return ((one, other) for one, other in itertools.permutations(clients, 2) if one.differs_in_one(other))


def leaks(clients: list[Client], leaked: Callable[[Client, Client], bool]) -> list[tuple[Client, Client]]:
    return [pair for pair in neighbours(clients) if leaked(*pair)]


def test_there_is_a_pair_for_every_header() -> None:
    for name in (*VENDORS, *FORWARDED, "User-Agent"):
        values = [
            {client: dict(client.headers).get(name) for client in pair} for pair in neighbours(CLIENTS + ANONYMOUS)
        ]
        assert any(None not in pair.values() and len(set(pair.values())) == 2 for pair in values), name


@pytest.mark.ledger("H4")
def test_a_stored_response_is_read_deleted_and_continued_by_its_client_alone(line: Line, provider: Upstream) -> None:
    clients = everybody(line)
    stored = {each: line.ask(each, "POST", RESPONSES, {"model": MODEL, "input": words()}).json for each in clients}
    ids = {each: response["id"] for each, response in stored.items()}
    assert len(set(ids.values())) == len(clients)
    before = len(provider.requests)

    def leaked(owner: Client, other: Client) -> bool:
        page = f"{RESPONSES}/{ids[owner]}"
        further = {"model": MODEL, "input": words(), "previous_response_id": ids[owner]}
        reference = {"model": MODEL, "input": [{"type": "item_reference", "id": stored[owner]["output"][0]["id"]}]}
        statuses = [
            line.ask(other, "GET", page).status,
            line.ask(other, "GET", f"{page}/input_items").status,
            line.ask(other, "POST", f"{page}/cancel", {}).status,
            line.ask(other, "DELETE", page).status,
            line.ask(other, "POST", RESPONSES, further).status,
            line.ask(other, "POST", RESPONSES, reference).status,
        ]
        return statuses != [404] * 6

    assert leaks(clients, leaked) == []
    assert len(provider.requests) == before
    for each in clients:
        page = f"{RESPONSES}/{ids[each]}"
        assert line.ask(each, "GET", page).json == stored[each]
        further = {"model": MODEL, "input": words(), "previous_response_id": ids[each]}
        assert line.ask(each, "POST", RESPONSES, further).status == 200
        assert line.ask(each, "DELETE", page).json["deleted"] is True


@pytest.mark.ledger("H4")
def test_a_conversation_is_its_clients_alone(line: Line) -> None:
    clients = everybody(line)
    ids = {each: line.ask(each, "POST", CONVERSATIONS, {}).json["id"] for each in clients}

    def leaked(owner: Client, other: Client) -> bool:
        further = {"model": MODEL, "input": words(), "conversation": ids[owner]}
        page = f"{CONVERSATIONS}/{ids[owner]}"
        got = [
            line.ask(other, "GET", page),
            line.ask(other, "POST", page, {"metadata": {}}),
            line.ask(other, "GET", f"{page}/items"),
            line.ask(other, "POST", f"{page}/items", {"items": []}),
            line.ask(other, "DELETE", page),
            line.ask(other, "POST", RESPONSES, further),
        ]
        return [answer.status for answer in got] != [404] * 6

    assert leaks(clients, leaked) == []
    assert {line.ask(each, "GET", f"{CONVERSATIONS}/{name}").status for each, name in ids.items()} == {200}


@pytest.mark.ledger("X3")
@pytest.mark.parametrize("named", [False, True], ids=["recognised", "named"])
def test_a_session_is_its_clients_alone(line: Line, named: bool) -> None:
    clients, body, header = everybody(line), chat(words()), (f"session-id: {words()}",) if named else ()
    sessions = {each: line.ask(each, "POST", CHAT, body, *header).value("x-llmproxy-session") for each in clients}
    assert leaks(clients, lambda one, other: sessions[one] == sessions[other]) == []
    assert len(set(sessions.values())) == len(clients)
    for each in clients:
        assert line.ask(each, "POST", CHAT, body, *header).value("x-llmproxy-session") == sessions[each]


def test_kept_reasoning_goes_on_for_its_client_alone(line: Line, provider: Upstream) -> None:
    clients = everybody(line)
    questions = {each: chat(words(), tools=TOOLS, reasoning_effort="low") for each in clients}
    messages, signatures = {}, {}
    for each, question in questions.items():
        messages[each] = line.ask(each, "POST", CHAT, question).json["choices"][0]["message"]
        signatures[each] = f"signature-{next(_numbers) - 1}."  # the number that the provider took last
    for each, question in questions.items():
        result = {"role": "tool", "tool_call_id": messages[each]["tool_calls"][0]["id"], "content": "12 degrees"}
        further = question | {"messages": [*question["messages"], messages[each], result]}
        assert line.ask(each, "POST", CHAT, further).status == 200
        sent = provider.last.body.decode()
        assert [name for name in signatures.values() if name in sent] == [signatures[each]]


@pytest.mark.ledger("K1")
def test_an_answer_that_one_clients_credential_obtained_is_never_anothers(line: Line) -> None:
    """Where our key is used, answers are shared; what goes on to the provider all the same tells clients apart."""
    tenants = [Client(headers=(("X-Tenant", name),)) for name in ("acme", "other")]
    clients, body = [*everybody(line), *tenants], chat(words(), temperature=0)
    separate = {*FORWARDED, "X-Tenant", *(() if line.ours else VENDORS)}
    answers: dict[frozenset[tuple[str, str]], str] = {}
    for each in clients:
        scope = frozenset(pair for pair in each.headers if pair[0] in separate)
        stored = line.program.get("/cache").json["stored"]
        answer = line.ask(each, "POST", CHAT, body)
        text = answer.json["choices"][0]["message"]["content"]
        assert answer.value("x-cache") == ("hit" if scope in answers else "miss"), each
        assert answers.setdefault(scope, text) == text
        if answer.value("x-cache") == "miss":
            until(partial(_stored_more, line.program, stored), "the answer to be stored")
    assert len(set(answers.values())) == len(answers) > 2 * len(FORWARDED)


def _stored_more(program: Program, before: int) -> bool:
    return int(program.get("/cache").json["stored"]) > before

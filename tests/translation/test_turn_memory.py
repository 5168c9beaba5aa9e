"""A conversation whose beginning was translated before becomes what it becomes when it is translated as a whole."""

from __future__ import annotations

import json
import mimetypes
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from llmproxy.access.identity import identity_of
from llmproxy.body import Body
from llmproxy.call import Call
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.messages import CODEC as MESSAGES
from llmproxy.dialects.model import Block, Request, Thinking, ToolCall
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryResponses
from llmproxy.target import Target
from llmproxy.translation.reasoning_store import ReasoningStore
from llmproxy.translation.repeated_turns import KeptTurns
from llmproxy.translation.translator import Translator
from llmproxy.translation.turn_memory import TurnMemory, turns_for
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.exchanges import NamedProvider, new_exchange
from tests.support.tool_turns import tool_turns

mimetypes.init()  # it reads a file at its first use
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
PAIRS = [
    (client, provider, model)
    for client in PATHS
    for provider, model in (
        ("chat", "gpt-4o"),
        ("messages", "claude-sonnet-4-5"),
        ("messages", "claude-opus-4-8"),
        ("converse", "anthropic.claude-sonnet-4-5-v1:0"),
        ("converse", "amazon.nova-pro-v1:0"),
        ("gemini", "gemini-3-pro"),
        ("responses", "gpt-5"),
    )
    if client != provider
]
OPTIONS = (
    Options(prompt_cache="auto", prefill="continue"),
    Options(
        developer=False, system_turns=False, max_tokens_name="max_tokens", chat_refuses=(("", frozenset({"name"})),)
    ),
)


class Speaking(NamedProvider):
    """A provider of one dialect."""

    def __init__(self, dialect: str, options: Options) -> None:
        super().__init__(dialect)
        self.speaks = frozenset({dialect})
        self.translate_to = (dialect,)
        self.options = options


def exchange_of(raw: bytes, client: str, memory: JsonMemory | None) -> Exchange:
    exchange = new_exchange(PATHS[client], body=raw)
    exchange.body = Body(raw, memory=memory, turns="messages")
    return exchange


async def translated(
    raw: bytes, client: str, target: Target, memory: JsonMemory | None, translator: Translator
) -> tuple[Any, ...]:
    """Return what a body becomes, with all that is listed of it, or the error."""
    exchange = exchange_of(raw, client, memory)
    call = Call(target=target, model=target.model)
    try:
        made = await translator.prepare(exchange, call)
    except BadRequest as error:
        return (error.message, error.param)
    losses = made.translation.losses
    return json.loads(made.exchange.held.raw), sorted(losses.dropped), losses.adapted, call.cache_marks


def kept_of(memory: JsonMemory) -> Iterator[KeptTurns]:
    for alike in memory._alike.values():
        for read in alike:
            yield from [each for each in read.derived.values() if isinstance(each, KeptTurns)]


def new_translator(store: MemoryResponses | None = None) -> Translator:
    return Translator(store or MemoryResponses(1 << 20), MemoryBudget(1 << 30))


@pytest.mark.parametrize(("client", "provider", "model"), PAIRS)
async def test_turns_become_what_they_become_alone(client: str, provider: str, model: str) -> None:
    chance = random.Random(f"{client}{provider}{model}")
    translator, continued = new_translator(), 0
    for options in OPTIONS:
        target = Target(provider=Speaking(provider, options), model=model)
        memory = JsonMemory(1 << 20)
        conversations = [tool_turns(client, chance, 7, odd=odd, size=36) for odd in (0.0, 0.15, 0.3)]
        for bodies in zip(*conversations, strict=True):
            for raw in bodies:
                alone = await translated(raw, client, target, None, translator)
                assert await translated(raw, client, target, memory, translator) == alone
        continued += sum(len(kept.ends) > 3 for kept in kept_of(memory))
    assert continued >= 2


GPT = Target(provider=Speaking("chat", OPTIONS[0]), model="gpt-4o")
CLAUDE = Target(provider=Speaking("messages", OPTIONS[0]), model="claude-sonnet-4-5")


async def test_thinking_that_was_put_back_stays_in_what_is_kept() -> None:
    store, memory, chance = MemoryResponses(1 << 20), JsonMemory(1 << 20), random.Random(1)
    translator, reasoning = new_translator(store), ReasoningStore(store)
    for raw in tool_turns("chat", chance, 4, odd=0.0):
        calls = [call for message in json.loads(raw)["messages"] for call in message.get("tool_calls", ())]
        for call in calls[::2]:
            thought = Thinking(text=f"about {call['id']}", dialect="messages", signature="c2VhbA==")
            kept: list[Block] = [thought, ToolCall(id=call["id"], name="tool_0", arguments="{}")]
            await reasoning.keep(identity_of(exchange_of(raw, "chat", None)), "messages", kept)
        alone = await translated(raw, "chat", CLAUDE, None, translator)
        assert await translated(raw, "chat", CLAUDE, memory, translator) == alone
        assert str(alone).count("'about ") == len(calls[::2])
    [kept_turns] = kept_of(memory)
    assert len(kept_turns.ends) > 1 and b'"thinking":"about ' in kept_turns.pieces[-1] + kept_turns.pieces[-2]


async def test_nothing_is_kept_while_the_store_of_thinking_does_not_answer() -> None:
    class Faulty(MemoryResponses):
        async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
            raise StoreFault("away")

    [raw], memory = tool_turns("chat", random.Random(1), 1, odd=0.0), JsonMemory(1 << 20)
    await translated(raw, "chat", CLAUDE, memory, new_translator(Faulty(1 << 20)))
    assert not list(kept_of(memory))
    await translated(raw, "chat", CLAUDE, memory, new_translator())
    assert list(kept_of(memory))


async def test_each_target_has_its_own() -> None:
    [raw], memory, translator = tool_turns("chat", random.Random(1), 1, odd=0.0), JsonMemory(1 << 20), new_translator()
    changed = Target(provider=Speaking("messages", OPTIONS[1]), model=CLAUDE.model)
    larger = Target(provider=CLAUDE.provider, model="claude-opus-4-8")
    for target in (CLAUDE, changed, larger):
        turns = turns_for(exchange_of(raw, "chat", memory), MESSAGES, target.model or "", target.provider.options, "")
        assert turns is not None and turns.find() is None
        alone = await translated(raw, "chat", target, None, translator)
        assert await translated(raw, "chat", target, memory, translator) == alone


async def test_what_is_kept_takes_no_more_than_the_memory_may() -> None:
    memory, translator, chance = JsonMemory(120_000), new_translator(), random.Random(3)
    for raw in (body for _ in range(4) for body in tool_turns("chat", chance, 3, odd=0.0)):
        alone = await translated(raw, "chat", CLAUDE, None, translator)
        assert await translated(raw, "chat", CLAUDE, memory, translator) == alone
        assert (
            sum(read.size_bytes for alike in memory._alike.values() for read in alike) == memory.size_bytes <= 120_000
        )


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "system", "content": "Remember"}]},
        {"messages": [{"role": "user", "content": "Go on"}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_new", "content": "late"}]},
        {"messages": [{"role": "assistant", "content": " "}, {"role": "user", "content": "Go on"}]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": 1}]},
        {"temperature": 0.5},
        {"tools": []},
        {"model": 5},
    ],
)
async def test_what_is_changed_behind_what_is_kept_counts(change: dict[str, Any]) -> None:
    for client, target in (("chat", CLAUDE), ("messages", GPT)):
        [raw], memory, translator = (
            tool_turns(client, random.Random(1), 1, odd=0.0),
            JsonMemory(1 << 20),
            new_translator(),
        )
        await translated(raw, client, target, memory, translator)
        [kept] = kept_of(memory)
        body = json.loads(raw)
        items, place = body["messages"], kept.end.items
        added = {"messages": [*items[:place], *change["messages"], *items[place:]]} if "messages" in change else change
        raw = json.dumps(body | added).encode()
        alone = await translated(raw, client, target, None, translator)
        assert await translated(raw, client, target, memory, translator) == alone


async def test_what_changed_beside_the_messages_stays_changed() -> None:
    for client, target in (("chat", CLAUDE), ("messages", GPT)):
        memory, translator = JsonMemory(1 << 20), new_translator()
        for number, raw in enumerate(tool_turns(client, random.Random(1), 5, odd=0.0)):
            body = json.loads(raw)
            changed = {"tools": body["tools"][:1], "top_p": 0.5} if number else {}
            raw = json.dumps({"messages": body.pop("messages"), **body, **changed}).encode()
            alone = await translated(raw, client, target, None, translator)
            assert await translated(raw, client, target, memory, translator) == alone


async def test_turns_that_come_before_the_last_one_was_translated_go_on_from_what_is_known() -> None:
    first, second, third, fourth = tool_turns("chat", random.Random(2), 4, odd=0.0, size=60)
    memory, translator = JsonMemory(1 << 20), new_translator()
    early, late = exchange_of(first, "chat", memory), exchange_of(second, "chat", memory)
    assert early.held.read is not None and late.held.read is not None
    await translator.prepare(early, Call(target=CLAUDE, model=CLAUDE.model))
    assert late.held.read.derived and early.held.read.memory is None
    last = exchange_of(third, "chat", memory)
    assert last.held.read is not None and last.held.read.inherited
    await translator.prepare(last, Call(target=CLAUDE, model=CLAUDE.model))
    await translator.prepare(late, Call(target=CLAUDE, model=CLAUDE.model))
    [kept] = kept_of(memory)
    assert len(kept.ends) > 1 and memory.size_bytes == last.held.read.size_bytes
    alone = await translated(fourth, "chat", CLAUDE, None, translator)
    assert await translated(fourth, "chat", CLAUDE, memory, translator) == alone


async def test_most_of_a_turn_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies, memory = list(tool_turns("chat", random.Random(2), 6, odd=0.0, size=60)), JsonMemory(1 << 20)
    decoded: list[int] = []

    def noted(turns: TurnMemory, kept: KeptTurns, exchange: Exchange) -> tuple[Request, KeptTurns]:
        request, kept = decode(turns, kept, exchange)
        decoded.append(len(request.messages))
        return request, kept

    decode = TurnMemory.decode_rest
    monkeypatch.setattr(TurnMemory, "decode_rest", noted)
    for raw in bodies:
        await translated(raw, "chat", CLAUDE, memory, new_translator())
    assert len(decoded) == 5 and max(decoded) < 15

"""Conversations whose thinking a vendor sealed for one model: they stay there, and lose it where they have to move.

Two accounts, each as strict as the real vendors: one refuses what the other has sealed. Begin at `Account`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.support import vendors
from tests.support.fake_bedrock import KEY_ID, REGION, SECRET
from tests.support.program import Program
from tests.support.provider import Call, Upstream
from tests.support.redis_server import RedisServer
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_conversations import Chat, Converse, Gemini, Messages, Responses, SdkConversation
from tests.support.six_vendors import KEYS, SixVendors
from tests.support.strict_vendor import Question
from tests.support.waiting import until

MESSAGES = "/v1/messages"
BEDROCK = f'region: {REGION}, access_key_id: {KEY_ID}, secret_access_key: "{SECRET}"'
TYPES = {
    "messages": f"type: anthropic, base_url: URL, api_key: {KEYS['anthropic']}",
    "converse": f"type: bedrock, base_url: URL, {BEDROCK}",
    "responses": f'type: openai, base_url: "URL/v1", api_key: {KEYS["openai"]}, dialects: [responses]',
    "gemini": f"type: gemini, base_url: URL, api_key: {KEYS['gemini']}",
}
MODELS = {
    "messages": ("claude-sonnet-4-5", "claude-opus-4-6"),
    "converse": ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-opus-4-6-v1:0"),
    "responses": ("gpt-5.5", "gpt-5.1-codex"),
    "gemini": ("gemini-3-flash-preview", "gemini-3-flash-preview"),
}


class Account:
    """An account that thinks and calls a tool; once `speaks` is set it says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vendor = SixVendors(self.play)
        self.down = False
        self.speaks = False

    async def __call__(self, call: Call) -> None:
        if self.down:
            await call.give(vendors.failure(503, "Service Unavailable"))
        else:
            await self.vendor(call)

    def play(self, question: Question) -> SpokenTurn:
        mark = f"{self.name} {self.asked}"
        if self.speaks:
            return SpokenTurn(thinking=f"{mark} is done.", text=f"{self.name} says so.")
        call = SpokenCall(id=f"call_{mark.replace(' ', '_')}", name="weather", input={"city": mark})
        return SpokenTurn(thinking=f"{mark} thinks.", text="One moment.", calls=(call,))

    @property
    def asked(self) -> int:
        return len(self.vendor.questions)


Accounts = tuple[Account, Account]


@pytest.fixture
def accounts() -> Iterator[tuple[Accounts, tuple[str, str]]]:
    east, west = Account("east"), Account("west")
    with Upstream(east) as one, Upstream(west) as two:
        yield (east, west), (one.url, two.url)


def configuration(urls: tuple[str, str], dialect: str, *, store: str = "memory", same: bool = False) -> str:
    """Two providers of a type, `east` and `west`, in turn, each with a model of its own."""
    models = MODELS[dialect][:1] * 2 if same else MODELS[dialect]
    places = list(zip(("east", "west"), urls, models, strict=True))
    providers = "".join(f"  - {{name: {name}, {TYPES[dialect].replace('URL', url)}}}\n" for name, url, _ in places)
    targets = ", ".join(f'{{provider: {name}, model: "{model}"}}' for name, _, model in places)
    return f"""
providers:
{providers}
stores: {{default: {json.dumps(store)}}}
routing: {{retries: 0, breaker: {{failures: 100, failure_ratio: 0%}}}}
models: [{{name: team, strategy: round_robin, targets: [{targets}]}}]
"""


def step(asker: SdkConversation, *, stream: bool) -> None:
    """Have one step answered, its call too."""
    turn = asker.ask("team", stream=stream, tools=True, think=True)
    asker.give({call: "12 degrees" for call, _, _ in turn.calls}) if turn.calls else asker.say("And now?")


def play_through(ask: Callable[[], None], accounts: Accounts) -> None:
    """Go on at the one that began; at the other while that one is out, and there afterwards."""
    east, west = accounts

    def steps(*answerers: Account, ends: bool = False) -> None:
        for place, answerer in enumerate(answerers):
            east.speaks = west.speaks = ends and place == len(answerers) - 1
            before = east.asked, west.asked
            ask()
            assert (east.asked - before[0], west.asked - before[1]) == (answerer is east, answerer is west), place

    ask()
    first, other = accounts if east.asked else (west, east)
    steps(first, first, ends=True)  # in spite of round_robin
    steps(first)
    first.down = True
    steps(other)
    first.down = False
    steps(other, other, ends=True)
    steps(other)
    other.down = True
    steps(first)
    other.down = False
    steps(first, first, ends=True)
    steps(first)


CLIENTS = (Messages, Converse, Responses, Gemini)
LOOPS = [
    *(pytest.param(client, client.dialect, True, id=f"{client.dialect}-streamed") for client in CLIENTS),
    pytest.param(Chat, "messages", True, id="translated-streamed"),
    pytest.param(Converse, "messages", False, id="translated-sealed"),
    *(
        pytest.param(client, client.dialect, False, id=f"{client.dialect}-plain", marks=[pytest.mark.long])
        for client in CLIENTS
    ),
]


@pytest.mark.parametrize(("client", "dialect", "stream"), LOOPS)
def test_a_conversation_stays_where_its_thinking_was_sealed_and_moves_without_a_refusal(
    tmp_path: Path,
    accounts: tuple[Accounts, tuple[str, str]],
    client: type[SdkConversation],
    dialect: str,
    stream: bool,
) -> None:
    both, urls = accounts
    with Program(tmp_path, config=configuration(urls, dialect)) as program:
        asker = client(program.url)
        with asker.client:
            asker.say("Where is it colder?")
            play_through(lambda: step(asker, stream=stream), both)
        assert [each.vendor.faults for each in both] == [[], []]
        assert program.metric("llmproxy_dropped_total") > 0


def test_the_same_model_at_another_account_gets_the_thinking_where_its_vendor_signs_for_all(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    (east, west), urls = accounts
    west.vendor._blocks = east.vendor._blocks
    with Program(tmp_path, config=configuration(urls, "messages", same=True)) as program:
        asker = Messages(program.url)
        with asker.client:
            asker.say("Where is it colder?")
            play_through(lambda: step(asker, stream=False), (east, west))
        assert program.metric("llmproxy_dropped_total") == 0
    assert (east.vendor.faults, west.vendor.faults) == ([], [])
    sent = [question.body["messages"] for question in (*east.vendor.questions, *west.vendor.questions)]
    assert max(json.dumps(each).count('"thinking"') for each in sent) > 5


def ask_once(program: Program, messages: list[Any], *headers: str, **more: Any) -> Any:
    """Ask in a tool loop, take what comes into `messages`, and return the answer."""
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = {"model": "team", "max_tokens": 4000, "messages": messages, "tools": tools, "thinking": thinking, **more}
    answer = program.post(MESSAGES, body, *headers)
    assert answer.status == 200, answer
    messages.append({"role": "assistant", "content": answer.json["content"]})
    call = next(block["id"] for block in answer.json["content"] if block["type"] == "tool_use")
    messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "12"}]})
    return answer


def begun() -> list[Any]:
    return [{"role": "user", "content": "Where is it colder?"}]


def test_what_was_left_out_is_listed_and_all_else_stays_as_it_was(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    (east, west), urls = accounts
    messages = begun()
    with Program(tmp_path, config=configuration(urls, "messages")) as program:
        assert ask_once(program, messages).value("x-llmproxy-dropped") is None
        east.down = True
        clear = {"edits": [{"type": "clear_thinking_20251015"}]}
        moved = ask_once(program, messages, "anthropic-beta: x", context_management=clear, metadata={"user_id": "u"})
    assert moved.value("x-llmproxy-dropped") == "messages[1].content[0], thinking"
    assert (east.vendor.faults, west.vendor.faults) == ([], [])
    sent = west.vendor.questions[-1].body
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["text", "tool_use"]
    assert sent["thinking"] == {"type": "disabled"} and "context_management" not in sent
    assert sent["metadata"] == {"user_id": "u"}


def test_a_shadow_gets_a_conversation_without_what_it_would_refuse(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    (east, west), urls = accounts
    target = '{provider: west, model: "claude-opus-4-6"}'
    config = configuration(urls, "messages").replace(f", {target}]", f"], shadow: {target}")
    messages = begun()
    with Program(tmp_path, config=config) as program:
        for _ in range(3):
            ask_once(program, messages)
        until(lambda: west.asked == 3, "all copies to be there")
    assert (east.vendor.faults, west.vendor.faults) == ([], [])


def test_a_target_that_is_removed_leaves_its_thinking_to_nobody(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    (east, west), urls = accounts
    config = configuration(urls, "messages", store=f"disk:{tmp_path / 'store.sqlite'}")
    messages = begun()
    with Program(tmp_path, config=config) as program:
        ask_once(program, messages)
        ask_once(program, messages)
    assert (east.asked, west.asked) == (2, 0)
    with Program(tmp_path, config=config) as program:  # known after a restart
        ask_once(program, messages)
    assert (east.asked, west.asked) == (3, 0)
    alone = config.replace('{provider: east, model: "claude-sonnet-4-5"}, ', "")
    with Program(tmp_path, config=alone) as program:
        ask_once(program, messages)
    assert (east.vendor.faults, west.vendor.faults) == ([], [])
    assert (east.asked, west.asked) == (3, 1)


def test_nobody_is_routed_by_what_another_client_has_seen(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    (east, west), urls = accounts
    messages = begun()
    with Program(tmp_path, config=configuration(urls, "messages")) as program:
        ask_once(program, messages, "x-api-key: one")
        west.vendor._blocks = east.vendor._blocks  # what would be refused is not the point
        ask_once(program, messages, "x-api-key: two")
    assert (east.asked, west.asked) == (1, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_conversation_whose_seals_are_forgotten_loses_its_thinking_and_nothing_else(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]], stream: bool
) -> None:
    (east, west), urls = accounts
    config = configuration(urls, "messages").replace("strategy: round_robin, ", "")
    with Program(tmp_path, config=config) as program:
        asker = Messages(program.url)
        with asker.client:
            asker.say("Where is it colder?")
            east.down = True
            step(asker, stream=stream)
            step(asker, stream=stream)
    east.down = False
    with Program(tmp_path, config=config) as program, anthropic.Anthropic(base_url=program.url, api_key="x") as client:
        asker.client = client.with_options(max_retries=0)
        for _ in range(3):
            step(asker, stream=stream)
        assert program.metric("llmproxy_dropped_total") > 0
    refused = [place for place, question in enumerate(east.vendor.questions) if question.faults]
    assert refused == [0] and west.vendor.faults == []  # and asked again without it
    assert (east.asked, west.asked) == (4, 2)


@contextlib.contextmanager
def replicas(directory: Path, server: RedisServer, urls: tuple[str, str]) -> Iterator[list[Program]]:
    with contextlib.ExitStack() as stack:
        programs = []
        for name in ("a", "b"):
            (directory / name).mkdir()
            config = configuration(urls, "messages", store=server.url)
            programs.append(stack.enter_context(Program(directory / name, config=config)))
        yield programs


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")
def test_replicas_know_from_each_other_who_sealed_what(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    both, urls = accounts
    with RedisServer(tmp_path) as server, replicas(tmp_path, server, urls) as programs, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(anthropic.Anthropic(base_url=each.url, api_key="dummy")) for each in programs]
        asker = Messages(programs[0].url)
        stack.enter_context(asker.client)

        def ask() -> None:
            clients.reverse()
            asker.client = clients[0]
            step(asker, stream=True)

        asker.say("Where is it colder?")
        play_through(ask, both)
    assert [each.vendor.faults for each in both] == [[], []]


def overwrite(redis: Any, kind: str) -> None:
    """Put a value of somebody else in the place of each of ours."""
    for key in redis.keys("*"):
        redis.delete(key)
        match kind:
            case "list":
                redis.rpush(key, "a", "b")
            case "hash":
                redis.hset(key, "a", b"\xff")
            case "long":
                redis.set(key, b"x" * 1_000_000)
            case "made up":
                redis.set(key, b'["nobody","model",true]')
            case _:
                redis.set(key, b"\xff\x00{]")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")
def test_whatever_happens_to_the_redis_no_request_fails(
    tmp_path: Path, accounts: tuple[Accounts, tuple[str, str]]
) -> None:
    _, urls = accounts
    messages = begun()
    with RedisServer(tmp_path) as server, replicas(tmp_path, server, urls) as programs:

        def go_on() -> None:
            for program in (*programs, *programs):
                ask_once(program, messages)

        go_on()
        redis = server.client()
        for kind in ("garbage", "list", "hash", "long", "made up"):
            overwrite(redis, kind)
            go_on()
        redis.close()
        for fail, mend in ((server.hang, server.go_on), (server.kill, server.start)):
            fail()
            go_on()
            mend()
            go_on()

"""Conversations recognised by the running program: over sockets, dialects and SDKs, and wherever they are shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Gate, Reply, Upstream
from tests.support.raw_http import RawAnswer
from tests.support.sdk_conversations import ASKERS, SdkConversation
from tests.support.waiting import until

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
HEADER = "x-llmproxy-session"
KEY = "sk-up-5e7c"


def config(upstream: Upstream, settings: str = "") -> str:
    return f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*", "text-*"]}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: {KEY}, models: ["claude-*"]}}
  - {{name: own, type: openai, base_url: "{upstream.url}/v1", models: ["own-*"]}}
middlewares:
  - type: printer
  - {{type: sessions, config: {{{settings}}}}}
  - {{type: trace, config: {{directory: traces}}}}
"""


@pytest.fixture(scope="module")
def lasting(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("sessions"), config=config(lasting_upstream)) as program:
        yield program


@pytest.fixture
def program(lasting: Program, upstream: Upstream) -> Program:
    """Return the program, whose sessions are those of all tests here: each says something of its own."""
    return lasting


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]


def asked(*texts: str, **members: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "messages": turns(*texts), **members}


def session(answer: RawAnswer) -> str:
    """Return the session that an answer says it belongs to."""
    name = answer.value(HEADER)
    assert name
    return name


def counted(program: Program, name: str, requests: int) -> dict[str, Any]:
    """Return the session's page, once so many requests of it are over."""
    until(lambda: program.get(f"/sessions/{name}").json["requests"] >= requests, f"{requests} requests of {name}")
    shown: dict[str, Any] = program.get(f"/sessions/{name}").json
    assert shown["requests"] == requests
    return shown


@pytest.mark.ledger("X1")
@pytest.mark.parametrize("asker", ASKERS, ids=lambda each: each.dialect)
@pytest.mark.parametrize("model", ["gpt-x", "claude-x"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_an_sdk_says_turn_by_turn_is_one_session(
    program: Program, asker: type[SdkConversation], model: str, stream: bool
) -> None:
    created = program.get("/stats").json["sessions"]["created"]
    talk = asker(program.url)
    talk.say(f"Which city do you mean, {asker.dialect} {model} {stream}?", image=True)
    turn = talk.ask(model, stream=stream, tools=True)
    talk.give({call[0]: "sunny" for call in turn.calls})
    talk.ask(model, stream=stream)
    talk.say("Thank you, and tomorrow?")
    talk.ask(model, stream=stream)
    figures = program.get("/stats").json["sessions"]
    assert figures["created"] == created + 1
    [newest] = program.get("/sessions?limit=1").json["sessions"]
    shown = counted(program, newest["id"], 3)
    assert shown["models"] == [model] and shown["errors"] == 0
    assert shown["tokens"]["input"] > 0 < shown["tokens"]["output"]


@pytest.mark.ledger("X1")
def test_a_header_comes_first(program: Program) -> None:
    body = asked(
        "Who is named by a header?", metadata={"user_id": f"u_session_{'0b1e6d2c-7a55-4c1b-9f3e-2d4c8a9b7e61'}"}
    )
    assert session(program.post(CHAT, body)) == "0b1e6d2c-7a55-4c1b-9f3e-2d4c8a9b7e61"
    assert session(program.post(CHAT, body, "session-id: d", "X-Claude-Code-Session-Id: c")) == "c"
    assert session(program.post(CHAT, body, "X-Session-ID: a", f"{HEADER}: b", "session-id: d")) == "a"
    assert session(program.post(CHAT, asked("Something else"), "x-session-id: a")) == "a"


@pytest.mark.parametrize("said", ["a" * 201, "a" * 7000, "é", "日本", "\udcff", "a\tb", "a\x01b"])
def test_a_name_that_cannot_stand_in_a_header_is_told_by_its_digest(program: Program, said: str) -> None:
    answer = program.post(CHAT, asked("Hello"), f"x-session-id: {said}")
    if answer.status == 400:
        assert "\x01" in said
        return
    name = session(answer)
    assert len(name) == 32 and name.isalnum()
    assert session(program.post(CHAT, asked("Hello"), f"x-session-id: {said}")) == name
    assert program.get(f"/sessions/{name}").status == 200


@pytest.mark.ledger("X3")
def test_two_clients_share_nothing(program: Program) -> None:
    body = asked("Are you the one I spoke to yesterday?")
    own = {**body, "model": "own-x"}
    agents = [("User-Agent: a",), ("User-Agent: b",), ("User-Agent: a", "Authorization: Bearer k1")]
    names = [session(program.post(CHAT, body, *headers)) for headers in agents * 2]
    assert names[:3] == names[3:] and len(set(names)) == 3
    passed = [session(program.post(CHAT, own, f"Authorization: Bearer {key}")) for key in ("k1", "k2", "k1")]
    assert passed[0] == passed[2] != passed[1] and not set(passed) & set(names)
    mine = [session(program.post(CHAT, body, *headers, "session-id: shared")) for headers in agents]
    assert mine[0] == "shared" and len(set(mine)) == 3


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", "/main/chat/completions", "/openai-proxy/chat/completions"]
)
def test_relayed_calls_belong_to_the_conversation_too(program: Program, path: str) -> None:
    body = asked(f"What is relayed over {path}?")
    assert session(program.post(path, body)) == session(program.post(CHAT, body))


@pytest.mark.parametrize("path", ["/openai/v1/chat/completions", "/main/chat/completions"])
def test_a_relayed_body_that_cannot_be_read_is_left_to_the_provider(
    program: Program, upstream: Upstream, path: str
) -> None:
    upstream.next(Reply(status=415, pieces=[b"{}"]))
    with program.client() as client:
        client.request("POST", path, "Content-Encoding: gzip", "Content-Type: application/json", body=b"no gzip")
        answer = client.read_answer()
    assert (answer.status, answer.value(HEADER), upstream.last.body) == (415, None, b"no gzip")


def test_calls_without_a_conversation_have_a_session_by_header_only(program: Program) -> None:
    embed = {"model": "text-e", "input": "Hello"}
    for headers, name in (((), None), (("x-session-id: listed",), "listed")):
        assert program.post("/v1/embeddings", embed, *headers).value(HEADER) == name
        assert program.get("/openai/v1/files/f1", *headers).value(HEADER) == name
    assert program.get("/health", "x-session-id: listed").value(HEADER) is None
    assert counted(program, "listed", 2)["models"] == ["text-e"]


def test_errors_say_their_session_and_count_in_it(program: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests"))
    body = asked("Will this fail?")
    failed = program.post(CHAT, body)
    assert failed.status == 429
    unknown = program.post(CHAT, {**body, "model": "nobody-knows"})
    assert unknown.status == 404 and session(unknown) == session(failed)
    assert program.post(CHAT, body).status == 200
    assert counted(program, session(failed), 3)["errors"] == 2


def test_responses_continue_by_the_id_of_an_answer(program: Program) -> None:
    first = program.post(RESPONSES, {"model": "gpt-x", "input": "Remember the ferry"})
    second = {"model": "gpt-x", "input": "Which one?", "previous_response_id": first.json["id"]}
    assert session(program.post(RESPONSES, second)) == session(first)


def test_responses_continue_an_answer_whose_stream_has_not_ended_yet(program: Program, upstream: Upstream) -> None:
    """Clients go on at the last event; the end of the body may come later."""
    gate = Gate()
    frames = [frame.replace(b"resp_fake", b"resp_bridge") for frame in vendors.response_frames("gpt-x")]
    upstream.next(Reply(headers=vendors.SSE, pieces=[*frames, gate], framing="chunked"))
    with program.client() as client:
        client.post(RESPONSES, {"model": "gpt-x", "input": "Remember the bridge", "stream": True})
        head = client.read_head()
        client.read_body_until(b"response.completed")
        second = {"model": "gpt-x", "input": "Which one?", "previous_response_id": "resp_bridge"}
        assert session(program.post(RESPONSES, second)) == head.value(HEADER)
        gate.open()


@pytest.mark.ledger("X3")
def test_equal_requests_at_the_same_time_are_sessions_of_their_own(program: Program) -> None:
    ready = threading.Barrier(16)

    def ask(number: int) -> str:
        with program.client() as client:
            ready.wait()
            client.post(CHAT, asked("Who of us is first?"))
            return session(client.read_answer())

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) > 1, "those that did not overlap are retries"


@pytest.mark.ledger("X3")
def test_trimmed_conversations_go_on_and_reset_phrases_end_them(program: Program) -> None:
    said = [
        "Name three castles in the north of the country that one can sleep in",
        "There are many, for instance the one above the harbour and two in the hills",
        "Which of the two in the hills has a garden that is open all year round",
        "The eastern one, and its gardener shows it himself on the first of the month",
        "Then write to him that I shall come in May with four friends and a dog",
    ]
    [first] = {session(program.post(CHAT, asked(*said[:count]))) for count in (1, 3, 5)}
    fuzzy = program.get("/stats").json["sessions"]["fuzzy_matches"]
    assert session(program.post(CHAT, asked(*said[2:], "Done", "Thanks"))) == first
    assert program.get("/stats").json["sessions"]["fuzzy_matches"] == fuzzy + 1
    assert session(program.post(CHAT, asked(*said, "Done", "What does /new do?"))) == first
    assert session(program.post(CHAT, asked(*said, "Done", "/new"))) != first


@pytest.mark.ledger("X4")
def test_figures_are_shown_on_every_page(program: Program) -> None:
    before = program.get("/stats").json["sessions"]
    program.post(CHAT, asked("Who counts me?"))
    program.post(CHAT, asked("Who counts me?"))
    after = program.get("/stats").json["sessions"]
    assert {name: after[name] - before[name] for name in ("active", "created", "hits", "misses")} == {
        "active": 1,
        "created": 1,
        "hits": 1,
        "misses": 1,
    }
    assert {"creation_rate_per_minute", "hit_rate", "fuzzy_matches", "expired", "evicted"} <= after.keys()
    assert program.metrics_json()["sessions"]["created"] == after["created"]
    assert program.get("/sessions").json["figures"]["created"] == after["created"]
    metrics = program.metrics()
    assert metrics["llmproxy_sessions_active"] == after["active"]
    assert metrics["llmproxy_sessions_created_total"] == after["created"]


def test_the_pages_of_sessions(program: Program) -> None:
    name = "a/b c?%u"
    assert (
        session(program.post(CHAT, asked("Where am I listed?"), f"x-session-id: {name}", "User-Agent: \udcff\udcfe"))
        == name
    )
    counted(program, "a%2Fb%20c%3F%25u", 1)
    assert program.get("/sessions/a/b%20c%3F%25u").json["id"] == name
    listed = program.get("/sessions?limit=1")
    assert [each["id"] for each in listed.json["sessions"]] == [name]
    assert (listed.json["store"], listed.json["available"]) == ("memory", True)
    for target, status in (
        ("/sessions/nobody", 404),
        ("/sessions/%FF", 404),
        ("/sessions/%00", 404),
        ("/sessions?limit=0", 400),
        ("/sessions?limit=x", 400),
        ("/sessions?limit=" + "1" * 5000, 400),
    ):
        answer = program.get(target)
        assert (answer.status, "error" in answer.json) == (status, True), target
    with program.client() as client:
        client.request("DELETE", f"/sessions/{name[0]}")
        assert client.read_answer("DELETE").status == 405
    with program.client() as client:
        client.request("HEAD", "/sessions")
        assert client.read_answer("HEAD").status == 200


def test_traces_and_printed_lines_name_the_session(program: Program) -> None:
    name = session(program.post(CHAT, asked("Who wrote this down?")))

    def records() -> list[Any]:
        files = Path(program.directory, "traces").rglob("*.json")
        return [found for file in files if (found := json.loads(file.read_bytes()))["session"] == name]

    until(records, "the record")
    assert len(records()) == 1
    until(lambda: name[:8] in program.out, "the line")


def test_a_stream_tells_its_session_before_it_ends(program: Program, upstream: Upstream) -> None:
    gate = Gate()
    upstream.next(vendors.streamed([*vendors.chat_frames("gpt-x", False, False)]))
    first = session(program.post(CHAT, asked("Do you stream?")))
    pieces: list[bytes | Gate] = [*vendors.chat_frames("gpt-x", False, False)]
    pieces.insert(1, gate)
    upstream.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked"))
    with program.client() as client:
        client.post(CHAT, asked("Do you stream?", stream=True))
        head = client.read_head()
        assert head.value(HEADER) == first
        other = program.post(CHAT, asked("Do you stream?", "Yes", "And now?"))
        assert session(other) == first, "it is known while the answer is still under way"
        gate.open()


def test_a_body_of_30_megabytes_belongs_to_a_conversation(program: Program) -> None:
    long = "word " * 6_000_000
    first = session(program.post(CHAT, asked(long)))
    assert session(program.post(CHAT, asked(long, "Yes", "Go on"))) == first


@pytest.mark.ledger("X2")
def test_sessions_are_bounded_in_number_and_in_time(upstream: Upstream, tmp_path: Path) -> None:
    settings = "max_sessions: 2, session_ttl_seconds: 1h"
    with Program(tmp_path, config=config(upstream, settings)) as program:
        names = [session(program.post(CHAT, asked(text))) for text in ("one", "two", "one", "three")]
        assert names[0] == names[2]
        assert {each["id"] for each in program.get("/sessions").json["sessions"]} == {names[0], names[3]}
        assert program.get("/stats").json["sessions"]["evicted"] == 1
        assert session(program.post(CHAT, asked("two"))) != names[1]


@pytest.mark.ledger("X2")
def test_a_session_that_is_not_used_is_over(upstream: Upstream, tmp_path: Path) -> None:
    with Program(tmp_path, config=config(upstream, "session_ttl_seconds: 50ms")) as program:
        name = session(program.post(CHAT, asked("one")))
        until(lambda: program.get(f"/sessions/{name}").status == 404, "the session's end")
        assert program.get("/stats").json["sessions"]["expired"] == 1
        assert session(program.post(CHAT, asked("one"))) != name

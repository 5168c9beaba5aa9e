"""A dialect that exists only here, in the whole program: it is one value in the catalog, and everything works with it.

The model stands in the path, streams are lines of JSON, members and errors have other names. Nothing below `llmproxy/`
knows any of it (`tests/support/toy_dialect.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support import toy_vendor, vendors
from tests.support.program import Program, clean_environment
from tests.support.provider import Gate, Reply, Upstream
from tests.support.raw_http import RawAnswer
from tests.support.sdk_conversations import ASKERS, NAMES, SdkConversation
from tests.support.vendors import IN, OUT, PIECES, TEXT, TOOL_CALLS

KINDS = ("chat", "responses", "messages", "toy")
PATHS = {
    "chat": b"/v1/chat/completions",
    "responses": b"/v1/responses",
    "messages": b"/v1/messages",
}
GADGETS = [{"fn": name, "about": f"The {name}", "takes": {"type": "object"}} for name in NAMES]
CALLS = [(ref, fn, json.loads(text)) for ref, fn, text in TOOL_CALLS]
COMMAND = [sys.executable, "-m", "tests.support.toy_program"]
_WORDS = (f"Nobody said number {number} before" for number in count())


@pytest.fixture(scope="module")
def lasting_toy_upstream() -> Iterator[Upstream]:
    with Upstream(toy_vendor.answer) as upstream:
        yield upstream


@pytest.fixture
def upstream(lasting_toy_upstream: Upstream) -> Iterator[Upstream]:
    lasting_toy_upstream.forget()
    yield lasting_toy_upstream
    lasting_toy_upstream.check()


@pytest.fixture(scope="module")
def program(lasting_toy_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    url = lasting_toy_upstream.url
    directory = tmp_path_factory.mktemp("toy")
    (directory / "llmproxy.yaml").write_text(f"""
providers:
  - {{name: on-toy, type: openai-compatible, base_url: "{url}/v1", dialects: [toy], api_key: toy-key}}
  - {{name: on-chat, type: openai-compatible, base_url: "{url}/v1", dialects: [chat]}}
  - {{name: on-responses, type: openai-compatible, base_url: "{url}/v1", dialects: [responses]}}
  - {{name: on-messages, type: anthropic, base_url: "{url}"}}
  - {{name: pretend, type: stub}}
models:
  - {{name: pet, targets: [{{provider: on-toy, model: "cats/tom:1"}}]}}
  - {{name: two, targets: [{{provider: on-chat, model: first}}, {{provider: on-toy, model: second}}]}}
middlewares:
  - {{type: sessions}}
  - {{type: trace, config: {{directory: ./traces, include_headers: true, include_body: true}}}}
  - {{type: cache}}
""")
    with Program.of([*COMMAND, "serve", "--port", "0"], directory) as program:
        yield program


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind} provider")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ask(program: Program, model: str, body: dict[str, Any], *headers: str, stream: bool = False) -> RawAnswer:
    """Return the answer to a toy client."""
    verb = "stream" if stream else "run"
    return program.post(f"/toy/{model}:{verb}", body, *headers)


def hello(**more: Any) -> dict[str, Any]:
    """Return a request that nobody made before."""
    return {"talk": [{"by": "human", "say": next(_WORDS)}], **more}


def parts_of(answer: RawAnswer) -> tuple[str, list[tuple[str, str, Any]], dict[str, Any]]:
    """Text, tool calls and ending of an answer, whole or in lines."""
    assert answer.status == 200, answer
    if answer.value("content-type") == "application/json":
        value = answer.json
        uses = [part["use"] for part in value["said"] if "use" in part]
        text = "".join(part.get("text", "") for part in value["said"])
        return text, [(use["ref"], use["fn"], use["with"]) for use in uses], value
    assert answer.value("content-type") == "application/jsonl"
    lines = [json.loads(each) for each in answer.body.splitlines()]
    assert "begin" in lines[0] and "end" in lines[-1]
    kinds = [each["open"] for each in lines if "open" in each]
    texts = ["".join(each["more"] for each in lines if each.get("of") == part) for part in range(len(kinds))]
    said = "".join(text for kind, text in zip(kinds, texts, strict=True) if kind == "text")
    uses = [(kind, text) for kind, text in zip(kinds, texts, strict=True) if kind != "text"]
    return said, [(kind["ref"], kind["fn"], json.loads(text)) for kind, text in uses], lines[-1]["end"]


# -- a client of the toy


def test_a_toy_client_is_answered_by_every_provider(
    program: Program, upstream: Upstream, kind: str, stream: bool
) -> None:
    body = hello(persona="Be kind", cap=50)
    text, calls, ending = parts_of(ask(program, f"on-{kind}%2Fclaude-test", body, stream=stream))
    assert (text, calls) == (TEXT, [])
    assert (ending["why"], ending["cost"]) == ("done", {"read": IN, "wrote": OUT})
    verb = "stream" if stream else "run"
    assert upstream.only.target == PATHS.get(kind, f"/v1/toy/claude-test:{verb}".encode())
    sent = json.loads(upstream.only.body)
    assert body["talk"][0]["say"] in upstream.only.body.decode() and "Be kind" in upstream.only.body.decode()
    if kind != "toy":
        assert sent["model"] == "claude-test" and sent.get("stream", False) is stream


def test_tools_go_there_and_back(program: Program, upstream: Upstream, kind: str, stream: bool) -> None:
    body = hello(gadgets=GADGETS, cap=50)
    _, calls, ending = parts_of(ask(program, f"on-{kind}%2Fclaude-test", body, stream=stream))
    assert calls == CALLS and ending["why"] == "use"
    uses = [{"ref": ref, "fn": fn, "with": arguments} for ref, fn, arguments in calls]
    results = [{"by": "gadget", "ref": ref, "gave": f"result of {ref}"} for ref, _, _ in calls]
    again = {"talk": [*body["talk"], {"by": "bot", "uses": uses}, *results], "cap": 50}
    text, _, _ = parts_of(ask(program, f"on-{kind}%2Fclaude-test", again, stream=stream))
    assert text == TEXT
    for ref, fn, _ in calls:
        assert fn in upstream.last.body.decode() and f"result of {ref}" in upstream.last.body.decode()


def test_a_relayed_body_keeps_its_bytes_both_ways(program: Program, upstream: Upstream, stream: bool) -> None:
    raw = b'{ "talk":[{"by":"human", "say":"bytes %d"}],  "heat":0.50 }' % stream
    with program.client() as client:
        target = f"/v1/toy/pet:{'stream' if stream else 'run'}"
        client.request("POST", target, "Content-Type: application/json", "Connection: close", body=raw)
        answer = client.read_answer()
    assert upstream.only.body == raw
    assert upstream.only.target == f"/v1/toy/cats%2Ftom%3A1:{'stream' if stream else 'run'}".encode()
    assert upstream.only.value("authorization") == "Bearer toy-key"
    expected = (
        toy_vendor.frames("cats/tom:1", False)
        if stream
        else [json.dumps(toy_vendor.whole("cats/tom:1", False)).encode()]
    )
    assert answer.body == b"".join(expected) or answer.json == toy_vendor.whole("cats/tom:1", False)


def test_below_a_prefix_the_path_stays(program: Program, upstream: Upstream) -> None:
    parts_of(program.post("/on-toy/toy/tom:run", hello()))
    assert upstream.only.target == b"/v1/toy/tom:run"


def test_the_next_target_gets_its_own_path(program: Program, upstream: Upstream, stream: bool) -> None:
    upstream.next(vendors.failure(503, "Busy"))
    text, _, _ = parts_of(ask(program, "two", hello(), stream=stream))
    assert text == TEXT
    first, second = upstream.requests
    assert (first.target, json.loads(first.body)["model"]) == (b"/v1/chat/completions", "first")
    assert second.target == f"/v1/toy/second:{'stream' if stream else 'run'}".encode()


def test_the_stub_speaks_it(program: Program, stream: bool) -> None:
    text, _, ending = parts_of(ask(program, "pretend%2Fstub", hello(), stream=stream))
    assert text == "stub response" and ending["cost"]["wrote"] == 2


# -- other clients, and the toy as the provider


@pytest.fixture(params=ASKERS, ids=lambda asker: f"{asker.dialect} client")
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    made: Any = request.param(program.url)
    with made.client:
        yield made


def test_every_client_is_answered_by_a_toy(asker: SdkConversation, upstream: Upstream, stream: bool) -> None:
    asker.say(next(_WORDS))
    turn = asker.ask("pet", stream=stream)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, [], asker.stops[0])
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT)
    assert upstream.only.target == f"/v1/toy/cats%2Ftom%3A1:{'stream' if stream else 'run'}".encode()


def test_every_client_has_its_tools_called_by_a_toy(asker: SdkConversation, upstream: Upstream, stream: bool) -> None:
    asker.say(next(_WORDS))
    turn = asker.ask("pet", stream=stream, tools=True)
    assert (turn.calls, turn.stop) == (CALLS, asker.stops[1])
    assert [each["fn"] for each in json.loads(upstream.last.body)["gadgets"]] == list(NAMES)
    asker.give({ref: f"result of {ref}" for ref, _, _ in turn.calls})
    assert asker.ask("pet", stream=stream, tools=True).text == TEXT
    talk = json.loads(upstream.last.body)["talk"]
    given = [(each["ref"], each["gave"]) for each in talk if each["by"] == "gadget"]
    assert [ref for ref, _ in given] == [ref for ref, _, _ in CALLS]
    assert all(f"result of {ref}" in gave for ref, gave in given)  # as text, or as JSON where the SDK sends that


# -- errors


def test_our_errors_are_written_as_a_toy_writes_them(program: Program, upstream: Upstream) -> None:
    unknown = ask(program, "nobody", hello())
    assert unknown.status == 404 and "nobody" in unknown.json["oops"]["note"]
    wrong = ask(program, "on-chat%2Fm", {"talk": [{"by": "cat", "say": "miau"}]})
    assert (wrong.status, wrong.json["oops"]["num"]) == (400, 400)
    assert "talk[0].by" in wrong.json["oops"]["note"]
    assert upstream.requests == []


def test_errors_of_providers_are_translated_both_ways(program: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(429, "Slow down"))
    from_chat = ask(program, "on-chat%2Fm", hello())
    assert (from_chat.status, from_chat.json["oops"]["note"]) == (429, "vendor says 429")
    upstream.next(toy_vendor.refusal(422, "no such cat"))
    from_toy = program.post("/v1/chat/completions", {"model": "pet", "messages": [{"role": "user", "content": "Hi"}]})
    assert (from_toy.status, from_toy.json["error"]["message"]) == (422, "no such cat")


def test_a_stream_that_breaks_ends_with_an_error_line(program: Program, upstream: Upstream) -> None:
    begun = toy_vendor.frames("m", False)[:4]
    upstream.next(Reply(headers=toy_vendor.LINES, pieces=begun, framing="chunked", end="cut"))
    answer = ask(program, "on-toy%2Fm", hello(), stream=True)
    lines = [json.loads(each) for each in answer.body.splitlines()]
    assert [line["more"] for line in lines if "more" in line] == list(PIECES[:2])
    assert list(lines[-1]) == ["oops"] and lines[-1]["oops"]["num"] >= 500


def test_what_a_toy_reports_in_a_stream_reaches_other_clients(program: Program, upstream: Upstream) -> None:
    begun = Gate()  # before that, another call would be made
    lines: list[bytes | Gate] = [*toy_vendor.frames("m", False)[:4], begun, b'{"oops":{"note":"the toy fell"}}\n']
    upstream.next(Reply(headers=toy_vendor.LINES, pieces=lines, framing="chunked"))
    body = {"model": "pet", "stream": True, "messages": [{"role": "user", "content": next(_WORDS)}]}
    with program.client() as client:
        client.post("/v1/chat/completions", body)
        head = client.read_head()
        begun.open()
        answer = client.read_body(head)
    assert b"the toy fell" in answer.body and b"[DONE]" not in answer.body


# -- what watches and answers instead


def commanded(program: Program, *arguments: str) -> str:
    """Return what a command prints in the program's directory."""
    environment = clean_environment(program.directory)
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=program.directory, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_exchange_is_traced_and_counted(program: Program, upstream: Upstream, stream: bool) -> None:
    before = program.metric("llmproxy_tokens_total", type="output")
    body = hello(persona="Be traced")
    answer = ask(program, "on-toy%2Ftraced", body, "x-request-id: " + ("lines" if stream else "whole"), stream=stream)
    parts_of(answer)
    assert program.metric("llmproxy_tokens_total", type="output") - before == OUT
    name = answer.value("x-llmproxy-session")
    shown = commanded(program, "trace", "ls", "--session", str(name), "--json")
    [record] = [json.loads(line) for line in shown.splitlines()]
    assert (record["dialect"], record["model"], record["stream"]) == ("toy", "on-toy/traced", stream)
    assert record["usage"]["output"] == OUT and record["finish_reason"] == "end"
    told = commanded(program, "trace", "show", record["id"])
    assert "Be traced" in told and body["talk"][0]["say"] in told and TEXT in told


def test_a_conversation_is_one_session_in_every_dialect(program: Program, upstream: Upstream) -> None:
    body = hello()
    first = ask(program, "on-toy%2Fm", body)
    text, _, _ = parts_of(first)
    talk = [*body["talk"], {"by": "bot", "say": text}, {"by": "human", "say": next(_WORDS)}]
    second = ask(program, "on-toy%2Fm", {"talk": talk}, stream=True)
    other = ask(program, "on-toy%2Fm", hello())
    sessions = [each.value("x-llmproxy-session") for each in (first, second, other)]
    assert sessions[0] == sessions[1] != sessions[2]
    roles = {"human": "user", "bot": "assistant"}
    messages = [{"role": roles[each["by"]], "content": each["say"]} for each in talk]
    again = program.post("/v1/chat/completions", {"model": "pet", "messages": [*messages, messages[0]]})
    assert again.value("x-llmproxy-session") == sessions[0]


def test_an_answer_is_cached_in_both_forms(program: Program, upstream: Upstream, stream: bool) -> None:
    body = hello(heat=0)
    first = parts_of(ask(program, "on-toy%2Fm", body, stream=stream))
    for form in (stream, not stream):
        again = ask(program, "on-toy%2Fm", body, stream=form)
        assert again.value("x-cache") == "hit"
        assert parts_of(again)[:2] == first[:2]
    assert ask(program, "on-toy%2Fother", body, stream=stream).value("x-cache") == "miss"
    assert ask(program, "on-toy%2Fm", {**body, "heat": 1}, stream=stream).value("x-cache") == "bypass"
    assert len(upstream.requests) == 3


def test_commands_know_it(program: Program, tmp_path: Path) -> None:
    told = commanded(program, "explain", "pet")
    assert "toy: POST /v1/toy/pet:run" in told and "/v1/toy/cats%2Ftom%3A1:run" in told
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}))
    translated = commanded(program, "translate", "--from", "chat", "--to", "toy", str(file))
    assert json.loads(translated) == {"talk": [{"by": "human", "say": "Hi"}]}

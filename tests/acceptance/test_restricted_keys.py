"""What keys do not open: other models and providers, other clients' things, and the program to those without one."""

from __future__ import annotations

import json

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.team import CHAT, CI, CLAUDE, GPT, OTHER, RELAY, ask

pytestmark = pytest.mark.ledger("A1")


@pytest.mark.parametrize(
    ("key", "model", "path", "status"),
    [
        (GPT, "gpt-x", CHAT, 200),
        (GPT, "main/gpt-x", CHAT, 200),
        (GPT, "gpt-x", "/main/v1/chat/completions", 200),
        (GPT, "claude-x", CHAT, 403),
        (GPT, "claude/gpt-x", "/v1/messages", 200),
        (GPT, "both", CHAT, 403),
        (GPT, "secret-model", CHAT, 403),
        (GPT, "unknown-model", CHAT, 403),
        (GPT, "gpt-x/../claude-x", CHAT, 200),
        (GPT, "own-x", "/main/v1/chat/completions", 403),
        (GPT, "claude-x", "/openai/chat/completions", 403),
        (GPT, "claude-x", "/openai-proxy/chat/completions", 403),
        (GPT, "gpt-x", "/main/v1/unheard-of", 403),
        (GPT, "gpt-x", "/v1/files", 403),
        (GPT, "gpt-x", "/v1/messages/batches", 403),
        (RELAY, "gpt-x", "/main/v1/unheard-of", 404),
        (RELAY, "claude-x", CHAT, 403),
        (CLAUDE, "both", CHAT, 200),
        (CLAUDE, "claude-x", "/claude/v1/messages", 200),
        (CLAUDE, "gpt-x", CHAT, 403),
        (CLAUDE, "gpt-x", "/main/v1/chat/completions", 403),
        (CLAUDE, "x", "/claude/v1/unheard-of", 403),
    ],
)
def test_a_restricted_key_reaches_what_it_may(
    team: Program, upstream: Upstream, key: str, model: str, path: str, status: int
) -> None:
    assert ask(team, model, f"Authorization: Bearer {key}", path=path)[0] == status
    assert bool(upstream.requests) is (status in (200, 404))
    if key == CLAUDE and upstream.requests:
        assert upstream.only.path == "/v1/messages"


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/gemini-x%2F..%2Fclaude-x:generateContent",
        "/v1beta/models/claude-x:generateContent",
        "/v1beta/models/gemini-x:generateContent/../claude-x:generateContent",
        "/v1beta//models/claude-x:generateContent",
        "/model/claude-x/converse",
        "/model/gpt-x%2F..%2Fclaude-x/converse",
        "/main/..%2fclaude/v1/messages",
        "//claude/v1/messages",
        "http://localhost/model/claude-x/converse",
    ],
)
def test_no_path_reaches_another_model(team: Program, upstream: Upstream, target: str) -> None:
    with team.client() as client:
        client.request("POST", target, f"x-api-key: {GPT}", "Content-Type: application/json", body=b'{"contents": []}')
        assert client.read_answer().status in (400, 403, 404)
    assert not upstream.requests


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "claude-x", "model": "gpt-x", "messages": []}',
        b'{"model": "gpt-x", "Model": "claude-x", "messages": []}',
        b'{"model": "gpt-x", "models": ["gpt-y", "claude-x"], "messages": []}',
        b'{"model": null, "messages": []}',
        b'{"messages": []}',
        b"[]",
        b"model=gpt-x",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/main/v1/chat/completions"])
def test_no_body_reaches_another_model(team: Program, upstream: Upstream, path: str, body: bytes) -> None:
    with team.client() as client:
        client.request("POST", path, f"x-api-key: {GPT}", "Content-Type: application/json", body=body)
        assert client.read_answer().status in (400, 403)
    assert not upstream.requests


def test_only_what_a_key_may_use_is_listed(team: Program) -> None:
    def names(key: str) -> set[str]:
        return {each["id"] for each in team.get("/v1/models", f"x-api-key: {key}").json["data"]}

    everything = names(CI)
    assert {"both", "secret-model"} <= everything
    assert all(name.split("/")[-1].startswith(("gpt-", "gemini-")) for name in names(GPT))
    assert names(CLAUDE) == {name for name in everything if name == "both" or "claude" in name}
    for key, model, status in ((GPT, "both", 404), (GPT, "claude-x", 404), (CLAUDE, "both", 200), (CI, "both", 200)):
        assert team.get(f"/v1/models/{model}", f"x-api-key: {key}").status == status


def test_names_of_other_models_are_not_told(team: Program) -> None:
    status, body = ask(team, "gpt", f"x-api-key: {GPT}")
    assert status == 403 and "secret-model" not in json.dumps(body)
    status, body = ask(team, "nobody-has", f"x-api-key: {CI}")
    assert status == 404 and "secret-model" in json.dumps(body)


def test_stored_responses_belong_to_the_key(team: Program) -> None:
    body = {"model": "claude/claude-x", "input": "Hi"}
    stored = team.post("/v1/responses", body, f"x-api-key: {CI}").json["id"]
    statuses = {
        key: team.get(f"/v1/responses/{stored}", f"x-api-key: {key}").status for key in (CI, OTHER, GPT, CLAUDE)
    }
    assert statuses.pop(CI) == 200
    assert set(statuses.values()) == {404}


def test_a_restricted_key_finds_what_it_has_stored(team: Program) -> None:
    body = {"model": "claude-x", "input": "Hi"}
    stored = team.post("/v1/responses", body, f"x-api-key: {CLAUDE}").json["id"]
    assert team.get(f"/v1/responses/{stored}", f"x-api-key: {CLAUDE}").status == 200
    assert team.get(f"/v1/responses/{stored}", f"x-api-key: {GPT}").status == 404


def test_thousands_of_unknown_keys_cost_little(team: Program, upstream: Upstream) -> None:
    before, lines, records = (
        team.memory_bytes(),
        team.err.count("\n"),
        len(list((team.directory / "traces").rglob("*"))),
    )
    count = 0
    with team.client() as client:
        for batch in range(30):
            heads = [
                f"GET /v1/files HTTP/1.1\r\nHost: localhost\r\nx-api-key: wrong-{batch}-{number}\r\n\r\n"
                for number in range(100)
            ]
            client.send("".join(heads).encode())
            for _ in heads:
                count += client.read_answer("GET").status == 401
    assert count == 3_000
    assert team.memory_bytes() - before < 8 * 1024 * 1024
    assert team.err.count("\n") - lines <= 2, team.err
    assert len(list((team.directory / "traces").rglob("*"))) - records < 300, "those of the tests before"
    assert not upstream.requests


@pytest.mark.parametrize(
    "field",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "X: a\rb",
        "X: a\x00b",
        "X: one\r\n two",
        "Authorization: Bearer a\rb",
    ],
)
def test_a_key_does_not_help_to_smuggle(team: Program, upstream: Upstream, field: str) -> None:
    with team.client() as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {CI}\r\n{field}\r\n\r\n".encode())
        client.send(b"0\r\n\r\nGET /v1/files/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_answer().status in (400, 501)
    assert not upstream.requests


def test_a_request_does_not_inherit_the_key_of_the_one_before_it(team: Program, upstream: Upstream) -> None:
    body = b'{"model": "gpt-x", "messages": []}'
    heads = [
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        for more in (f"x-api-key: {CI}\r\n", "")
    ]
    with team.client() as client:
        client.send(b"".join(head.encode() + body for head in heads))
        assert [client.read_answer().status for _ in heads] == [200, 401]
    assert len(upstream.requests) == 1


def test_a_name_that_resolves_here_is_worth_nothing_without_a_key(team: Program, upstream: Upstream) -> None:
    for headers, status in (((), 401), ((f"x-api-key: {CI}",), 200)):
        with team.client() as client:
            lines = "\r\n".join(
                ["GET /v1/models HTTP/1.1", "Host: evil.example", "Origin: http://evil.example", *headers]
            )
            client.send(f"{lines}\r\n\r\n".encode())
            assert client.read_answer("GET").status == status

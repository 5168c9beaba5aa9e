"""A program whose clients have tokens (JWT): from a shared secret, and from keys that a server publishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.tokens import ED25519, ISSUER, P256, RSA, SECRET, jwk, jwks, pem, token, unsigned
from tests.support.waiting import until

CHAT = "/v1/chat/completions"

pytestmark = pytest.mark.ledger("A1")


class Publisher(ThreadingHTTPServer):
    """Publishes keys, which may change or be missing. `asked` counts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Published)
        self.content: bytes | None = jwks(jwk(RSA, "rsa-1"), jwk(P256, "ec-1"), jwk(ED25519, "ed-1"))
        self.asked = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/jwks.json"


class Published(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked += 1
        content = self.server.content
        self.send_response(200 if content is not None else 500)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def lasting_tokens(
    lasting_upstream: Upstream, publisher: Publisher, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    config = f"""
server: {{admin_key: an-admin-key}}
auth:
  mode: [keys, jwt]
  keys: [{{name: ci, key: key-of-ci}}]
  jwt:
    issuer: {ISSUER}
    audience: llmproxy
    secret: "${{JWT_SECRET}}"
    jwks_url: {publisher.url}
    jwks_min_interval: 1s
    claims: {{team: team, models: models}}
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", models: ["*"]}}
"""
    home = tmp_path_factory.mktemp("tokens")
    with Program(home, "serve", config=config, extra={"JWT_SECRET": SECRET}) as program:
        yield program


@pytest.fixture
def program(lasting_tokens: Program, upstream: Upstream) -> Program:
    return lasting_tokens


def status(program: Program, key: str, model: str = "gpt-x") -> int:
    return program.post(CHAT, {"model": model, "messages": []}, f"Authorization: Bearer {key}").status


def test_s1_a_token_as_bearer(program: Program, upstream: Upstream) -> None:
    """The example of the requirements, with a token of each kind beside keys."""
    for sent in (token(SECRET), token(RSA, "rsa-1"), token(P256, "ec-1"), token(ED25519, "ed-1"), token(RSA)):
        assert status(program, sent) == 200
        assert sent.encode() not in upstream.last.head
    assert status(program, "key-of-ci") == 200


def test_tokens_that_are_not_valid_are_refused(program: Program, upstream: Upstream) -> None:
    now_s = int(time.time())
    forged = [
        token(SECRET, exp=now_s - 60),
        token(SECRET, nbf=now_s + 600),
        token(SECRET, iss="https://evil.example/"),
        token(SECRET, aud="another"),
        token("another-secret-with-more-than-32-bytes"),
        unsigned({"alg": "none"}, {"sub": "ada", "iss": ISSUER, "aud": "llmproxy", "exp": now_s + 60}),
        token(P256, "rsa-1"),
        f"{token(RSA, 'rsa-1')}x",
        pem(RSA).hex(),
    ]
    assert {status(program, each) for each in forged} == {401}
    assert not upstream.requests


def test_claims_restrict(program: Program) -> None:
    assert status(program, token(SECRET, models=["gpt-*"])) == 200
    assert status(program, token(SECRET, models=["claude-*"])) == 403
    assert status(program, token(SECRET, models=[])) == 401


def test_the_name_is_shown(program: Program) -> None:
    status(program, token(SECRET, sub="grace"))
    stats = program.get("/stats?by=client", "Authorization: Bearer an-admin-key").body.decode()
    assert "grace" in stats and "ada" in stats


def test_a_token_of_a_megabyte_is_refused(program: Program) -> None:
    with program.client() as client:
        client.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ")
        client.offer(token(SECRET, padding="x" * 700_000).encode(), 0.2)
        assert client.read_answer("GET").status in (400, 431)
    with program.client() as client:
        client.request("GET", "/v1/models", f"x-api-key: {token(SECRET, padding='x' * 30_000)}")
        assert client.read_answer("GET").status == 401


def test_keys_are_rotated_and_outlive_an_outage(program: Program, publisher: Publisher) -> None:
    assert status(program, token(RSA, "rsa-1")) == 200
    publisher.content = None
    until(lambda: status(program, token(P256, "unknown")) == 401 and "cannot be used" in program.err, "the outage")
    assert status(program, token(RSA, "rsa-1", sub="new")) == 200
    publisher.content = jwks(jwk(P256, "ec-2"))
    until(lambda: status(program, token(P256, "ec-2")) == 200, "the new key")
    assert status(program, token(RSA, "rsa-1")) == 401, "its key is withdrawn"
    asked = publisher.asked
    for number in range(200):
        assert status(program, token(P256, f"flood-{number}")) == 401
    assert publisher.asked - asked <= 3

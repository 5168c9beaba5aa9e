"""Web pages as clients (CORS): who may ask, who may read, and with which headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import RawAnswer

CHAT = "/v1/chat/completions"
APP, EVIL = "https://app.example.com", "https://evil.example"
KEY = "key-of-the-page"

pytestmark = pytest.mark.ledger("A3")


@pytest.fixture(scope="module")
def lasting_site(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
server: {{cors: {{allow_origins: ["{APP}"], allow_credentials: true, max_age: 1h}}}}
auth: {{keys: [{{name: page, key: {KEY}}}]}}
llm: {{base_url: "{lasting_upstream.url}/v1", type: openai, api_key: ours}}
"""
    with Program(tmp_path_factory.mktemp("site"), "serve", config=config) as program:
        yield program


@pytest.fixture
def site(lasting_site: Program, upstream: Upstream) -> Program:
    return lasting_site


def options(program: Program, origin: str, path: str = CHAT) -> RawAnswer:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, content-type")
    with program.client() as client:
        client.request("OPTIONS", path, f"Origin: {origin}", *asked)
        return client.read_answer("OPTIONS")


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/stats", "/unheard/of"])
def test_a_preflight_needs_no_key(site: Program, path: str) -> None:
    answer = options(site, APP, path)
    assert answer.status == 204
    assert answer.value("access-control-allow-origin") == APP
    assert answer.value("access-control-allow-headers") == "authorization, content-type"
    assert "POST" in (answer.value("access-control-allow-methods") or "")
    assert answer.value("access-control-max-age") == "3600"
    assert answer.value("access-control-allow-credentials") == "true"


def test_a_preflight_of_another_page_is_refused(site: Program, upstream: Upstream) -> None:
    answer = options(site, EVIL)
    assert answer.status == 401 and answer.value("access-control-allow-origin") is None
    assert not upstream.requests


@pytest.mark.parametrize("stream", [False, True])
def test_answers_and_streams_may_be_read_by_the_page(site: Program, stream: bool) -> None:
    body = {"model": "gpt-x", "messages": [], "stream": stream}
    answer = site.post(CHAT, body, f"Origin: {APP}", f"Authorization: Bearer {KEY}")
    assert answer.status == 200
    assert answer.value("access-control-allow-origin") == APP
    assert "x-request-id" in (answer.value("access-control-expose-headers") or "")
    assert "Origin" in answer.values("vary")


def test_errors_may_be_read_too(site: Program) -> None:
    for path, headers, status in ((CHAT, (), 401), ("/v1/%2e%2e/x", (f"x-api-key: {KEY}",), 400)):
        answer = site.post(path, {}, f"Origin: {APP}", *headers)
        assert (answer.status, answer.value("access-control-allow-origin")) == (status, APP)


def test_what_a_provider_allows_does_not_count(site: Program, upstream: Upstream) -> None:
    allowed = (("Access-Control-Allow-Origin", "*"), ("x-ratelimit-limit-requests", "9"), ("x-secret", "1"))
    for origin, found in ((APP, APP), (EVIL, None)):
        upstream.next(Reply(pieces=[b"{}"], headers=allowed))
        answer = site.post(CHAT, {"model": "gpt-x"}, f"Origin: {origin}", f"x-api-key: {KEY}")
        assert answer.value("access-control-allow-origin") == found
        if found:
            exposed = (answer.value("access-control-expose-headers") or "").split(", ")
            assert {"x-ratelimit-limit-requests", "x-request-id"} <= set(exposed) and "x-secret" not in exposed


def test_a_simple_request_of_another_page_needs_a_key_like_any_other(site: Program, upstream: Upstream) -> None:
    with site.client() as client:
        client.request("POST", CHAT, f"Origin: {EVIL}", "Content-Type: text/plain", body=b'{"model": "gpt-x"}')
        assert client.read_answer().status == 401
    assert not upstream.requests


@pytest.mark.ledger("C9")
def test_s4_the_origins_of_the_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As the requirements run it: the stub, and one origin that is echoed."""
    environment = {"LLM_PROVIDER": "stub", "CORS_ALLOW_ORIGINS": "http://localhost:3000,https://other.example"}
    with Program(tmp_path_factory.mktemp("s4"), "serve", extra=environment) as program:
        for origin in ("http://localhost:3000", "https://other.example"):
            assert options(program, origin).value("access-control-allow-origin") == origin
            answer = program.post(
                CHAT, {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}, f"Origin: {origin}"
            )
            assert (answer.status, answer.value("access-control-allow-origin")) == (200, origin)
        assert options(program, EVIL).status == 403
        assert program.post(CHAT, {"model": "x", "messages": []}, f"Origin: {EVIL}").status == 403
        own = program.post(CHAT, {"model": "x", "messages": []}, "Origin: http://localhost:5173")
        assert own.value("access-control-allow-origin") is None


def test_s4_every_origin(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Program(tmp_path_factory.mktemp("all"), "serve", extra={"CORS_ALLOW_ORIGINS": "*"}) as program:
        answer = options(program, EVIL)
        assert (answer.status, answer.value("access-control-allow-origin")) == (204, "*")
        assert answer.value("access-control-allow-credentials") is None
        answer = program.get("/v1/models", f"Origin: {EVIL}")
        assert (answer.status, answer.value("access-control-allow-origin")) == (200, "*")

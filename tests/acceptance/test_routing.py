"""Who answers a model, and what a client hears when nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import KEY
from tests.support.program import Program
from tests.support.provider import Upstream, echo

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@pytest.fixture(scope="module")
def many(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Several providers behind one upstream, told apart by their paths."""
    url = lasting_upstream.url
    config = f"""
providers:
  - {{name: first, type: openai, base_url: "{url}/first/v1", api_key: k}}
  - {{name: second, type: openai, base_url: "{url}/second/v1", api_key: k, priority: 2}}
  - {{name: local, type: ollama, base_url: "{url}/local/v1", models: ["llama*"]}}
  - {{name: groq, type: groq, base_url: "{url}/groq/v1", api_key: k}}
  - {{name: off, type: openai, base_url: "{url}/off/v1", api_key: k, enabled: false, priority: 0}}
  - {{name: claude, type: anthropic, base_url: "{url}/claude", api_key: k}}
models:
  - {{name: fast, targets: [{{provider: first, model: gpt-4o-mini}}]}}
  - {{name: "team-*", targets: [{{provider: second}}]}}
  - {{name: gpt-4-own, targets: [groq/mixtral]}}
"""
    with Program(tmp_path_factory.mktemp("many"), "serve", config=config) as program:
        yield program


@pytest.mark.ledger("P1")
@pytest.mark.parametrize(
    ("model", "path", "sent"),
    [
        ("gpt-4o", "/first/v1/chat/completions", "gpt-4o"),
        ("o3-mini", "/first/v1/chat/completions", "o3-mini"),
        ("second/gpt-4o", "/second/v1/chat/completions", "gpt-4o"),
        ("llama3:8b", "/local/v1/chat/completions", "llama3:8b"),
        ("groq/llama-3.3/70b", "/groq/v1/chat/completions", "llama-3.3/70b"),
        ("local/anything", "/local/v1/chat/completions", "anything"),
        ("fast", "/first/v1/chat/completions", "gpt-4o-mini"),
        ("team-7", "/second/v1/chat/completions", "team-7"),
        ("gpt-4-own", "/groq/v1/chat/completions", "mixtral"),
    ],
)
def test_the_models_name_decides_who_answers(
    many: Program, upstream: Upstream, model: str, path: str, sent: str
) -> None:
    answer = many.post(CHAT, {"n": 1, "model": model, "messages": []})
    assert answer.status == 200 and answer.json["model"] == sent
    assert upstream.only.path == path
    assert upstream.only.body == b'{"n": 1, "model": "%b", "messages": []}' % sent.encode()


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/responses", "/v1/completions"])
def test_an_unknown_model_is_a_404_that_names_what_exists(many: Program, upstream: Upstream, path: str) -> None:
    answer = many.post(path, {"model": "mystery"})
    assert answer.status == 404
    message = answer.json["error"]["message"]
    assert "mystery" in message and "gpt-" in message
    assert not upstream.requests


def test_a_disabled_provider_does_not_exist(many: Program, upstream: Upstream) -> None:
    assert many.post(CHAT, {"model": "off/gpt-4o"}).status == 404
    assert many.get("/off/v1/files").status == 404
    assert not upstream.requests


def test_a_request_without_a_model_is_told_so(many: Program, upstream: Upstream) -> None:
    bodies: list[object] = [{}, {"model": None}, {"model": 7}, {"model": ""}]
    for value in bodies:
        answer = many.post(CHAT, value)
        assert answer.status in (400, 404) and "model" in answer.json["error"]["message"]
    answer = many.post(CHAT, [])
    assert (answer.status, answer.json["error"]["message"]) == (400, "The body must be a JSON object, not an array")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("path", "model", "status", "words"),
    [
        ("/v1/embeddings", "claude-x", 400, "first"),
        ("/v1/messages/count_tokens", "gpt-4o", 501, "translation.estimate_tokens"),
        ("/v1/messages/count_tokens", "groq/x", 501, "translation.estimate_tokens"),
    ],
)
def test_a_call_that_no_provider_of_the_model_has_says_what_to_do(
    many: Program, upstream: Upstream, path: str, model: str, status: int, words: str
) -> None:
    answer = many.post(path, {"model": model})
    assert answer.status == status
    assert words in answer.json["error"]["message"]
    assert not upstream.requests


def test_an_unknown_path_is_a_404_of_ours(many: Program, upstream: Upstream) -> None:
    answer = many.get("/nobody/knows")
    assert answer.status == 404 and answer.json["error"]["message"]
    assert not upstream.requests


@pytest.mark.ledger("H1")
@pytest.mark.parametrize(
    ("target", "upstream_target"),
    [
        ("/first/v1/files/f?a=1", "/first/v1/files/f?a=1"),
        ("/first/files/f", "/first/v1/files/f"),
        ("/second/v1/assistants", "/second/v1/assistants"),
        ("/openai/v1/fine_tuning/jobs", "/first/v1/fine_tuning/jobs"),
        ("/ollama/v1/models", "/local/v1/models"),
        ("/claude/v1/models", "/claude/v1/models"),
        ("/anthropic/v1/messages/batches", "/claude/v1/messages/batches"),
        ("/groq", "/groq/v1"),
        ("/groq/", "/groq/v1/"),
    ],
)
def test_below_a_prefix_everything_goes_to_that_provider(
    many: Program, upstream: Upstream, target: str, upstream_target: str
) -> None:
    upstream.next(echo)
    with many.client() as client:
        client.request("PUT", target, body=b"\x00 no json")
        assert client.read_answer().body == b"\x00 no json"
    assert upstream.only.target.decode() == upstream_target


def test_below_a_prefix_the_model_needs_to_match_no_list(many: Program, upstream: Upstream) -> None:
    answer = many.post("/second/v1/chat/completions", {"model": "whatever-new"})
    assert answer.status == 200 and upstream.only.path == "/second/v1/chat/completions"


@pytest.mark.ledger("H3")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/responses/resp_1?include=x"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("GET", "/v1/batches"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/vector_stores/vs_1/files"),
    ],
)
@pytest.mark.parametrize("versioned", [True, False])
def test_calls_without_a_model_go_to_the_best_openai_provider(
    many: Program, upstream: Upstream, method: str, target: str, versioned: bool
) -> None:
    upstream.next(echo)
    with many.client() as client:
        client.request(method, target if versioned else target.removeprefix("/v1"), body=b"\x00")
        assert client.read_answer().body == b"\x00"
    assert (upstream.only.method, upstream.only.target) == (method, b"/first" + target.encode())


@pytest.mark.ledger("H2")
@pytest.mark.parametrize("path", ["/openai-proxy/chat/completions", "/openai-proxy/v1/chat/completions"])
def test_below_openai_proxy_stands_the_same_interface(many: Program, upstream: Upstream, path: str) -> None:
    assert many.post(path, {"model": "groq/mixtral"}).json["model"] == "mixtral"
    assert upstream.only.path == "/groq/v1/chat/completions"


def test_calls_without_a_model_go_where_the_header_says(many: Program, upstream: Upstream) -> None:
    many.get("/v1/files")
    many.get("/v1/files", "x-llmproxy-provider: second")
    assert many.get("/v1/files", "x-llmproxy-provider: nobody").status in (400, 404)
    assert [request.path for request in upstream.requests] == ["/first/v1/files", "/second/v1/files"]
    assert not upstream.last.values("x-llmproxy-provider")


@pytest.mark.ledger("H1")
@pytest.mark.parametrize(
    ("base", "target", "sent"),
    [
        ("", CHAT, "/v1/chat/completions"),
        ("/", CHAT, "/v1/chat/completions"),
        ("/v1", CHAT, "/v1/chat/completions"),
        ("/v1/", "/chat/completions", "/v1/chat/completions"),
        ("/api/openai", CHAT, "/api/openai/chat/completions"),
        ("/api/openai/v3/", CHAT, "/api/openai/v3/chat/completions"),
        ("", "/openai/chat/completions", "/v1/chat/completions"),
        ("/v1", "/openai/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_no_spelling_of_base_url_doubles_the_version(
    tmp_path: Path, upstream: Upstream, base: str, target: str, sent: str
) -> None:
    with Program(tmp_path, "serve", "--base-url", upstream.url + base, "--type", "openai", "--api-key", "k") as program:
        assert program.post(target, {"model": "gpt-x"}).status == 200
    assert upstream.only.path == sent


@pytest.mark.ledger("H5")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_catch_all_takes_every_method_and_path(relay: Program, upstream: Upstream, method: str) -> None:
    upstream.next(echo)
    with relay.client() as client:
        client.request(method, "/some/where?x=1", body=b"<xml/>")
        answer = client.read_answer()
    assert (answer.status, answer.body) == (200, b"<xml/>")
    assert (upstream.only.method, upstream.only.target) == (method, b"/v1/some/where?x=1")
    assert upstream.only.value("authorization") == f"Bearer {KEY}"


@pytest.mark.ledger("P4")
def test_without_a_key_the_clients_own_credential_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    with Program(tmp_path, "serve", "--base-url", f"{upstream.url}/v1", "--type", "openai") as program:
        program.post(CHAT, {"model": "gpt-x"}, "Authorization: Bearer sk-own")
        program.post(CHAT, {"model": "gpt-x"})
    assert [request.value("authorization") for request in upstream.requests] == ["Bearer sk-own", None]


@pytest.mark.ledger("P4")
def test_passthrough_prefers_the_clients_credential(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: sk-ours, auth: passthrough}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant, auth: passthrough}}
"""
    with Program(tmp_path, "serve", config=config) as program:
        program.post(CHAT, {"model": "gpt-x"}, "Authorization: Bearer sk-own")
        program.post(CHAT, {"model": "gpt-x"})
        program.post(MESSAGES, {"model": "claude-x"}, "x-api-key: sk-own")
        program.post(MESSAGES, {"model": "claude-x"}, "Authorization: Bearer sk-oauth")
        program.post(MESSAGES, {"model": "claude-x"})
    sent = [(request.value("authorization"), request.value("x-api-key")) for request in upstream.requests]
    assert sent == [
        ("Bearer sk-own", None),
        ("Bearer sk-ours", None),
        (None, "sk-own"),
        ("Bearer sk-oauth", None),
        (None, "sk-ant"),
    ]


@pytest.mark.ledger("C9")
@pytest.mark.ledger("P6")
def test_llm_provider_from_the_environment_answers_what_nobody_else_does(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/main/v1", api_key: k}}
  - {{name: local, type: ollama, base_url: "{upstream.url}/local/v1"}}
"""
    with Program(tmp_path, "serve", config=config, extra={"LLM_PROVIDER": "local"}) as program:
        for model in ("gpt-4", "mystery"):
            assert program.post(CHAT, {"model": model}).status == 200
    assert [request.path.split("/")[1] for request in upstream.requests] == ["main", "local"]


@pytest.mark.ledger("C9")
@pytest.mark.ledger("P6")
def test_model_provider_map_from_the_environment(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/main/v1", api_key: k}}
  - {{name: local, type: ollama, base_url: "{upstream.url}/local/v1"}}
"""
    mapping = {"MODEL_PROVIDER_MAP": "gpt-4=local,mine-*=local"}
    with Program(tmp_path, "serve", config=config, extra=mapping) as program:
        for model in ("gpt-4", "mine-7", "gpt-5"):
            assert program.post(CHAT, {"model": model}).status == 200
    served = [request.path.split("/")[1] for request in upstream.requests]
    assert served == ["local", "local", "main"]


@pytest.mark.ledger("C9")
@pytest.mark.ledger("P6")
@pytest.mark.parametrize("mapping", ["gpt-4=ollama,local-*=stub", "gpt-4=ollama", "local-*=stub"])
def test_the_stub_answers_what_a_model_provider_map_alone_leaves_over(
    tmp_path: Path, upstream: Upstream, mapping: str
) -> None:
    extra = {"MODEL_PROVIDER_MAP": mapping, "OPENAI_COMPAT_BASE_URL": f"{upstream.url}/compat/v1"}
    with Program(tmp_path, "serve", extra=extra) as program:
        answers = {model: program.post(CHAT, {"model": model, "messages": []}) for model in ("gpt-4", "local-1", "x")}
    served = {name: answer.json["choices"][0]["message"]["content"] for name, answer in answers.items()}
    assert served["x"] == served["local-1"] == "stub response"
    assert (served["gpt-4"] != "stub response") is mapping.startswith("gpt-4")

"""What the proxy itself answers: health, configuration, providers, metrics; and the request id on everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import CLAUDE_KEY, KEY
from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Upstream, drop

CHAT = "/v1/chat/completions"


def test_health_says_ok(both: Program) -> None:
    answer = both.get("/health")
    assert answer.status == 200 and answer.json["status"] == "ok"
    with both.client() as client:
        client.request("HEAD", "/health")
        assert client.read_answer("HEAD").status == 200


@pytest.mark.parametrize("path", ["/config", "/providers", "/metrics", "/metrics/json", "/health", "/v1/models"])
def test_no_secret_is_shown_anywhere(both: Program, path: str) -> None:
    both.post(CHAT, {"model": "gpt-x"})
    answer = both.get(path)
    assert answer.status == 200
    for key in (KEY, CLAUDE_KEY):
        assert key.encode() not in answer.body and key not in both.out + both.err


def test_config_shows_what_is_in_force_with_secrets_masked(both: Program) -> None:
    config = both.get("/config").json
    assert [provider["name"] for provider in config["providers"]] == ["main", "claude"]
    assert all(set(provider["api_key"]) == {"*"} for provider in config["providers"])
    assert config["server"]["max_body_size"]


def test_secrets_from_the_environment_and_in_urls_are_masked_too(tmp_path: Path, upstream: Upstream) -> None:
    url = upstream.url.replace("://", "://user:s3cr3t@")
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: "${{MINE}}", proxy: "{url}"}}
"""
    with Program(
        tmp_path, "serve", config=config, extra={"MINE": "sk-hidden", "OPENAI_API_KEY": "sk-other"}
    ) as program:
        for path in ("/config", "/providers"):
            answer = program.get(path)
            assert answer.status == 200
            assert b"sk-hidden" not in answer.body and b"sk-other" not in answer.body and b"s3cr3t" not in answer.body
        assert "MINE" in program.out and "sk-hidden" not in program.out, "the banner says where a key came from"


def test_no_secret_is_logged_however_much_is_logged(tmp_path: Path, upstream: Upstream) -> None:
    flags = ("--base-url", f"{upstream.url}/v1", "--type", "openai", "--api-key", KEY, "--log-level", "debug")
    with Program(tmp_path, "serve", *flags) as program:
        upstream.next(vendors.failure(401, "Unauthorized"), drop, drop)
        for target in (CHAT, f"{CHAT}?key=sk-query", "/elsewhere", "/v1/files"):
            program.post(target, {"model": "gpt-x"}, "Authorization: Bearer sk-theirs", "x-api-key: sk-theirs")
        program.get("/config")
    for secret in (KEY, "sk-theirs", "sk-query"):
        assert secret not in program.out + program.err


def test_providers_lists_names_types_and_dialects(both: Program) -> None:
    listed = both.get("/providers").json
    entries = listed["providers"] if isinstance(listed, dict) else listed
    assert [(entry["name"], entry["type"]) for entry in entries] == [("main", "openai"), ("claude", "anthropic")]
    assert "messages" in entries[1]["dialects"] and "chat" in entries[0]["dialects"]


@pytest.mark.ledger("O1")
def test_metrics_count_requests_calls_and_tokens(both: Program, upstream: Upstream) -> None:
    options = {"include_usage": True}
    with (
        counted(both, "http_requests_total", 2, method="POST", path=CHAT, status="200"),
        counted(both, "http_request_duration_seconds_count", 2, method="POST", path=CHAT, status="200"),
        counted(both, "llmproxy_provider_requests_total", 1, provider="main", stream="true", outcome="success"),
        counted(both, "llmproxy_provider_requests_total", 1, provider="main", stream="false", outcome="success"),
        counted(both, "llmproxy_tokens_total", 2 * vendors.IN, provider="main", model="gpt-count", type="input"),
        counted(both, "llmproxy_tokens_total", 2 * vendors.OUT, provider="main", model="gpt-count", type="output"),
        counted(both, "llmproxy_tokens_total", 2 * vendors.CACHED, model="gpt-count", type="cache_read"),
        counted(both, "llmproxy_provider_first_token_seconds_count", 1, provider="main"),
    ):
        assert both.post(CHAT, {"model": "gpt-count"}).status == 200
        assert both.post(CHAT, {"model": "gpt-count", "stream": True, "stream_options": options}).status == 200


@pytest.mark.ledger("O1")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "model"), [("/v1/messages", "claude-c"), ("/v1/responses", "gpt-c")])
def test_tokens_are_counted_in_every_dialect(
    both: Program, upstream: Upstream, path: str, model: str, stream: bool
) -> None:
    with (
        counted(both, "llmproxy_tokens_total", vendors.IN, model=model, type="input"),
        counted(both, "llmproxy_tokens_total", vendors.OUT, model=model, type="output"),
        counted(both, "llmproxy_tokens_total", vendors.CACHED, model=model, type="cache_read"),
    ):
        assert both.post(path, {"model": model, "stream": stream}).status == 200


def test_usage_that_nobody_said_is_unknown_not_zero(both: Program, upstream: Upstream) -> None:
    with counted(both, "llmproxy_usage_unknown_total", 1, model="gpt-silent"):
        assert both.post(CHAT, {"model": "gpt-silent", "stream": True}).status == 200
    assert both.metric("llmproxy_tokens_total", model="gpt-silent") == 0


@pytest.mark.ledger("O2")
@pytest.mark.parametrize(
    ("target", "accept"), [("/metrics/json", "*/*"), ("/metrics?format=json", "*/*"), ("/metrics", "application/json")]
)
def test_metrics_come_as_json_too(both: Program, upstream: Upstream, target: str, accept: str) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests"))
    before = both.metrics_json()["main"]
    both.post(CHAT, {"model": "gpt-x"})
    both.post(CHAT, {"model": "gpt-x"})
    figures = both.get(target, f"Accept: {accept}").json["main"]
    assert figures["total_requests"] == before["total_requests"] + 2
    assert figures["error_counts"]["http_429"] == before["error_counts"].get("http_429", 0) + 1
    assert 0 < figures["success_rate"] < 1 and figures["avg_response_time"] > 0


def test_metric_labels_stay_few_whatever_clients_send(both: Program, upstream: Upstream) -> None:
    for number in range(50):
        both.get(f"/nothing/here/{number}")
        both.get(f"/openai/v1/files/file-{number}")
    paths = {name for name in both.metrics() if name.startswith("http_requests_total")}
    assert not [name for name in paths if "/nothing/here/4" in name or "file-4" in name]


@pytest.mark.ledger("H9")
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/health", 405),
        ("DELETE", "/metrics", 405),
        ("POST", CHAT, 404),
    ],
)
def test_every_response_carries_a_request_id(both: Program, method: str, target: str, status: int) -> None:
    with both.client() as client:
        client.request(method, target, body=b'{"model": "nobody"}' if method == "POST" else None)
        answer = client.read_answer(method)
    assert (answer.status, bool(answer.value("x-request-id"))) == (status, True)
    if status == 405:
        assert answer.value("allow")


@pytest.mark.ledger("H9")
def test_request_ids_differ_and_the_providers_has_its_own_name(both: Program, upstream: Upstream) -> None:
    answers = [both.post(CHAT, {"model": "gpt-x"}) for _ in range(20)]
    assert len({answer.value("x-request-id") for answer in answers}) == 20
    assert {answer.value("x-upstream-request-id") for answer in answers} == {"req_upstream"}


@pytest.mark.ledger("H9")
@pytest.mark.parametrize("target", ["/health", "/nowhere", "/v1/files"])
@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-123.X_9", True), ("x" * 5000, False), ("a b", False), ("é", False), ("", False)]
)
def test_a_short_printable_request_id_of_the_client_is_kept(
    both: Program, upstream: Upstream, target: str, sent: str, kept: bool
) -> None:
    got = both.get(target, f"x-request-id: {sent}").value("x-request-id")
    assert got and (got == sent) is kept


@pytest.mark.ledger("H3")
def test_models_of_all_providers_are_merged(both: Program, upstream: Upstream) -> None:
    listed = both.get("/v1/models").json
    assert listed["object"] == "list"
    names = [model["id"] for model in listed["data"]]
    assert len(names) == len(set(names)) and names
    assert both.get("/models").json["data"] == listed["data"]
    one = both.get(f"/v1/models/{names[0]}").json
    assert one["id"] == names[0]
    assert both.get("/v1/models/no-such-model").status == 404

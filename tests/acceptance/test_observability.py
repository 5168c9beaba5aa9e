"""What an operator sees of the running program: logs, health pages, the metrics port, where the time went."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import promtool, vendors
from tests.support.program import ROOT, Program, clean_environment, counted, run
from tests.support.provider import Upstream
from tests.support.redis_server import free_port
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
TIMING = re.compile(r"queue;dur=[\d.]+, translate;dur=[\d.]+, upstream;dur=[\d.]+, total;dur=[\d.]+")


def providers(upstream: Upstream) -> str:
    return f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-77aa, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: sk-ant-up-77aa}}
"""


@pytest.fixture(scope="module")
def watched(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield the program with everything that tells of requests, in JSON."""
    config = (
        providers(lasting_upstream)
        + """
limits: [{requests: 1000, per: 2m}]
server: {cors: {allow_origins: ["https://app.example.com"]}}
middlewares: [{type: sessions}, {type: cache}, {type: trace, config: {directory: ./traces}}]
models: [{name: either, targets: [main/gpt-1, main/gpt-2]}]
logging: {format: json, requests: true}
telemetry: {prometheus_port: 0}
"""
    )
    with Program(tmp_path_factory.mktemp("watched"), config=config) as program:
        yield program


def lines(program: Program, **wanted: object) -> list[dict[str, Any]]:
    """Return the lines of the log that have these members."""
    whole = program.err[: program.err.rfind("\n") + 1]
    found = [json.loads(line) for line in whole.splitlines()]
    return [line for line in found if wanted.items() <= line.items()]


def logged(program: Program, **wanted: object) -> dict[str, Any]:
    """Return the only such line, once it is there."""
    until(lambda: bool(lines(program, **wanted)), f"a line of the log with {wanted}")
    (line,) = lines(program, **wanted)
    return line


@pytest.mark.ledger("O6")
def test_each_exchange_has_one_line_of_json_with_its_request_id(watched: Program, upstream: Upstream) -> None:
    secret = "Authorization: Bearer sk-client-4411"
    answer = watched.post(CHAT, ASK, "x-request-id: log-1", secret)
    line = logged(watched, request_id="log-1")
    assert (answer.status, line["logger"], line["level"]) == (200, "llmproxy.requests", "info")
    assert (line["method"], line["path"], line["status"], line["outcome"]) == ("POST", CHAT, 200, "complete")
    assert (line["model"], line["provider"], line["input_tokens"]) == ("gpt-x", "main", vendors.IN)
    assert line["duration_ms"] > 0 and line["time"].endswith("Z")
    assert "sk-" not in watched.err


@pytest.mark.ledger("O6")
@pytest.mark.parametrize(("target", "status"), [("/nowhere", 404), ("/stats", 200)])
def test_refused_requests_and_own_pages_have_a_line_too(watched: Program, target: str, status: int) -> None:
    identifier = f"log{target.replace('/', '-')}"
    assert watched.get(target, f"x-request-id: {identifier}").status == status
    assert logged(watched, request_id=identifier)["status"] == status


@pytest.mark.ledger("O6")
def test_messages_go_to_a_file_that_is_renamed_when_it_is_full(tmp_path: Path, upstream: Upstream) -> None:
    config = providers(upstream) + "logging: {file: ./logs/proxy.log, max_size: 1KB, backups: 2, requests: true}\n"
    with Program(tmp_path, config=config) as program:
        for _ in range(20):
            assert program.post(CHAT, ASK).status == 200
    files = {each.name: each.read_text() for each in (tmp_path / "logs").iterdir()}
    assert set(files) == {"proxy.log", "proxy.log.1", "proxy.log.2"}
    assert all(len(text) <= 1024 for name, text in files.items() if name != "proxy.log")
    assert "llmproxy.requests" not in program.err
    pattern = (
        rf"[\d-]+ [\d:,]+ INFO llmproxy\.requests: POST {CHAT} 200 model=gpt-x provider=main tokens=.*\(request \w+\)"
    )
    assert re.fullmatch(pattern, files["proxy.log.1"].splitlines()[-1])


@pytest.mark.ledger("O6")
def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\nlogging: {file: .}\n")
    ended = run("serve", "--port", "0", cwd=tmp_path)
    assert ended.returncode == 1 and "logging.file: cannot write to" in ended.stderr


@pytest.mark.ledger("C9")
def test_log_requests_of_the_environment(tmp_path: Path) -> None:
    with Program(tmp_path, extra={"LOG_REQUESTS": "true"}) as program:
        assert program.post(CHAT, ASK).status == 200
        assert program.get("/healthz").json["logging"] == {"enabled": True, "level": "INFO"}
    assert f"llmproxy.requests: POST {CHAT} 200" in program.err


@pytest.mark.ledger("H7")
def test_healthz_has_the_shape_of_its_requirement(watched: Program, stub: Program) -> None:
    page = stub.get("/healthz").json
    assert list(page) == ["status", "uptime_seconds", "version", "rate_limit", "logging", "cors"]
    assert page["status"] == "ok" and page["uptime_seconds"] > 0
    assert page["rate_limit"] == {"enabled": False, "window_seconds": 60, "max_requests": 60}
    assert page["logging"] == {"enabled": False, "level": "INFO"}
    assert page["cors"] == {"allow_origins": []}
    page = watched.get("/healthz").json
    assert page["rate_limit"] == {"enabled": True, "window_seconds": 120, "max_requests": 1000}
    assert page["logging"]["enabled"] and page["cors"] == {"allow_origins": ["https://app.example.com"]}


@pytest.mark.ledger("H7")
def test_a_server_without_a_healthy_target_lives_and_is_not_ready(tmp_path: Path) -> None:
    config = f"""
providers:
  - {{name: one, type: openai, base_url: "http://127.0.0.1:{free_port()}/v1", api_key: k}}
  - {{name: two, type: openai, base_url: "http://127.0.0.1:{free_port()}/v1", api_key: k}}
models: [{{name: m, targets: [one/a, two/b]}}]
routing: {{retries: 0, breaker: {{failures: 1}}}}
"""
    with Program(tmp_path, config=config) as program:
        assert (program.get("/livez").status, program.get("/readyz").status) == (200, 200)
        program.post(CHAT, {**ASK, "model": "m"})
        ready = program.get("/readyz")
        assert ready.status == 503 and "no provider can be called" in ready.json["reason"]
        assert (program.get("/livez").status, program.get("/health").json["status"]) == (200, "degraded")


@pytest.mark.ledger("H7")
@pytest.mark.parametrize(
    ("path", "value", "pattern"),
    [
        (CHAT, ASK, TIMING),
        (CHAT, {**ASK, "stream": True}, TIMING),
        ("/v1/messages", {**ASK, "max_tokens": 5}, TIMING),
        (CHAT, {"model": 1}, re.compile(r"total;dur=[\d.]+")),
    ],
    ids=["relayed", "streamed", "translated", "refused"],
)
def test_every_answer_says_where_its_time_went(
    watched: Program, upstream: Upstream, path: str, value: object, pattern: re.Pattern[str]
) -> None:
    assert pattern.fullmatch(watched.post(path, value).value("server-timing") or "")


def metrics_at(program: Program) -> str:
    found = re.search(r"metrics are at (http://\S+/metrics)", program.err)
    assert found, program.err
    return found[1]


@pytest.mark.ledger("O3")
def test_metrics_have_a_port_of_their_own(watched: Program, upstream: Upstream) -> None:
    watched.post(CHAT, ASK)
    url = metrics_at(watched)
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    assert 'http_requests_total{method="POST"' in text and "llmproxy_proxy_seconds_bucket" in text
    for other in (url.replace("/metrics", CHAT), url.replace("/metrics", "/config")):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(other)


@pytest.mark.ledger("O1")
def test_every_metric_is_documented_and_well_formed(watched: Program, upstream: Upstream) -> None:
    for value in (ASK, {**ASK, "stream": True}, {**ASK, "model": "either"}, {**ASK, "model": "nobody"}):
        watched.post(CHAT, value)
    text = watched.get("/metrics").body.decode()
    assert promtool.lint(text) == []
    found = {name for name in promtool.names(text) if not name.startswith("process_")}
    listed = promtool.documented().keys()
    assert found - listed == set(), "the docs lack them"
    source = "".join(each.read_text("utf-8") for each in (ROOT / "llmproxy").rglob("*.py"))
    assert {name for name in listed - found if f'"{name}"' not in source} == set(), "nothing writes them"


@pytest.mark.ledger("O1")
def test_attempts_of_failover_are_counted_by_number(watched: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(500, "Internal Server Error"))
    with (
        counted(watched, "llmproxy_upstream_attempts_total", 1, provider="main", attempt="1", outcome="error"),
        counted(watched, "llmproxy_upstream_attempts_total", 1, provider="main", attempt="2", outcome="success"),
    ):
        assert watched.post(CHAT, {**ASK, "model": "either"}).status == 200


@pytest.mark.ledger("O3")
def test_a_busy_metrics_port_is_a_clear_warning(watched: Program, tmp_path: Path) -> None:
    port = metrics_at(watched).rpartition(":")[2].partition("/")[0]
    with Program(tmp_path, extra={"PROMETHEUS_PORT": port}) as program:
        assert program.get("/metrics").status == 200
    assert f"the metrics port {port} of 127.0.0.1 cannot be opened: it is in use" in program.err
    assert "Choose another one with telemetry.prometheus_port or PROMETHEUS_PORT" in program.err


@pytest.mark.ledger("C9")
def test_telemetry_of_the_environment(tmp_path: Path) -> None:
    port = free_port()
    with Program(tmp_path, extra={"PROMETHEUS_PORT": str(port)}) as program:
        assert metrics_at(program) == f"http://127.0.0.1:{port}/metrics"
    with Program(tmp_path, extra={"PROMETHEUS_PORT": str(port), "ENABLE_TELEMETRY": "false"}) as program:
        pass
    assert "metrics are at" not in program.err


@pytest.mark.ledger("C14")
@pytest.mark.ledger("O3")
def test_an_app_in_python_has_telemetry_and_debugging(tmp_path: Path) -> None:
    source = """
import llmproxy
app = llmproxy.create_app({"providers": [{"name": "stub", "type": "stub"}]}, enable_telemetry=True, prometheus_port=0)
app.run(host="127.0.0.1", port=0, debug=True)
"""
    with Program.of([sys.executable, "-c", source], tmp_path) as program:
        assert program.post(CHAT, ASK).status == 200
        with urllib.request.urlopen(metrics_at(program)) as answer:
            assert b"http_requests_total" in answer.read()
    assert "llmproxy.decisions" in program.err, "debug logs each decision"


def test_nothing_of_opentelemetry_is_imported_unless_it_is_configured(tmp_path: Path) -> None:
    source = """
import sys, llmproxy
llmproxy.create_app({"providers": [{"name": "stub", "type": "stub"}]}, enable_telemetry=True)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    command = [sys.executable, "-c", source]
    ended = subprocess.run(command, cwd=tmp_path, env=clean_environment(tmp_path), capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("[]\n", ""), ROOT

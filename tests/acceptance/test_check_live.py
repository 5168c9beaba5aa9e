"""`llmproxy check-live` against the program as it runs, and what of the ledger's D5 stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import vendors
from tests.support.program import ROOT, Program, run
from tests.support.provider import Call, Reply, Upstream

NAMES = ["health", "chat", "stream", "tools", "cache", "errors", "balance", "concurrency"]


async def model(call: Call) -> None:
    """Script: a model that uses tools and reads their results. Others are unknown."""
    body = json.loads(call.request.body or b"{}")
    if body.get("model") not in (None, "smart-1"):
        await call.give(vendors.failure(404, "Not Found"))
    elif "tools" in body and body["messages"][-1]["role"] == "user":
        answer = vendors.chat("smart-1", tools=True)
        text = json.dumps(answer).replace('"weather"', '"get_weather"')
        await call.give(vendors.plain(json.loads(text)))
    else:
        await call.give(
            vendors.reply_to(call.request) if "tools" not in body else vendors.plain(vendors.chat("smart-1"))
        )


def results(output: str) -> dict[str, str]:
    return {each["check"]: each["result"] for each in json.loads(output)["results"]}


@pytest.mark.ledger("D5")
def test_a_proxy_that_has_everything_passes_every_check(tmp_path: Path) -> None:
    with Upstream(model) as upstream:
        base = f'type: openai, base_url: "{upstream.url}/v1", models: []'
        config = f"""
providers: [{{name: a, {base}, api_key: k-a}}, {{name: b, {base}, api_key: k-b}}]
models: [{{name: smart, strategy: round_robin, targets: [a/smart-1, b/smart-1]}}]
middlewares: [{{type: cache}}]
auth: {{keys: [{{name: me, key: client-key-of-mine}}]}}
"""
        with Program(tmp_path, config=config) as program:
            done = run("check-live", "--url", program.url, "--key", "client-key-of-mine", cwd=tmp_path)
            refused = run("check-live", "--url", program.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done
    lines = done.stdout.splitlines()
    assert lines[0] == f"{program.url}, model smart"
    assert [line.split()[:2] for line in lines[3:11]] == [[name, "passed"] for name in NAMES]
    assert "wrong key 401" in done.stdout and "a/smart-1 4, b/smart-1 4" in done.stdout
    assert lines[-1] == "8 passed"
    assert refused.returncode == 1 and "--key" in refused.stderr


@pytest.mark.ledger("D5")
def test_the_quick_one_needs_no_more_than_the_stub(stub: Program, tmp_path: Path) -> None:
    done = run("check-live", "--url", stub.url, "--quick", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert results(done.stdout) == dict.fromkeys(("health", "chat", "stream", "errors"), "passed")


@pytest.mark.ledger("D5")
def test_a_proxy_whose_provider_fails_does_not_pass(tmp_path: Path) -> None:
    with Upstream(Reply(status=400, pieces=[b'{"error": {"message": "no credit"}}'])) as upstream:
        config = f'providers: [{{name: a, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: [m]}}]\n'
        with Program(tmp_path, config=config) as program:
            done = run("check-live", "--url", program.url, "--model", "m", "--quick", cwd=tmp_path)
    assert done.returncode == 1
    assert "chat         failed" in done.stdout and "status 400 no credit" in done.stdout


@pytest.mark.ledger("D5")
def test_there_is_a_page_on_the_responses_api() -> None:
    page = (ROOT / "llmproxy" / "docs" / "responses.md").read_text(encoding="utf-8")
    for word in ("previous_response_id", "text=", "responses.create", "/v1/responses"):
        assert word in page, word

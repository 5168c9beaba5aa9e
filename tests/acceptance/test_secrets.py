"""Ten kinds of secret, sent in every place, are found nowhere: files, console, own pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.test_traces import AUTHORIZATIONS, BODY, HEADERS, KEY, QUERY, SENT, seen, spelled
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.proxy import CHAT
from tests.support.waiting import until

PAGES = ("/config", "/metrics", "/metrics/json", "/stats?by=client,session", "/health", "/providers", "/v1/models")


@pytest.mark.ledger("M2")
@pytest.mark.ledger("M3")
@pytest.mark.ledger("M4")
@pytest.mark.ledger("H7")
@pytest.mark.parametrize("log_body", [False, True])
def test_no_secret_is_in_traces_audit_console_or_pages(tmp_path: Path, upstream: Upstream, log_body: bool) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["*"]}}
middlewares:
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: printer, config: {{log_body: {str(log_body).lower()}, log_arrivals: true}}}}
  - {{type: audit, config: {{path: audit.jsonl}}}}
"""
    asked = 0
    everything = dict(SENT)
    with Program(tmp_path, "serve", config=config) as program, program.client() as client:
        for authorization, more in AUTHORIZATIONS.items():
            everything |= more
            echo = " | ".join(spelled(SENT | more))
            refusal = json.dumps({"error": {"message": echo, "type": "x"}}).encode()
            upstream.next(
                Reply(status=401, reason="Unauthorized", headers=vendors.JSON, pieces=[refusal]),
                vendors.streamed([b"data: " + refusal + b"\n\n", b"data: [DONE]\n\n"]),
            )
            said = {**BODY, "messages": [{"role": "user", "content": echo}]}
            for status in (401, 200):
                client.post(CHAT + QUERY, said, f"Authorization: {authorization}", *HEADERS, f"x-session-id: s{asked}")
                assert client.read_answer().status == status
                asked += 1
        audit = tmp_path / "audit.jsonl"
        until(lambda: audit.exists() and len(audit.read_text().splitlines()) == asked, "every line of the audit")
        until(lambda: len(list((tmp_path / "traces").glob("*/*.json"))) == asked, "every trace")
        until(lambda: program.out.count("401") >= asked // 2, "every line of the printer")
        texts = [program.get(page).body.decode() for page in PAGES]
    texts += [path.read_text(encoding="utf-8") for path in (tmp_path / "traces").glob("*/*.json")]
    texts += [audit.read_text(encoding="utf-8"), program.out, program.err]
    assert seen(everything, [text.replace("\\/", "/") for text in texts]) == []

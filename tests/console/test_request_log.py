from __future__ import annotations

import logging
from typing import Any

import pytest

from llmproxy.client_request import Client
from llmproxy.console.request_log import RequestLog
from llmproxy.errors import ProxyError
from tests.metrics.test_counters import ended


async def logged(caplog: pytest.LogCaptureFixture, **changes: Any) -> logging.LogRecord:
    log = RequestLog()
    await log.start()
    log.end(ended(request_id="r1", **changes))
    await log.close()
    (record,) = caplog.records
    return record


async def test_an_exchange_has_one_line_and_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, client=Client(address="10.0.0.1", name="anna"), session="s1")
    assert record.getMessage() == (
        "POST /v1/chat/completions 200 model=gpt-4o provider=openai tokens=- first=- total=250ms client=anna "
        "session=s1 (request r1)"
    )
    fields = record.__dict__["fields"]()
    assert (fields["request_id"], fields["status"], fields["duration_ms"], fields["attempts"]) == ("r1", 200, 250.0, 1)
    assert "input_tokens" not in fields, "what is unknown is left out"


async def test_a_failure_is_logged_with_its_reason_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, status=502, outcome="error", error=ProxyError("no\nanswer", code="upstream_error"))
    assert record.levelno == logging.WARNING
    assert "error=upstream_error: no\\x0aanswer" in record.getMessage()


async def test_keys_of_the_client_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    exchange = ended(full_path="/v1/sk-secret-1234567", model="sk-secret-1234567", request_id="r")
    exchange.headers["Authorization"] = "Bearer sk-secret-1234567"
    log = RequestLog()
    await log.start()
    log.end(exchange)
    await log.close()
    (record,) = caplog.records
    assert "sk-secret" not in record.getMessage() + str(record.__dict__["fields"]())

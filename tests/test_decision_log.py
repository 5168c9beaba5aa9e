"""The lines at level debug."""

from __future__ import annotations

import logging

import pytest

from llmproxy.call import Call
from llmproxy.decision_log import DecisionLog, is_enabled
from llmproxy.errors import UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.providers.base import ProviderConfig
from llmproxy.providers.stub import Stub
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.exchanges import new_exchange

FIRST = Target(provider=Stub(ProviderConfig(name="first", type="stub")), model="big")
SECOND = Target(provider=Stub(ProviderConfig(name="second", type="stub")))


@pytest.fixture(autouse=True)
def debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "llmproxy")


def exchange(*calls: Call) -> Exchange:
    made = new_exchange("/v1/chat/completions", ("Authorization", "Bearer sk-abcdefgh"), body={"model": "gpt-x"})
    made.calls.extend(calls)
    made.model = "gpt-x"
    return made


def test_the_lines_are_for_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    assert is_enabled()
    caplog.set_level(logging.INFO, "llmproxy")
    assert not is_enabled()


def test_a_route_is_logged_with_its_reason_and_targets(caplog: pytest.LogCaptureFixture) -> None:
    DecisionLog().routed(exchange(), Route(name="smart", targets=(FIRST, SECOND), why="that name in models"))
    [line] = caplog.messages
    assert line.endswith("model 'gpt-x': route smart (that name in models): first with 'big', second")


def test_a_retry_is_logged_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    decisions = DecisionLog()
    call = Call(target=FIRST, model="big", status=429, started_s=1.0, ended_s=1.5)
    decisions.returned(exchange(call), 429)
    decisions.called(exchange(call), SECOND, "chat")
    call.error = "upstream_timeout"
    decisions.failed(exchange(call), UpstreamError("too slow", code="upstream_timeout"))
    decisions.called(exchange(call), SECOND, None)
    lines = [line.partition(" ")[2] for line in caplog.messages]
    why = "and the client has got nothing yet"
    assert lines == [
        "first answered 429 (another target may be tried) after 0.500 s",
        f"call 2: second with 'gpt-x', translated into chat, since first gave 429 {why}",
        "first failed with upstream_timeout (another target may be tried): too slow",
        f"call 2: second with 'gpt-x', as it is, since first gave upstream_timeout {why}",
    ]


def test_secrets_are_masked_and_lines_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    DecisionLog().refused(exchange(), UpstreamError("you sent\nsk-abcdefgh" + "x" * 5000))
    [line] = caplog.messages
    assert "sk-abcdefgh" not in line and "\n" not in line and len(line) < 1100

"""Figures of usage that no answer can have: the answer goes on, and everything that counts stays readable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support import vendors
from tests.support.program import Program, run
from tests.support.provider import Call, Upstream
from tests.support.waiting import until

FIGURES = [
    "1" + "0" * 30,
    "9223372036854775807",
    "18446744073709551616",
    "-5",
    "1.5",
    '"12"',
    "1e300",
    "1e400",
    "9" * 5000,
]
PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/responses"]
_FIGURE = re.compile(rb'("\w*tokens\w*": ?)\d+')


@pytest.fixture(scope="module")
def counting(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program that counts in every way: metrics, sessions and cache on disk, trace and audit."""
    config = f"""
stores: {{default: disk}}
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", api_key: k, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{lasting_upstream.url}", api_key: k}}
middlewares:
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: sessions}}
  - {{type: cache, config: {{when: always}}}}
"""
    with Program(tmp_path_factory.mktemp("counting"), "serve", config=config) as program:
        yield program


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["gpt-x", "claude-x"])
@pytest.mark.parametrize("stream", [False, True])
def test_odd_figures_of_usage_break_nothing(
    counting: Program, upstream: Upstream, path: str, model: str, stream: bool
) -> None:
    for figure in FIGURES:

        async def script(call: Call, figure: bytes = figure.encode()) -> None:
            reply = vendors.reply_to(call.request)
            pieces = [_FIGURE.sub(rb"\g<1>" + figure, piece) for piece in reply.pieces if isinstance(piece, bytes)]
            await call.give(replace(reply, pieces=pieces))

        upstream.next(script)
        answer = counting.post(path, _ask(path, model, stream, figure[:40]), f"x-session-id: s{figure[:40]}")

        assert answer.status == 200, (figure, answer)
        assert ("text/event-stream" in (answer.value("content-type") or "")) == stream
    until(lambda: counting.metric("llmproxy_in_flight_requests") == 1, "everything to be counted")
    totals = [value for name, value in counting.metrics().items() if "tokens_total" in name]
    assert all(0 <= value < 1e9 for value in totals), totals
    for page in ("/stats", "/sessions", "/metrics/json"):
        assert counting.get(page).status == 200


def _ask(path: str, model: str, stream: bool, text: str) -> dict[str, object]:
    ask: dict[str, object] = {"model": model, "stream": stream, "max_tokens": 9}
    if path == PATHS[2]:
        return {"model": model, "stream": stream, "input": text}
    return {**ask, "messages": [{"role": "user", "content": text}]}


def test_what_was_recorded_can_be_read(counting: Program) -> None:
    for command in (["trace", "ls"], ["stats"], ["sessions"]):
        done = run(*command, cwd=counting.directory)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (command, done)
    assert "Traceback" not in counting.err and "rror" not in counting.err, counting.err

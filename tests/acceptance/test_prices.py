"""What answers cost, wherever the program says so, by the embedded table of prices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.program import Program, run
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import RawAnswer
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]

CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 200},
}
MESSAGE_USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 50,
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
}
GEMINI_USAGE = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 400,
    "candidatesTokenCount": 100,
    "thoughtsTokenCount": 300,
    "totalTokenCount": 1400,
}
# USD of a million tokens: gpt-4o 2.5, cached 1.25, out 10; claude-haiku-4-5 1, read 0.1, written 1.25 and 2, out 5, a
# search 0.01; gemini-2.5-flash 0.3, cached 0.03, out 2.5.
CHAT_COST = (400 * 2.5 + 600 * 1.25 + 500 * 10) / 1e6
MESSAGE_COST = (100 * 1 + 1000 * 0.1 + 100 * 1.25 + 200 * 2 + 50 * 5) / 1e6 + 0.01
GEMINI_COST = (600 * 0.3 + 400 * 0.03 + 400 * 2.5) / 1e6


def chat(**changes: Any) -> Reply:
    return vendors.plain({**vendors.chat("gpt-4o-2024-08-06"), "usage": CHAT_USAGE, **changes})


def message() -> Reply:
    return vendors.plain({**vendors.message("claude-haiku-4-5-20251001"), "usage": MESSAGE_USAGE})


def gemini() -> Reply:
    candidate = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    return vendors.plain(
        {
            "candidates": [candidate],
            "usageMetadata": GEMINI_USAGE,
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r",
        }
    )


@pytest.fixture(scope="module")
def pricing(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    url = lasting_upstream.url
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", api_key: k, models: ["gpt-*", "o3"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: k}}
  - {{name: google, type: gemini, base_url: "{url}", api_key: k}}
  - {{name: own, type: vllm, base_url: "{url}/v1", models: ["mine-*"], prices: {{mine-2: {{input: 3, output: 4}}}}}}
models: [{{name: team, targets: [own/mine-2], shadow: own/mine-free}}]
prices:
  gpt-own: {{input: 1, output: 2}}
  mine-free: {{input: 0, output: 0}}
middlewares:
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: audit, config: {{path: audit.jsonl}}}}
  - {{type: sessions}}
  - {{type: cache}}
"""
    home = tmp_path_factory.mktemp("prices")
    with Program(home, "serve", config=config) as program:
        yield program


def ask(program: Program, model: str, *headers: str, path: str = CHAT, **fields: Any) -> RawAnswer:
    body = {"model": model, "messages": HI, "max_tokens": 9, **fields}
    answer = program.post(path, body, *headers)
    assert answer.status == 200, answer.body
    return answer


def cost(answer: RawAnswer) -> float | None:
    text = answer.values("x-llmproxy-cost")
    assert all(re.fullmatch(r"\d+(\.\d+)?", each) for each in text)
    return float(text[0]) if text else None


def records(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(program.directory, "audit.jsonl").read_text().splitlines()]


def test_answers_of_three_vendors_cost_what_their_tokens_cost(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat(), message(), gemini())
    assert cost(ask(pricing, "gpt-4o")) == pytest.approx(CHAT_COST)
    assert cost(ask(pricing, "claude-haiku-4-5", path="/v1/messages")) == pytest.approx(MESSAGE_COST)
    generated = pricing.post(
        "/v1beta/models/gemini-2.5-flash:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}
    )
    assert cost(generated) == pytest.approx(GEMINI_COST)


def test_a_translated_answer_costs_the_same(pricing: Program, upstream: Upstream) -> None:
    upstream.next(message(), gemini())
    assert cost(ask(pricing, "claude-haiku-4-5")) == pytest.approx(MESSAGE_COST)
    assert cost(ask(pricing, "gemini-2.5-flash", path="/v1/messages")) == pytest.approx(GEMINI_COST)


def test_a_stream_is_priced_in_the_records(pricing: Program, upstream: Upstream) -> None:
    chunk = {"object": "chat.completion.chunk", "id": "c", "model": "gpt-4o-2024-08-06", "choices": []}
    upstream.next(
        vendors.streamed(
            [
                *vendors.chat_frames("gpt-4o-2024-08-06")[:-1],
                vendors.data_frame({**chunk, "usage": CHAT_USAGE, "service_tier": "priority"}),
                b"data: [DONE]\n\n",
            ]
        )
    )
    answer = ask(pricing, "gpt-4o", "x-request-id: streamed", stream=True)
    assert cost(answer) is None
    [line] = until(lambda: [each for each in records(pricing) if each["request_id"] == "streamed"], "the audit line")
    assert line["cost_usd"] == pytest.approx((400 * 4.25 + 600 * 2.125 + 500 * 17) / 1e6), "priority has its own price"


def test_the_configuration_has_the_last_word(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat(model="gpt-own"), chat(model="mine-2"), chat(model="mine-free"))
    assert cost(ask(pricing, "gpt-own")) == pytest.approx(0.002)
    assert cost(ask(pricing, "mine-2")) == pytest.approx(0.005)
    assert cost(ask(pricing, "mine-free")) == 0


def test_an_unknown_price_is_said_to_be_unknown_everywhere(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat(model="mine-1"))
    assert cost(ask(pricing, "mine-1", "x-request-id: unknown", "x-session-id: talk-u")) is None
    [line] = until(lambda: [each for each in records(pricing) if each["request_id"] == "unknown"], "the audit line")
    assert line["cost_usd"] is None and line["input_tokens"] == 1000
    shown = run("trace", "ls", "traces", "--filter", "session=talk-u", "--json", cwd=pricing.directory)
    assert json.loads(shown.stdout.splitlines()[0])["cost_usd"] is None
    assert pricing.metric("llmproxy_cost_unknown_total", provider="own", model="mine-1") == 1
    assert not any("cost_usd_total" in name and "mine-1" in name for name in pricing.metrics())
    row = pricing.get("/stats").json["providers"]["own"]["models"]["mine-1"]
    assert (row["cost_usd"], row["cost_unknown"]) == (None, 1)
    session = until(lambda: pricing.get("/sessions/talk-u").json, "the session")
    assert (session["cost_usd"], session["cost_unknown"]) == (0, 1)


def test_a_known_price_is_added_up_everywhere(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat(model="o3"), chat(model="o3"))
    for name in ("one", "two"):
        ask(pricing, "o3", f"x-request-id: {name}", "x-session-id: talk-k")
    once = (400 * 2 + 600 * 0.5 + 500 * 8) / 1e6
    until(lambda: [each for each in records(pricing) if each["request_id"] == "two"], "the audit line")
    assert pricing.metric("llmproxy_cost_usd_total", provider="main", model="o3") == pytest.approx(2 * once)
    row = pricing.get("/stats?by=session").json
    assert row["providers"]["main"]["models"]["o3"]["cost_usd"] == pytest.approx(2 * once)
    assert pricing.metrics_json()["main"]["cost_usd"] >= 2 * once

    def settled() -> Any:
        session = pricing.get("/sessions/talk-k").json
        return session if session["requests"] == 2 else None

    assert until(settled, "the session")["cost_usd"] == pytest.approx(2 * once)
    for command in (["stats", "--once"], ["sessions", "talk-k"]):
        assert "cost" in run(*command, "--url", pricing.url, cwd=pricing.directory).stdout
    totals = json.loads(run("trace", "stats", "traces", "--json", cwd=pricing.directory).stdout)
    [o3] = [each for each in totals["models"] if each["model"] == "o3"]
    assert o3["cost_usd"] == pytest.approx(2 * once) and o3["cost_unknown"] == 0


def test_an_answer_from_the_cache_costs_nothing_and_shows_what_it_saved(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat())
    first = ask(pricing, "gpt-4o", temperature=0)
    again = until(lambda: _hit(pricing), "the answer in the cache")
    assert again is not None and cost(first) == pytest.approx(CHAT_COST) and cost(again) == 0
    assert pricing.get("/cache").json["saved"]["cost_usd"] >= CHAT_COST - 1e-9


def _hit(program: Program) -> RawAnswer | None:
    answer = ask(program, "gpt-4o", temperature=0)
    return answer if answer.value("x-cache") == "hit" else None


def test_a_failed_call_costs_nothing(pricing: Program, upstream: Upstream) -> None:
    upstream.next(vendors.failure(429, "Too Many Requests"))
    answer = pricing.post(CHAT, {"model": "gpt-4o", "messages": HI})
    assert answer.status == 429 and cost(answer) == 0


def test_a_model_without_a_price_is_refused_before_anything_is_sent(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: local, type: vllm, base_url: "{upstream.url}/v1", models: ["gpt-*", "llama-*"]}}
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: [gpt-4o]}}
models: [{{name: smart, targets: [local/llama-x, main/gpt-4o]}}]
require_price: true
"""
    with Program(tmp_path, "serve", config=config) as program:
        refused = program.post("/v1/messages", {"model": "llama-x", "max_tokens": 9, "messages": HI})
        assert refused.status == 403 and not upstream.requests
        assert refused.json["type"] == "error" and "`prices`" in refused.json["error"]["message"]
        assert program.post(CHAT, {"model": "llama-x", "messages": HI}).json["error"]["code"] == "price_unknown"
        assert program.post(CHAT, {"model": "smart", "messages": HI}).status == 200
        assert b'"gpt-4o"' in upstream.only.body, "the next target has a price"


def test_a_shadow_call_has_a_cost_of_its_own(pricing: Program, upstream: Upstream) -> None:
    upstream.next(chat(model="x"), chat(model="x"))
    assert cost(ask(pricing, "team")) == pytest.approx(0.005)

    def shadow() -> list[dict[str, Any]]:
        records = [json.loads(each.read_text()) for each in Path(pricing.directory, "traces").glob("*/*.json")]
        return [each for each in records if each["route"] == "team (shadow)"]

    [record] = until(shadow, "the record of the shadow call")
    assert record["cost_usd"] == 0


def test_pictures_are_priced_by_their_tokens(pricing: Program, upstream: Upstream) -> None:
    usage = {
        "input_tokens": 300,
        "input_tokens_details": {"text_tokens": 100, "image_tokens": 200},
        "output_tokens": 1000,
        "total_tokens": 1300,
    }
    upstream.next(vendors.plain({"created": 1, "data": [{"b64_json": "AA=="}], "usage": usage}))
    answer = pricing.post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x"})
    assert cost(answer) == pytest.approx((100 * 5 + 200 * 10 + 1000 * 40) / 1e6)

"""Several targets behind one name: what clients see, and what each target gets, of the program as it is started."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program, run
from tests.support.provider import Call, Reply, Script, Upstream, drop
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK = {"model": "team", "messages": [{"role": "user", "content": "hi"}]}
Start = Callable[[str], Program]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Upstream, Upstream, Upstream]]:
    with Upstream(vendors.answer) as one, Upstream(vendors.answer) as two, Upstream(vendors.answer) as three:
        yield one, two, three


@contextmanager
def serving(directory: Path, upstreams: tuple[Upstream, ...], more: str) -> Iterator[Program]:
    """Serve with a provider a, b, c... for each upstream."""
    providers = "".join(
        f'  - {{name: {name}, type: openai, base_url: "{upstream.url}/v1", api_key: k-{name}, models: []}}\n'
        for name, upstream in zip("abc", upstreams, strict=False)
    )
    for upstream in upstreams:
        upstream.forget()
        upstream.default = vendors.answer
    with Program(directory, config=f"providers:\n{providers}{more}") as program:
        yield program


def who(program: Program, count: int, **members: object) -> str:
    """Return who answered so many requests."""
    return "".join(program.post(CHAT, {**ASK, **members}).value("x-llmproxy-provider") or "-" for _ in range(count))


@pytest.mark.ledger("L1")
def test_weights_are_exact_and_failover_is_invisible_for_streams_too(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
models:
  - name: team
    strategy: weighted
    targets: [{provider: a, weight: 5}, {provider: b}, {provider: c, weight: 0}]
  - {name: ordered, targets: [a/gpt-x, b/gpt-y]}
"""
    with serving(tmp_path, upstreams, more) as program:
        assert Counter(who(program, 12)) == {"a": 10, "b": 2}
        one, two, _ = upstreams
        one.default = two.default = vendors.failure(503, "X")
        assert who(program, 1) == "c"
        two.default = drop
        answer = program.post(CHAT, {**ASK, "stream": True})
        assert answer.status == 200 and answer.body == b"".join(vendors.chat_frames("team"))
        assert answer.value("x-llmproxy-attempts") == "3"
        one.forget()
        one.next(vendors.failure(500, "X"))
        two.default = vendors.answer
        answer = program.post(CHAT, {**ASK, "model": "ordered"})
        assert (answer.json["model"], answer.value("x-llmproxy-model")) == ("gpt-y", "gpt-y")
    assert json.loads(one.only.body)["model"] == "gpt-x"


@pytest.mark.ledger("L2")
def test_faults_are_retried_with_backoff_and_other_refusals_never(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
routing: {retry_delay: 10ms, breaker: {failures: 1000}}
models: [{name: team, targets: [a], retries: 2}]
"""
    with serving(tmp_path, upstreams[:1], more) as program:
        one = upstreams[0]
        failures: list[Script | Reply] = [drop]
        failures += [vendors.failure(status, "X") for status in (408, 429, 500, 503, 529)]
        for failure in failures:
            one.next(failure, vendors.failure(502, "X"))
            answer = program.post(CHAT, ASK)
            assert (answer.status, answer.value("x-llmproxy-attempts"), len(one.requests)) == (200, "3", 3)
            one.forget()
        one.next(vendors.failure(429, "X", ("Retry-After", "1")))
        began_s = time.monotonic()
        assert program.post(CHAT, ASK).status == 200
        assert time.monotonic() - began_s >= 0.95
        one.forget()
        for status in (400, 401, 403, 422):
            one.next(vendors.failure(status, "X"))
            assert program.post(CHAT, ASK).status == status
        assert len(one.requests) == 4
        one.default = vendors.failure(429, "Slow Down", ("X-Vendor", "1"))
        answer = program.post(CHAT, ASK)
        assert (answer.status, answer.value("x-vendor"), answer.value("x-llmproxy-attempts")) == (429, "1", "3")
        assert answer.json["error"]["message"] == "vendor says 429"


@pytest.mark.ledger("L3")
def test_a_target_that_fails_is_left_out_and_taken_back_by_one_probe(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
routing: {breaker: {failures: 3, recovery: 400ms, max_recovery: 400ms}}
models: [{name: team, targets: [a, b]}]
"""
    with serving(tmp_path, upstreams[:2], more) as program:
        one = upstreams[0]
        one.default = vendors.failure(500, "X")
        assert who(program, 10) == "b" * 10
        assert len(one.requests) == 3
        assert program.get("/health").json["status"] == "degraded"
        states = {each["provider"]: each["state"] for each in program.get("/stats").json["targets"]}
        assert states == {"a": "open", "b": "closed"}
        one.default = vendors.answer
        while who(program, 1) == "b":
            pass
        assert who(program, 3) == "aaa"
        assert program.get("/health").json["status"] == "ok"
    assert program.err.count("is taken out") == program.err.count("is taken back") == 1


@pytest.mark.ledger("C9")
def test_older_settings_of_retries_and_cooldown(tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]) -> None:
    more = """
general_settings: {num_retries: 1, allowed_fails: 2, cooldown_time: 60}
routing: {retry_delay: 1ms}
models: [{name: team, targets: [a]}]
"""
    with serving(tmp_path, upstreams[:1], more) as program:
        one = upstreams[0]
        one.default = vendors.failure(500, "X")
        assert program.post(CHAT, ASK).status == 500
        answer = program.post(CHAT, ASK)
    assert (answer.status, answer.json["error"]["code"], len(one.requests)) == (503, "no_target_available", 2)
    assert 50 <= int(answer.value("retry-after") or 0) <= 60


OWN = """
from llmproxy.route import Strategy
from llmproxy.settings import Strict

class Backwards(Strategy):
    class Config(Strict):
        start: int = 0

    def __init__(self, config):
        self.start = config.start

    def order(self, targets, request):
        return [*targets[self.start::-1], *targets[self.start + 1:]]
"""


def test_a_strategy_of_ones_own_chooses(tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    more = "models: [{name: team, targets: [a, b, c], strategy: {type: './mine.py:Backwards', start: 1}}]\n"
    with serving(tmp_path, upstreams, more) as program:
        assert who(program, 2) == "bb"
        upstreams[1].default = drop
        assert who(program, 1) == "a"


def test_a_refused_key_is_replaced_within_the_request(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    one = upstreams[0]
    one.forget()

    async def answer(call: Call) -> None:
        refused = {"Bearer bad": 401, "Bearer poor": 402, "Bearer busy": 429}
        status = refused.get(call.request.value("authorization") or "")
        await (vendors.answer(call) if status is None else call.give(vendors.failure(status, "X")))

    one.default = answer
    config = f"""
providers:
  - {{name: a, type: openai, base_url: "{one.url}/v1", api_key: bad, api_keys: [poor, busy, good], models: [gpt-*]}}
"""
    with Program(tmp_path, config=config + "models: [{name: team, targets: [a]}]\n") as program:
        answers = [program.post(CHAT, {**ASK, "model": model}) for model in ("gpt-x", "team", "team", "team")]
        assert [each.status for each in answers] == [200] * 4
        assert "bad" not in program.get("/config").body.decode()
        assert "poor" not in program.get("/config").body.decode()
    assert len(one.requests) == 7  # each bad key once


def test_a_shadow_target_gets_a_copy_whose_answer_is_only_recorded(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
models: [{name: team, targets: [a], shadow: b/other}]
middlewares: [{type: trace, config: {directory: ./traces, include_body: true}}]
"""
    with serving(tmp_path, upstreams[:2], more) as program:
        two = upstreams[1]
        two.next(vendors.failure(500, "X"))
        assert who(program, 2) == "aa"
        until(lambda: program.metric("llmproxy_shadow_calls_total", provider="b") == 2, "both copies to end")
        assert program.metric("llmproxy_shadow_calls_total", outcome="error") == 1
        assert program.metric("http_requests_total", path=CHAT) == 2
    records = [json.loads(path.read_text()) for path in (tmp_path / "traces").rglob("*.json")]
    assert sorted(each["route"] for each in records) == ["team", "team", "team (shadow)", "team (shadow)"]
    shadows = [each for each in records if each["route"] == "team (shadow)"]
    assert sorted(each["status"] for each in shadows) == [200, 500]
    assert {each["request_id"] for each in shadows} == {each["request_id"] for each in records}


def test_a_health_check_brings_a_target_back_before_its_time(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
routing: {health_check: 50ms, breaker: {failures: 1, recovery: 1h, max_recovery: 1h}}
models: [{name: team, targets: [a, b]}]
"""
    with serving(tmp_path, upstreams[:2], more) as program:
        upstreams[0].next(drop, drop)  # the second time for the connection that is made again
        assert who(program, 1) == "b"
        until(lambda: who(program, 1) == "a", "the target to be back")


@pytest.mark.ledger("L4")
def test_a_target_with_nothing_left_is_skipped_and_clients_see_no_429(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    more = """
routing: {max_wait: 4s}
models:
  - {name: team, targets: [a, b]}
  - {name: narrow, targets: [{provider: c, rpm: 1}]}
"""
    used_up = ("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "0")
    with serving(tmp_path, upstreams, more) as program:
        one, two, _ = upstreams
        one.next(vendors.plain(vendors.chat("m"), *used_up, ("x-ratelimit-reset-requests", "10m0s")))
        two.next(vendors.failure(429, "X", ("Retry-After", "2")))
        assert who(program, 1) == "a"
        client = openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0)
        with client:  # a has nothing left, b says when it is back: the request waits for that
            client.chat.completions.create(model="team", messages=[{"role": "user", "content": "hi"}])
        assert [len(each.requests) for each in (one, two)] == [1, 2]
        row = next(each for each in program.get("/stats").json["targets"] if each["provider"] == "a")
        limit = row["limits"][0]
        assert (limit["kind"], limit["limit"], limit["used"], limit["left"]) == ("requests", 60, 60, 0)
        assert row["at_limit_ms"] > 590_000 and row["state"] == "closed"
        assert program.metric("llmproxy_target_limit_left", provider="a") == 0
        assert program.post(CHAT, {**ASK, "model": "narrow"}).status == 200
        refused = program.post(CHAT, {**ASK, "model": "narrow"})
        assert (refused.status, refused.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 55 <= int(refused.value("retry-after") or 0) <= 61
        shown = run("explain", "team", "-c", "llmproxy.yaml", "--url", program.url, cwd=tmp_path).stdout
        assert "limit requests: 0 of 60 left" in shown and "order now: b" in shown


def test_a_package_announces_a_strategy_by_an_entry_point(
    tmp_path: Path, upstreams: tuple[Upstream, Upstream, Upstream]
) -> None:
    package = tmp_path / "packages"
    info = package / "backwards-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "backwards.py").write_text(OWN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: backwards\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llmproxy.strategies]\nbackwards = backwards:Backwards\n")
    one, two = upstreams[:2]
    config = f"""
providers:
  - {{name: a, type: openai, base_url: "{one.url}/v1", api_key: k, models: []}}
  - {{name: b, type: openai, base_url: "{two.url}/v1", api_key: k, models: []}}
models: [{{name: team, targets: [a, b], strategy: {{type: backwards, start: 1}}}}]
"""
    one.default = two.default = vendors.answer
    with Program(tmp_path, config=config, search=package) as program:
        assert who(program, 2) == "bb"

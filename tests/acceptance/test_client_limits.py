"""Limits and budgets of a started program: what SDKs see, what replicas and restarts keep, a Redis that goes away."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors as google_errors

from tests.support.program import Program, run
from tests.support.provider import Upstream
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
PRICES = 'prices: {"*": {input: 1000000, output: 1000000}}'  # a dollar a token
COST = 248
PATHS = {
    "openai": "/v1/chat/*",
    "anthropic": "/v1/messages",
    "google": "/v1*/models/*",
    "boto3": "/model/*",
}
pytestmark = pytest.mark.ledger("A2")
no_redis = pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")


def config_of(upstream: Upstream, *lines: str) -> str:
    provider = f'{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: ["*"]}}'
    return "\n".join((f"providers: [{provider}]", PRICES, *lines))


@contextlib.contextmanager
def started(directory: Path, upstream: Upstream, *lines: str, extra: dict[str, str] | None = None) -> Iterator[Program]:
    directory.mkdir(exist_ok=True)
    with Program(directory, config=config_of(upstream, *lines), extra=extra) as program:
        yield program


def with_openai(url: str, retries: int) -> int:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=retries) as client:
        try:
            client.chat.completions.create(model="gpt-x", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
        except openai.RateLimitError as error:
            return error.status_code
    return 200


def with_anthropic(url: str, retries: int) -> int:
    with anthropic.Anthropic(base_url=url, api_key="dummy", max_retries=retries) as client:
        try:
            client.messages.create(model="gpt-x", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
        except anthropic.RateLimitError as error:
            return error.status_code
    return 200


def with_google(url: str, retries: int) -> int:
    client = genai.Client(api_key="dummy", http_options={"base_url": url})
    try:
        client.models.generate_content(model="gpt-x", contents="hi", config={"max_output_tokens": 1})
    except google_errors.ClientError as error:
        return error.code
    finally:
        client.close()
    return 200


def with_boto3(url: str, retries: int) -> int:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="dummy",
        aws_secret_access_key="dummy",
        config=BotoConfig(retries={"max_attempts": retries}),
    )
    try:
        hi: Any = [{"role": "user", "content": [{"text": "hi"}]}]
        client.converse(modelId="gpt-x", messages=hi, inferenceConfig={"maxTokens": 1})
    except ClientError as error:
        return {"ThrottlingException": 429, "ServiceQuotaExceededException": 400}[error.response["Error"]["Code"]]
    finally:
        client.close()
    return 200


ASKERS: dict[str, Callable[[str, int], int]] = {
    "openai": with_openai,
    "anthropic": with_anthropic,
    "google": with_google,
    "boto3": with_boto3,
}


@pytest.fixture(scope="module")
def lasting_program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program in which each path has limits of its own, so that tests share the program."""
    limits = [f'{{requests: 1, per: 1h, match: {{path: "{path}"}}}}' for path in PATHS.values()]
    config = config_of(lasting_upstream, f"limits: [{', '.join(limits)}]")
    with Program(tmp_path_factory.mktemp("limited"), config=config) as program:
        yield program


@pytest.fixture(scope="module")
def lasting_budgets(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    budgets = [f'{{max_cost: {COST}, per: total, match: {{path: "{path}"}}}}' for path in PATHS.values()]
    config = config_of(lasting_upstream, f"budgets: [{', '.join(budgets)}]")
    with Program(tmp_path_factory.mktemp("spending"), config=config) as program:
        yield program


@pytest.fixture(scope="module")
def lasting_waits(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = config_of(lasting_upstream, "limits: [{requests: 1, per: 1s}]")
    with Program(tmp_path_factory.mktemp("waiting"), config=config) as program:
        yield program


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("sdk", ASKERS)
def test_sdks_see_their_error_of_limits(lasting_program: Program, sdk: str) -> None:
    assert [ASKERS[sdk](lasting_program.url, 0) for _ in range(2)] == [200, 429]


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("sdk", ASKERS)
def test_sdks_see_that_a_budget_is_used_and_do_not_ask_again(lasting_budgets: Program, sdk: str) -> None:
    assert ASKERS[sdk](lasting_budgets.url, 0) == 200
    refused = lasting_budgets.metric("llmproxy_limits_refused_total")
    assert ASKERS[sdk](lasting_budgets.url, 3) == (400 if sdk == "boto3" else 429)
    assert lasting_budgets.metric("llmproxy_limits_refused_total") == refused + 1


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_sdks_wait_as_long_as_they_are_told(lasting_waits: Program, sdk: str) -> None:
    """Their own pause would be too short for the second request. Where the machine is too busy to make both within a
    second, it is tried again."""
    for _ in range(10):
        ASKERS[sdk](lasting_waits.url, 3)
        before = lasting_waits.metric("llmproxy_limits_refused_total")
        assert ASKERS[sdk](lasting_waits.url, 1) == 200
        if lasting_waits.metric("llmproxy_limits_refused_total") == before + 1:
            return
    pytest.fail("no request was refused")


@no_redis
@pytest.mark.parametrize("where", ["disk", "redis"])
def test_budgets_go_on_after_a_restart(tmp_path: Path, upstream: Upstream, where: str) -> None:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path)) if where == "redis" else None
        store = f"disk:{tmp_path / 'q.sqlite'}" if redis is None else redis.url
        lines = f'quotas: {{store: "{store}"}}', "budgets: [{max_cost: 300, per: month, warn_at: never}]"
        with started(tmp_path / "one", upstream, *lines) as one:
            assert one.post(CHAT, ASK).status == 200
            until(lambda: one.get("/stats").json["limits"]["budgets"][0]["used"] == COST, "the cost to be counted")
        with started(tmp_path / "two", upstream, *lines) as two:
            refused = [two.post(CHAT, {**ASK, "max_tokens": 500}) for _ in range(2)]
            assert two.get("/stats").json["limits"]["budgets"][0]["used"] == COST

    assert [answer.status for answer in refused] == [429, 429]
    assert refused[0].json["error"]["code"] == "budget_exceeded"


@no_redis
def test_two_programs_on_one_redis_keep_a_limit_together(tmp_path: Path, upstream: Upstream) -> None:
    with RedisServer(tmp_path) as redis:
        lines = f'quotas: {{store: "{redis.url}"}}', "limits: [{requests: 100, per: 1m}, {concurrent: 1000}]"
        with (
            started(tmp_path / "one", upstream, *lines) as one,
            started(tmp_path / "two", upstream, *lines) as two,
            ThreadPoolExecutor(4) as threads,
        ):
            programs = [one, two] * 75
            statuses = list(threads.map(lambda program: program.post(CHAT, ASK).status, programs))
            # A machine that is too busy for an answer within 50 ms has the programs count alone for a while.
            alone = sum(each.metric("llmproxy_limits_counted_alone_total") for each in (one, two))

    assert 98 <= statuses.count(200) <= 102 + alone
    assert statuses.count(200) + statuses.count(429) == 150


@no_redis
def test_nothing_fails_while_redis_goes_away_and_comes_back(tmp_path: Path, upstream: Upstream) -> None:
    with RedisServer(tmp_path) as redis:
        limits = "limits: [{requests: 100000, per: 1m}, {tokens: 100000000, per: 1m}, {concurrent: 100}]"
        lines = f'quotas: {{store: "{redis.url}"}}', limits, "budgets: [{max_cost: 1000000, per: day}]"
        with started(tmp_path / "one", upstream, *lines) as program:
            statuses = {program.post(CHAT, ASK).status for _ in range(5)}
            redis.kill()
            statuses |= {program.post(CHAT, ASK).status for _ in range(20)}
            assert program.get("/health").json["status"] == "degraded"
            redis.start()
            until(lambda: program.get("/health").json["status"] == "ok", "the store to be used again")
            statuses |= {program.post(CHAT, ASK).status for _ in range(5)}
            rows = program.get("/stats").json["limits"]["limits"]

    assert statuses == {200}
    assert {row["kind"]: row["used"] for row in rows}["requests"] >= 5
    assert program.err.count("fails and is not used") == 1


@pytest.mark.ledger("C8")
def test_a_key_has_limits_and_a_budget_for_each_session_of_its_own(tmp_path: Path, upstream: Upstream) -> None:
    key = "{name: ci, key: sk-client-key-1, limits: [{requests: 3}], budgets: [{max_cost: 200, per: session}]}"
    other = "{name: dev, key: sk-client-key-2}"
    with started(tmp_path, upstream, f"auth: {{keys: [{key}, {other}]}}") as program:

        def ask(key: str, session: str) -> int:
            return program.post(CHAT, ASK, f"Authorization: Bearer {key}", f"x-session-id: {session}").status

        first = ask("sk-client-key-1", "one")
        until(lambda: ask("sk-client-key-1", "one") == 429, "the cost to be counted")
        assert [first, ask("sk-client-key-1", "two")] == [200, 200]
        assert {ask("sk-client-key-2", "one") for _ in range(5)} == {200}


def test_stats_shows_limits_and_budgets(tmp_path: Path, upstream: Upstream) -> None:
    lines = "limits: [{requests: 60, per: 1m}]", "budgets: [{max_cost: 1000, per: month}]"
    with started(tmp_path, upstream, *lines) as program:
        program.post(CHAT, ASK)
        until(lambda: program.get("/stats").json["limits"]["budgets"][0]["used"] == COST, "the cost to be counted")
        shown = run("stats", "--url", program.url, cwd=tmp_path).stdout

    assert "60 requests per minute, key 127.0.0.1" in shown
    assert "1,000 USD per month, all" in shown
    assert "$248.00" in shown


@pytest.mark.ledger("C9")
@pytest.mark.parametrize(
    "extra",
    [
        {"PROXY_API_RATE_LIMIT_REQUESTS": "2", "PROXY_API_RATE_LIMIT_WINDOW": "60"},
        {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_MAX_REQUESTS": "2", "RATE_LIMIT_WINDOW_SECONDS": "60"},
    ],
)
def test_older_variables_limit_clients(tmp_path: Path, upstream: Upstream, extra: dict[str, str]) -> None:
    with started(tmp_path, upstream, extra=extra) as program:
        answers = [program.post(CHAT, ASK) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 58 <= int(answers[2].value("retry-after") or 0) <= 61


def test_what_runs_when_a_program_is_killed_is_free_again(tmp_path: Path, upstream: Upstream) -> None:
    """In memory it ends with the process; a store that others share forgets it after a minute (see its own tests)."""
    upstream.hold()
    lines = ("limits: [{concurrent: 1}]",)
    killed = contextlib.suppress(AssertionError)
    with killed, started(tmp_path / "one", upstream, *lines) as one, one.client() as client:
        client.post(CHAT, ASK)
        upstream.take()
        assert one.post(CHAT, ASK).status == 429
        one.signal(signal.SIGKILL)
        one.wait()
    with started(tmp_path / "two", upstream, *lines) as two:
        assert two.post(CHAT, ASK).status == 200

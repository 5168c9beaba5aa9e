"""A description that llmproxy fulfils, from top to bottom: model groups, cached streams, the Responses API."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import Program, run
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")
CONFIG = """
general_settings:
  bind_address: 127.0.0.1
  bind_port: {port}
  num_retries: 2
  allowed_fails: 2
  cooldown_time: 60
  redis_host: 127.0.0.1
  redis_port: {redis}
  cache: true
  cache_params: {{type: redis, ttl: 600, namespace: litellm.caching}}

model_groups:
  - model_group: gpt-3.5-turbo
    models:
      - model: gpt-3.5-turbo
        weight: 2
        params: {{api_key: os.environ/OPENAI_API_KEY, base_url: "https://api.openai.com/v1"}}
      - model: gpt-35-turbo
        weight: 1
        params:
          api_key: os.environ/AZURE_API_KEY
          base_url: https://mine.openai.azure.com
          api_version: "2024-10-21"
  - model_group: gpt-4.1
    models:
      - {{model: gpt-4.1, params: {{api_key: os.environ/OPENAI_API_KEY}}}}
"""
HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture(scope="module")
def program(lasting_internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("s3")
    with RedisServer(home) as redis:
        config = CONFIG.format(port=free_port(), redis=redis.port)
        keys = {"OPENAI_API_KEY": "sk-openai", "AZURE_API_KEY": "azure-key"}
        extra = {**lasting_internet.environment, **keys}
        with Program(home, "serve", config=config, extra=extra, free_port=False) as program:
            assert str(program.port) in config
            yield program


@pytest.fixture
def client(program: Program) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy-key", max_retries=0)


@pytest.mark.ledger("C9")
def test_chat_as_usual(client: openai.OpenAI, internet: Internet) -> None:
    response = client.chat.completions.create(model="gpt-3.5-turbo", messages=HELLO)
    assert response.choices[0].message.content == vendors.TEXT
    assert all(b"dummy-key" not in each.head for each in internet.calls)


@pytest.mark.ledger("L1")
def test_endpoints_share_by_weight(client: openai.OpenAI, internet: Internet) -> None:
    for _ in range(6):
        client.chat.completions.create(model="gpt-3.5-turbo", messages=HELLO)
    assert internet.hosts() == {"api.openai.com": 4, "mine.openai.azure.com": 2}


@pytest.mark.ledger("L2")
def test_failover_is_invisible(client: openai.OpenAI, internet: Internet) -> None:
    internet.cloud.next(vendors.failure(500, "Oops"))
    assert client.chat.completions.create(model="gpt-3.5-turbo", messages=HELLO).choices
    assert len(internet.calls) == 2


@pytest.mark.ledger("K2")
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_streams_are_cached_and_replayed(client: openai.OpenAI, internet: Internet, api: str) -> None:
    def stream() -> list[str]:
        if api == "chat":
            events: Any = client.chat.completions.create(model="gpt-4.1", messages=HELLO, temperature=0, stream=True)
        else:
            events = client.responses.create(model="gpt-4.1", input=HELLO, temperature=0, stream=True)
        return [each.model_dump_json() for each in events]

    first = stream()
    assert len(first) > 3 and stream() == first
    assert len(internet.calls) == 1


@pytest.mark.ledger("K3")
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_request_can_bypass_the_cache(client: openai.OpenAI, internet: Internet, api: str) -> None:
    extra = {"cache": {"no-cache": True}}
    for _ in range(2):
        if api == "chat":
            client.chat.completions.create(model="gpt-4.1", messages=HELLO, temperature=0, extra_body=extra)
        else:
            client.responses.create(model="gpt-4.1", input=HELLO, temperature=0, extra_body=extra)
    assert len(internet.calls) == 2
    assert all("cache" not in json.loads(each.body) for each in internet.calls)


@pytest.mark.ledger("H4")
def test_the_responses_api_without_v1(program: Program, internet: Internet) -> None:
    client = openai.OpenAI(base_url=program.url, api_key="dummy-key", max_retries=0)
    response = client.responses.create(model="gpt-4.1", input=HELLO)
    assert response.output_text == vendors.TEXT
    city: Any = {"type": "json_schema", "name": "city", "schema": {"type": "object"}}
    client.responses.create(
        model="gpt-4.1",
        input=HELLO,
        previous_response_id=response.id,
        text={"format": city},
    )
    sent = json.loads(internet.calls[-1].body)
    assert sent["previous_response_id"] == response.id and sent["text"] == {"format": city}
    with client.responses.stream(model="gpt-4.1", input=HELLO) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


@pytest.mark.ledger("H7")
def test_health_and_stats_show_endpoints_and_cache(program: Program, client: openai.OpenAI, internet: Internet) -> None:
    client.chat.completions.create(model="gpt-3.5-turbo", messages=HELLO)
    assert program.get("/health").json["status"] == "ok"
    page = program.get("/stats").json
    assert {each["state"] for each in page["targets"]} == {"closed"}
    assert page["cache"]["store"] == "redis" and page["cache"]["available"] is True


@pytest.mark.ledger("D5")
def test_the_quick_live_check_passes(program: Program, internet: Internet) -> None:
    done = run("check-live", "--quick", "--url", program.url, "--model", "gpt-4.1", cwd=program.directory)
    assert done.returncode == 0, done


@pytest.mark.ledger("C1")
def test_flags_for_file_host_and_port(program: Program, internet: Internet) -> None:
    flags = ("--config", str(program.directory / "llmproxy.yaml"), "--host", "127.0.0.1")
    keys = {"OPENAI_API_KEY": "k", "AZURE_API_KEY": "k"}
    with Program(program.directory, *flags, extra={**internet.environment, **keys}) as other:
        assert other.port != program.port and other.get("/health").status == 200


@pytest.mark.ledger("L4")
def test_an_endpoint_at_its_limit_is_left_out_until_it_is_over(tmp_path: Path, internet: Internet) -> None:
    config = CONFIG.partition("  redis_host")[0] + "\nmodel_groups" + CONFIG.partition("model_groups")[2]
    keys = {"OPENAI_API_KEY": "k", "AZURE_API_KEY": "k"}
    internet.cloud.next(vendors.failure(429, "Too Many Requests", ("Retry-After", "60")))
    with Program(tmp_path, config=config.format(port=0), extra={**internet.environment, **keys}) as program:
        ask = {"model": "gpt-3.5-turbo", "messages": HELLO}
        assert [program.post("/v1/chat/completions", ask).status for _ in range(4)] == [200] * 4
    assert internet.hosts() == {"api.openai.com": 1, "mine.openai.azure.com": 4}

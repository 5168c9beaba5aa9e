"""Every configuration in `configs/` is used as it stands."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from llmproxy.config.presets import Preset
from tests.support import vendors
from tests.support.internet import Internet
from tests.support.program import ROOT, Program, run
from tests.support.redis_server import RedisServer

FOLDER = ROOT / "configs"
CHAT = "/v1/chat/completions"
KEYS = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant", "GEMINI_API_KEY": "g-key"}
KEYS |= {"AZURE_OPENAI_API_KEY": "az", "AZURE_EAST_API_KEY": "az-east", "AZURE_WEST_API_KEY": "az-west"}
# The key of "anna" in team.yaml, which nobody has, becomes this one.
ANNA_SHA256 = "e26edcfe5c8dd6549dec2f62f2cd9b379e64aae486f5baad4c51fe49ef64bf69"
ANNA_KEY = "sk-llmproxy-anna-of-the-test"


def ask(model: str, **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


Start = Callable[..., contextlib.AbstractContextManager[Program]]


@pytest.fixture
def start(tmp_path: Path, internet: Internet) -> Start:
    """Start the program with the file of a preset."""

    def starting(preset: Preset, change: tuple[str, str] = ("", ""), **extra: str) -> Program:
        text = (FOLDER / f"{preset}.yaml").read_text(encoding="utf-8")
        config = text.replace(*change) if change[0] else text
        return Program(
            tmp_path, "serve", "--host", "127.0.0.1", config=config, extra={**internet.environment, **KEYS, **extra}
        )

    return starting


def test_every_preset_is_used_here() -> None:
    tests = {name.removeprefix("test_preset_") for name in globals() if name.startswith("test_preset_")}
    assert tests == {preset.name for preset in Preset}


def test_preset_minimal(start: Start, internet: Internet) -> None:
    with start(Preset.minimal) as program:
        client = openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0)
        assert client.chat.completions.create(**ask("gpt-4o")).choices[0].message.content == vendors.TEXT  # type: ignore[call-overload]
        claude = anthropic.Anthropic(base_url=program.url, api_key="dummy", max_retries=0)
        assert claude.messages.create(max_tokens=9, **ask("claude-haiku-4-5")).content  # type: ignore[call-overload]
    assert [each.value("host") for each in internet.cloud.requests] == ["api.openai.com", "api.anthropic.com"]
    assert internet.cloud.requests[0].value("authorization") == "Bearer sk-openai"
    assert internet.cloud.requests[1].value("x-api-key") == "sk-ant"


def test_preset_full(start: Start, internet: Internet) -> None:
    with start(Preset.full) as program:
        assert program.post(CHAT, ask("gpt-4o")).status == 200
        assert program.post(CHAT, ask("fast")).value("x-llmproxy-model") == "gpt-4o-mini"
    assert internet.hosts() == {"api.openai.com": 2}


def test_preset_stub(start: Start, internet: Internet) -> None:
    with start(Preset.stub) as program:
        answer = program.post(CHAT, ask("whatever")).json
    assert answer["choices"][0]["message"]["content"] == "stub response"
    assert not internet.hosts()


def test_preset_failover(start: Start, internet: Internet) -> None:
    internet.cloud.next(vendors.failure(503, "Out"))
    with start(Preset.failover, OPENAI_API_KEY_2="sk-second") as program:
        answer = program.post(CHAT, ask("smart"))
        assert answer.value("x-llmproxy-provider") == "openai" and answer.value("x-llmproxy-attempts") == "2"
        shares = Counter(program.post(CHAT, ask("gpt-4o")).value("x-llmproxy-provider") for _ in range(4))
    assert shares == {"openai": 3, "azure": 1}
    keys = {each.value("authorization") for each in internet.cloud.requests if each.value("host") == "api.openai.com"}
    assert keys == {"Bearer sk-openai", "Bearer sk-second"}


def test_preset_load_balance(start: Start, internet: Internet) -> None:
    with start(Preset.load_balance) as program:
        for _ in range(6):
            assert program.post(CHAT, ask("gpt-4o")).status == 200
        assert internet.hosts() == {"east.openai.azure.com": 4, "west.openai.azure.com": 2}
        internet.cloud.next(vendors.failure(429, "Full"), vendors.failure(429, "Full"))
        assert program.post(CHAT, ask("gpt-4o")).value("x-llmproxy-provider") == "openai"


def test_preset_translator(start: Start, internet: Internet) -> None:
    with start(Preset.translator) as program:
        answer = program.post(CHAT, ask("gpt-4"))
        assert answer.json["choices"][0]["message"]["content"] == vendors.TEXT
        answer = program.post("/v1/messages", ask("claude-3-haiku-20240307", max_tokens=9))
        assert answer.json["type"] == "message"
    assert [each.path for each in internet.cloud.requests] == ["/v1/messages", "/v1/responses"]


def test_preset_cache_redis(start: Start, internet: Internet, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, start(Preset.cache_redis, REDIS_URL=server.url) as program:
        states = [program.post(CHAT, ask("gpt-4o", temperature=0)).value("x-cache") for _ in range(2)]
        assert server.client().keys("llmproxy*")
    assert states == ["miss", "hit"] and internet.hosts() == {"api.openai.com": 1}


def test_preset_team(start: Start, internet: Internet) -> None:
    digest = hashlib.sha256(ANNA_KEY.encode()).hexdigest()
    with start(Preset.team, (ANNA_SHA256, digest), LLMPROXY_ADMIN_KEY="admin-of-the-test") as program:
        assert program.post(CHAT, ask("gpt-4o")).status == 401
        answer = program.post(CHAT, ask("gpt-4o"), f"Authorization: Bearer {ANNA_KEY}")
        assert answer.status == 200 and answer.value("x-ratelimit-remaining-requests") == "599"
        assert program.get("/stats", "Authorization: Bearer admin-of-the-test").status == 200
    assert internet.cloud.only.value("authorization") == "Bearer sk-openai"


def test_preset_claude_code(start: Start, internet: Internet) -> None:
    with start(Preset.claude_code) as program:
        claude = anthropic.Anthropic(base_url=program.url, api_key="not-needed", max_retries=0)
        with claude.messages.stream(max_tokens=9, **ask("claude-sonnet-5-5")) as stream:  # type: ignore[arg-type]
            assert stream.get_final_text() == vendors.TEXT
        session = program.post("/v1/messages", ask("claude-sonnet-5-5", max_tokens=9)).value("x-llmproxy-session")
    assert session and list((program.directory / "traces").rglob("*.json"))
    assert "claude-sonnet-5-5" in program.out
    assert {each.value("x-api-key") for each in internet.cloud.requests} == {"sk-ant"}


def test_preset_codex(start: Start, internet: Internet) -> None:
    with start(Preset.codex) as program:
        lines = run("env", "codex", "--url", program.url, cwd=program.directory).stdout
        assert f'base_url = "{program.url}/v1"' in lines
        client = openai.OpenAI(base_url=f"{program.url}/v1", api_key="x", max_retries=0)
        for model in ("gpt-6-sol", "sonnet"):
            assert client.responses.create(model=model, input="hi").output_text == vendors.TEXT
    assert internet.hosts() == {"api.openai.com": 1, "api.anthropic.com": 1}
    assert list((program.directory / "traces").rglob("*.json"))


def test_preset_local_models(start: Start, internet: Internet) -> None:
    with start(Preset.local_models) as program:
        for model in ("local", "qwen3", "lmstudio/any", "server/any"):
            assert program.post(CHAT, ask(model)).status == 200
        assert program.post(CHAT, ask("local", stop="x" * 60_000)).value("x-llmproxy-provider") == "openai"
    local = {"localhost:11434": 2, "localhost:1234": 1, "localhost:8000": 1}
    assert internet.hosts() == {**local, "api.openai.com": 1}


def test_preset_ci(start: Start, internet: Internet) -> None:
    with start(Preset.ci) as program:
        done = run("check-live", "--quick", "--url", program.url, cwd=program.directory)
        assert done.returncode == 0, done
    validated = run("validate-config", "--no-env", "--format", "github", "llmproxy.yaml", cwd=program.directory)
    assert validated.returncode == 0
    (file,) = (program.directory / "traces").glob("*.jsonl")
    records: list[Any] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(records) >= 3 and not internet.hosts()

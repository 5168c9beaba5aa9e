"""Sections of the configuration file: each one changes what the program does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.schema import SECTIONS
from llmproxy.config.section_aliases import SECTION_ALIASES
from tests.support.program import Program
from tests.support.provider import Upstream

pytestmark = pytest.mark.ledger("C8")
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
CONFIG = """
server: {{max_body_size: 2KB}}
llm: {{base_url: "{url}/llm", type: openai, api_key: k}}
providers:
  - {{name: late, type: openai, base_url: "{url}/late/v1", api_key: k, models: ["gpt-*"], priority: 2}}
  - {{name: early, type: openai, base_url: "{url}/early/v1", api_key_env: EARLY_KEY, models: ["gpt-*"], priority: 1}}
  - {{name: idle, type: openai, base_url: "{url}/idle/v1", api_key: k, models: ["gpt-*"], priority: 0, enabled: false}}
  - {{name: claude, type: anthropic, base_url: "{url}/claude", api_key: k}}
models: [{{name: fast, targets: [late/gpt-mini]}}]
translation: strict
prices: {{gpt-x: {{input: 1, output: 1, request: 0.25}}}}
middlewares: [{{type: audit, enabled: false, config: {{path: audit.jsonl}}}}]
session: {{headers: [X-Conversation], store: kept}}
cache: {{store: memory}}
stores: {{kept: {{type: disk, path: kept.sqlite}}}}
logging: {{level: error}}
"""

TESTED_ALONE = {*("default_provider", "auth", "routing", "limits", "budgets", "quotas", "require_price"), "telemetry"}


@pytest.fixture
def program(tmp_path: Path, upstream: Upstream) -> Iterator[Program]:
    with Program(tmp_path, config=CONFIG.format(url=upstream.url), extra={"EARLY_KEY": "sk-early"}) as program:
        yield program


def test_every_section_is_in_the_file_or_tested_alone() -> None:
    sections = {*SECTIONS, *SECTION_ALIASES} - TESTED_ALONE
    assert sections == {line.partition(":")[0] for line in CONFIG.splitlines() if line[:1].isalpha()}


def test_sections_do_what_they_say(program: Program, upstream: Upstream, tmp_path: Path) -> None:
    def provider_of(model: str) -> str:
        assert program.post(CHAT, {**ASK, "model": model}).status == 200
        return upstream.last.path.split("/")[1]

    assert provider_of("gpt-x") == "early", "the enabled provider with the lowest priority answers"
    assert upstream.last.value("authorization") == "Bearer sk-early"
    assert provider_of("fast") == "late" and b'"gpt-mini"' in upstream.last.body
    assert provider_of("unknown") == "llm"
    assert program.post(CHAT, ASK).values("x-llmproxy-cost")[0].startswith("0.25")
    assert program.post(CHAT, {**ASK, "model": "gpt-x", "user": "x" * 2048}).status == 413
    assert program.post(CHAT, {**ASK, "model": "claude-x", "logit_bias": {"1": 5}}).status == 400, "strict translation"
    answer = program.post(CHAT, {**ASK, "temperature": 0}, "X-Conversation: talk-1")
    assert answer.value("x-llmproxy-session") == "talk-1"
    assert program.post(CHAT, {**ASK, "temperature": 0}).value("x-cache") == "hit"
    assert (tmp_path / "kept.sqlite").exists(), "a middleware refers to a store by its name"
    assert program.get("/config").json["logging"]["level"] == "error"
    assert not (tmp_path / "audit.jsonl").exists(), "a middleware that is not enabled does nothing"


def test_the_default_provider_answers_what_nothing_else_does(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/main/v1", api_key: k, models: [gpt-x]}}
  - {{name: other, type: openai, base_url: "{upstream.url}/other/v1", api_key: k, models: [gpt-y]}}
default_provider: other
"""
    with Program(tmp_path, config=config) as program:
        assert program.post(CHAT, {**ASK, "model": "mystery"}).status == 200
    assert upstream.only.path == "/other/v1/chat/completions"

"""A program with client keys, as a team has it: the configuration, its keys, and a request of one of them."""

from __future__ import annotations

from typing import Any

from tests.support.program import Program

CHAT = "/v1/chat/completions"
ADMIN = "an-admin-key"
CI, GPT, CLAUDE, OLD, RELAY, OTHER = (
    "key-of-ci",
    "key-of-gpt",
    "key-of-claude",
    "key-of-old",
    "key-of-relay",
    "key-of-two",
)
KEYS = (CI, GPT, CLAUDE, OLD, RELAY, OTHER, ADMIN)
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


def team_config(url: str) -> str:
    """Return the configuration; `url` is the upstream of all providers. GPT_KEY must be set."""
    return f"""
server: {{admin_key: {ADMIN}, trusted_proxies: [127.0.0.1]}}
auth:
  mode: keys
  keys:
    - {{name: ci, key: {CI}}}
    - {{name: two, key: {OTHER}}}
    - {{name: gpt, key: "${{GPT_KEY}}", models: ["gpt-*", "gemini-*"]}}
    - {{name: claude, key: {CLAUDE}, providers: [claude]}}
    - {{name: old, key: {OLD}, expires: "2020-01-01"}}
    - {{name: relay, key: {RELAY}, models: ["gpt-*"], relay: true}}
  keys_file: keys.yaml
providers:
  - {{name: main, type: openai, base_url: "{url}/v1", api_key: ours, models: ["gpt-*", "gemini-*", "us.*"]}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: ours, models: ["claude-*"]}}
  - {{name: own, type: openai, base_url: "{url}/v1", models: ["own-*"]}}
  - {{name: pass, type: openai, base_url: "{url}/v1", api_key: ours, auth: passthrough, models: ["pass-*"]}}
models:
  - {{name: both, targets: [main/gpt-x, claude/claude-x]}}
  - {{name: secret-model, targets: [main/gpt-x]}}
middlewares:
  - {{type: trace, config: {{directory: ./traces, include_headers: true}}}}
"""


def ask(program: Program, model: str, *headers: str, path: str = CHAT) -> tuple[int, Any]:
    answer = program.post(path, {"model": model, "messages": HELLO, "max_tokens": 9}, *headers)
    return answer.status, answer.json

from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import load

ANYTHING = """
server: {host: "${A}", port: "${A}", max_body_size: "${A}", shutdown_timeout: "${A:-5s}"}
logging: {level: "${A}"}
llm: {type: "${A}", base_url: "${A}", api_key: "${A}"}
providers:
  - {name: "${A}", type: openai, enabled: "${A}", priority: "${A}", models: ["${A}"], base_url: "https://${A}/v1"}
  - {name: b, type: openai, api_key: "${A}", auth: "${A}", ca_file: "${A}", proxy: "${A}", timeouts: {idle: "${A}"}}
  - {name: "${A}", type: "${A}", whatever: 1}
  - {name: c, type: ollama, base_url: "${A}", dialects: ["${A}"], api_key_env: A}
models:
  - {name: "${A}", targets: ["${A}", {provider: "${A}"}]}
  - {name: "${A}", targets: [b]}
default_provider: "${A}"
middlewares: [{type: "${A}"}]
"""


def test_without_environment_every_variable_counts_as_present_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(ANYTHING)
    assert load("x.yaml", directory=tmp_path, environ={}).config is None
    assert load("x.yaml", directory=tmp_path, no_env=True).problems == []


def test_without_environment_other_mistakes_are_still_reported(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("""
server: {port: "${A}", hots: x, shutdown_timeout: "${A:-never}"}
providers:
  - {name: a, type: openai, api_key: "${A}", auth: no, enabled: "${A}"}
  - {name: a, type: openai, base_url: "${A"}
models: [{name: x, targets: ["b/${A}"]}]
""")
    message = [str(problem) for problem in load("x.yaml", directory=tmp_path, no_env=True).problems]
    assert [line.partition(": ")[0] for line in message] == [
        "x.yaml:2:24",
        "x.yaml:2:51",
        "x.yaml:4:52",
        "x.yaml:5:12",
        "x.yaml:5:39",
    ], message

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmproxy import __version__
from llmproxy.cli.banner import banner
from llmproxy.config.load import load

ADDRESS = "http://127.0.0.1:3000"


@pytest.fixture(autouse=True)
def without_agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install no coding agent."""
    monkeypatch.setenv("PATH", str(tmp_path))


def lines(directory: Path, text: str | None, environ: dict[str, str]) -> list[str]:
    if text is not None:
        (directory / "llmproxy.yaml").write_text(text)
    return banner(load(directory=directory, environ=environ), ADDRESS).splitlines()


def test_everything_that_is_served_is_shown_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(
        "from llmproxy.middleware.base import Middleware\nclass Tag(Middleware):\n    pass\n"
    )
    text = """
providers:
  - {name: openai, type: openai, api_key: "${OPENAI_API_KEY}"}
  - {name: local, type: ollama, base_url: "http://box:11434/v1/", models: ["llama*"]}
  - {name: off, type: openai, enabled: false}
models:
  - {name: fast, targets: [openai/gpt-4o-mini, local]}
llm: {type: openai, base_url: "https://other.example/v1?key=sk-query", api_key: sk-written}
middlewares: [{type: "./tag.py:Tag"}, {type: "./tag.py:Tag", enabled: false}]
default_provider: local
"""
    assert lines(tmp_path, text, {"OPENAI_API_KEY": "sk-variable"}) == [
        f"llmproxy {__version__} listens on http://127.0.0.1:3000",
        "",
        "  config       llmproxy.yaml",
        "  clients      everybody who reaches this address, without a key",
        "  providers    openai: openai at https://api.openai.com/v1, key: environment variable OPENAI_API_KEY",
        "               local: ollama at http://box:11434/v1/, key: none (the client's own)",
        "  models       fast: openai/gpt-4o-mini, local",
        "  other models local",
        "  all else     openai at https://other.example/v1, key: config file",
        "  middlewares  ./tag.py:Tag",
        "",
        "  Try: curl http://127.0.0.1:3000/v1/models",
    ]


def test_without_a_file_the_reason_is_reported_and_a_call_that_works(tmp_path: Path) -> None:
    assert lines(tmp_path, None, {}) == [
        f"llmproxy {__version__} listens on http://127.0.0.1:3000",
        "",
        "  config       no file (no key variable is set, so the stub answers every model)",
        "  clients      everybody who reaches this address, without a key",
        "  providers    stub: stub",
        "",
        """  Try: curl http://127.0.0.1:3000/responses -d '{"model":"stub","input":"Hi"}'""",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wrapped_by_the_terminal(tmp_path: Path, width: int) -> None:
    text = """
providers: [{name: together-serverless, type: openai-compatible, base_url: "http://127.0.0.1:8000/v1"}]
models: [{name: fast, targets: [together-serverless/Qwen3-Coder-480B, together-serverless/llama-3.3-70b-versatile]}]
"""
    (tmp_path / "llmproxy.yaml").write_text(text)
    for directory in (tmp_path, tmp_path / "none"):
        directory.mkdir(exist_ok=True)
        shown = banner(load(directory=directory, environ={}), ADDRESS, width).splitlines()
        assert max(map(len, shown[:-1])) <= max(width, 70), "the name of a target is not cut"
        assert len(shown[-1]) <= 80


def test_a_server_for_every_interface_says_so(tmp_path: Path) -> None:
    text = 'server: {host: "0.0.0.0"}\nproviders: [{name: a, type: stub}]\n'
    assert "  host         0.0.0.0: every interface of this machine" in lines(tmp_path, text, {})


def test_a_stub_among_others_is_called_by_its_name(tmp_path: Path) -> None:
    text = "providers: [{name: a, type: openai}, {name: fake, type: stub}]\n"
    assert '"model":"fake/stub"' in lines(tmp_path, text, {})[-1]


def test_the_first_line_ends_with_the_address(tmp_path: Path) -> None:
    assert lines(tmp_path, None, {})[0].endswith(ADDRESS)


def test_the_address_is_that_of_the_region_or_location(tmp_path: Path) -> None:
    text = """providers:
  - {name: aws, type: bedrock, region: eu-west-3, api_key: k}
  - {name: gcp, type: vertex, location: europe-west4, project: p}
"""
    shown = lines(tmp_path, text, {})[4:6]
    assert "bedrock at https://bedrock-runtime.eu-west-3.amazonaws.com, key: config file" in shown[0]
    assert "vertex at https://europe-west4-aiplatform.googleapis.com, key: where" in shown[1]


def test_who_may_use_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("keys: [{name: b, key: a-key-of-b}]")
    text = """
auth:
  keys: [{name: a, key: "${KEY}"}]
  keys_file: keys.yaml
  jwt: {issuer: "https://login.example", secret: "0123456789012345678901234567890123456789"}
providers: [{name: openai, type: openai}]
"""
    shown = lines(tmp_path, text, {"KEY": "sk-long-enough"})
    assert "  clients      2 keys (keys.yaml), tokens (JWT) of https://login.example" in shown
    assert '-H "authorization: Bearer $KEY"' in shown[-1]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_installed_agents_are_shown_with_what_makes_them_call_the_proxy(tmp_path: Path) -> None:
    for name in ("claude", "codex"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    assert lines(tmp_path, None, {})[-2:] == [
        '  Claude Code: eval "$(llmproxy env claude)" && claude',
        "  Codex: llmproxy env codex   (lines for ~/.codex/config.toml)",
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_program_that_is_not_on_the_path_is_named_by_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, program = tmp_path / "claude", tmp_path / "my tools" / "llmproxy"
    program.parent.mkdir()
    for each in (agent, program):
        each.write_text("#!/bin/sh\n")
        each.chmod(0o700)
    monkeypatch.setattr("sys.argv", [str(program), "serve"])
    assert lines(tmp_path, None, {})[-1] == f"""  Claude Code: eval "$('{program}' env claude)" && claude"""

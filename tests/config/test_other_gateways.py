from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load

FILES = {
    "LiteLLM": "model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o}}]\ngeneral_settings: {}\n",
    "claude-code-router": '{\n\t// its own comments\n\t"Providers": [],\n\t"Router": {"default": "a,b"}\n}\n',
    "Portkey": '{"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "openai-1"}]}',
}


@pytest.mark.parametrize("title", FILES)
def test_a_file_of_another_gateway_gets_one_message_that_points_to_import(title: str, tmp_path: Path) -> None:
    (tmp_path / "their.conf").write_text(FILES[title])
    loaded = load("their.conf", directory=tmp_path, environ={})
    assert [str(each) for each in loaded.problems] == [
        f"their.conf: is a configuration of {title}; turn it into one of llmproxy: llmproxy import their.conf"
    ]
    assert loaded.config is None


def test_a_strange_key_among_our_own_is_a_mistake_in_our_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("server: {port: 1}\nmodel_list: []\nproviders: [{name: a, type: stub}]\n")
    (problem,) = load("x.yaml", directory=tmp_path, environ={}).problems
    assert problem.code == "unknown-key" and problem.key == "model_list"


def test_a_section_in_capitals_is_a_mistake_in_our_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("Providers: [{name: a, type: stub}]\n")
    problems = load("x.yaml", directory=tmp_path, environ={}).problems
    assert "unknown key; did you mean 'providers'?" in [each.message for each in problems if each.key == "Providers"]


def test_older_settings_are_still_ours(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("general_settings: {bind_port: 5000}\nproviders: [{name: a, type: stub}]\n")
    assert load("x.yaml", directory=tmp_path, environ={}).checked().server.port == 5000

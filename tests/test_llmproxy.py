from __future__ import annotations

from pathlib import Path

import pytest

import llmproxy
from llmproxy.config.problems import ConfigError


def test_an_app_is_made_of_a_file_a_mapping_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("providers: [{name: a, type: stub}]\nserver: {port: 5}\n")
    assert llmproxy.create_app("my.yaml").loaded.checked().server.port == 5
    assert llmproxy.create_app(tmp_path / "my.yaml", port=6).loaded.checked().server.port == 6
    from_mapping = llmproxy.create_app({"llm": {"type": "stub"}}, logging={"level": "debug"})
    assert from_mapping.loaded.checked().logging.level == "debug"
    assert [provider.name for provider in llmproxy.create_app().loaded.checked().providers] == ["stub"]


def test_what_is_wrong_is_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config: server\.prt: unknown key; did you mean 'port'"):
        llmproxy.create_app({"server": {"prt": 1}})
    with pytest.raises(ValueError, match="file not found"):
        llmproxy.create_app(tmp_path / "nowhere.yaml")
    with pytest.raises(TypeError, match="did you mean 'port'"):
        llmproxy.create_app(prt=1)

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from llmproxy.config.load import load, load_from_python
from llmproxy.config.overrides import Override
from llmproxy.providers.base import HttpProvider


def test_flags_run_an_upstream_without_a_file(tmp_path: Path) -> None:
    flags = [
        Override(path="llm.base_url", value="http://one.example/v1", source="--base-url"),
        Override(path="llm.type", value="openai", source="--type"),
        Override(path="llm.api_key", value="${k}", source="--api-key"),
    ]
    loaded = load(directory=tmp_path, environ={"OPENAI_API_KEY": "other"}, overrides=flags)
    llm = loaded.checked().llm
    assert isinstance(llm, HttpProvider.Config)
    assert (llm.name, llm.base_url, llm.api_key) == ("llm", "http://one.example/v1", SecretStr("${k}"))
    assert loaded.key_sources == {"llm": "--api-key"}
    assert loaded.checked().providers == []


def test_a_mistake_in_a_flag_is_reported_under_its_name(tmp_path: Path) -> None:
    flags = [Override(path="llm.type", value="opnai", source="--type")]
    loaded = load(directory=tmp_path, environ={}, overrides=flags)
    (problem,) = loaded.problems
    assert str(problem) == "--type: unknown provider type: 'opnai'; did you mean 'openai'?"


def test_a_flag_stands_for_a_missing_variable(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\nserver: {port: '${NOWHERE}'}\n")
    flags = [Override(path="server.port", value=1, source="--port")]
    assert load(directory=tmp_path, environ={}, overrides=flags).checked().server.port == 1


def test_overrides_win_over_the_file_and_change_only_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("providers: [{name: stub, type: stub}]\nserver: {port: 1}\n")
    overrides = {"host": "localhost", "logging": {"level": "debug"}, "models": [{"name": "x", "targets": ["stub"]}]}
    config = load_from_python(tmp_path / "my.yaml", overrides, environ={"LOG_LEVEL": "error"}).checked()
    assert (config.server.host, config.server.port, config.logging.level) == ("localhost", 1, "debug")
    assert config.models[0].name == "x"


OWN = "from llmproxy.middleware.base import Middleware\nfrom llmproxy.settings import Strict\n"
OWN += "class Tag(Middleware):\n    class Config(Strict):\n        team: str = 'red'\n        size: int = 1\n"
OWN += "    def on_end(self, exchange): ...\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logging: {level: info}", [("own", "blue", 1)]),
        ("middlewares:", [("own", "blue", 1)]),
        ("middlewares:\n  - type: ./other.py:Tag\n", [("own", "blue", 1), ("other", "red", 1)]),
        (
            "middlewares:\n  - type: ./other.py:Tag\n  - {type: './own.py:Tag', enabled: false, config: {size: 3}}\n",
            [("other", "red", 1), ("own", "blue", 3)],
        ),
    ],
)
def test_a_middleware_is_switched_on_first_in_the_list_or_where_it_stands(
    tmp_path: Path, text: str, expected: list[tuple[str, str, int]]
) -> None:
    for name in ("own", "other"):
        (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / "llmproxy.yaml").write_text(f"llm: {{type: stub}}\n{text}")
    override = Override(path="middlewares../own.py:Tag", value={"team": "blue"}, source="--own")
    config = load(overrides=[override], environ={}, directory=tmp_path).checked()
    output = [(each.type[2:-7], each.enabled, each.config.model_dump()) for each in config.middlewares]
    assert output == [(name, True, {"team": team, "size": size}) for name, team, size in expected]


def test_a_mistake_in_the_list_is_reported_as_such_when_a_middleware_is_switched_on(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("llm: {type: stub}\nmiddlewares: 5\n")
    loaded = load(overrides=[Override(path="middlewares.x", value={}, source="--x")], environ={}, directory=tmp_path)
    assert [each.key for each in loaded.problems] == ["middlewares"]


def test_an_unknown_override_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unknown setting: 'prot'; did you mean 'port'"):
        load_from_python(None, {"prot": 1}, environ={}, directory=tmp_path)

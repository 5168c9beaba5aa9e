from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load, load_from_python
from llmproxy.config.problems import ConfigError
from llmproxy.providers.base import HttpProvider

STUB = "providers: [{name: stub, type: stub}]\n"


def write(path: Path, port: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{STUB}server: {{port: {port}}}\n")


def test_the_named_file_comes_first_then_the_variable_then_the_usual_names(tmp_path: Path) -> None:
    environ = {"LLMPROXY_CONFIG": "variable.yaml"}
    for port, name in enumerate(("config.yaml", "llmproxy.yaml", "variable.yaml", "named.yaml"), start=1):
        write(tmp_path / name, port)

    def port_of(path: str | None, environ: dict[str, str]) -> int:
        return load(path, directory=tmp_path, environ=environ).checked().server.port

    assert port_of("named.yaml", environ) == 4
    assert port_of(None, environ) == 3
    assert port_of(None, {}) == 2
    (tmp_path / "llmproxy.yaml").unlink()
    assert port_of(None, {"LLMPROXY_CONFIG": ""}) == 1
    (tmp_path / "config.yaml").unlink()
    assert port_of(None, {}) == 3000


def test_without_a_file_there_is_no_path(tmp_path: Path) -> None:
    assert load(directory=tmp_path, environ={}).path is None


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    for loaded in (
        load("nowhere.yaml", directory=tmp_path, environ={}),
        load(directory=tmp_path, environ={"LLMPROXY_CONFIG": "nowhere.yaml"}),
    ):
        assert loaded.config is None
        assert [str(problem) for problem in loaded.problems] == ["nowhere.yaml: file not found"]


def test_dotenv_beside_the_file_is_read_and_never_wins(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my.yaml").write_text("providers: [{name: '${A}-${B}', type: stub}]\n")
    (tmp_path / "conf" / ".env").write_text("A=file\nB=file\n")
    (tmp_path / ".env").write_text("B=elsewhere\n")
    loaded = load("conf/my.yaml", directory=tmp_path, environ={"A": "process"})
    assert loaded.checked().providers[0].name == "process-file"
    assert loaded.dotenv == {"A": "file", "B": "file"}


def test_a_warning_of_dotenv_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my.yaml").write_text(STUB)
    (tmp_path / "conf" / ".env").write_text("nonsense\n")
    loaded = load("conf/my.yaml", directory=tmp_path, environ={})
    assert loaded.config is not None
    assert [str(problem.mark) for problem in loaded.warnings] == [str(Path("conf", ".env")) + ":1:1"]


def test_relative_paths_stand_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "ca.pem").touch()
    (tmp_path / "conf" / "my.yaml").write_text("providers: [{name: a, type: openai, ca_file: ca.pem}]\n")
    config = load("conf/my.yaml", directory=tmp_path, environ={}).checked()
    (provider,) = config.providers
    assert isinstance(provider, HttpProvider.Config)
    assert provider.ca_file == str(tmp_path / "conf" / "ca.pem")
    assert config.directory == tmp_path / "conf"


def test_without_environment_nothing_of_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text(STUB)
    (tmp_path / ".env").write_text("nonsense\n")
    monkeypatch.setenv("LOG_LEVEL", "nonsense")
    assert load("x.yaml", directory=tmp_path, no_env=True).problems == []


def test_the_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_API_PORT", "4321")
    assert load(directory=tmp_path).checked().server.port == 4321


def test_what_is_wrong_can_be_raised(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("server: {port: x}\nlogging: {level: y}\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:1:16: server\.port: .*\nx\.yaml:2:18: logging\.level: "):
        load("x.yaml", directory=tmp_path, environ={}).checked()


def test_a_mapping_is_a_configuration(tmp_path: Path) -> None:
    value = {"providers": [{"name": "a", "type": "openai", "api_key": "${K}"}], "server": {"port": 1}}
    config = load_from_python(value, {"host": "localhost"}, environ={"K": "k"}, directory=tmp_path).checked()
    assert (config.server.host, config.server.port) == ("localhost", 1)
    assert value["server"] == {"port": 1}


def test_a_mistake_in_a_mapping_is_reported_with_its_key(tmp_path: Path) -> None:
    value = {"providers": [{"name": "a", "type": "opnai"}], "server": {"prot": 1}}
    message = [str(problem) for problem in load_from_python(value, {}, environ={}, directory=tmp_path).problems]
    assert message == [
        "config: server.prot: unknown key; did you mean 'port'?",
        "config: providers[0].type: unknown provider type: 'opnai'; did you mean 'openai'?",
    ]


def test_without_anything_the_file_is_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "llmproxy.yaml", 7)
    assert load_from_python(None, {}, environ={}, directory=tmp_path).checked().server.port == 7

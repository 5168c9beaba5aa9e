from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from llmproxy.config.load import Override, load, load_from_python
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
    (tmp_path / "llmproxy.yaml").write_text(STUB + "server: {port: '${NOWHERE}'}\n")
    flags = [Override(path="server.port", value=1, source="--port")]
    assert load(directory=tmp_path, environ={}, overrides=flags).checked().server.port == 1


def test_key_sources_tell_where_each_key_is_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IN_FILE=1\n")
    (tmp_path / "llmproxy.yaml").write_text("""
providers:
  - {name: written, type: openai, api_key: sk-1}
  - {name: variable, type: openai, api_key: "${SET}"}
  - {name: dotenv, type: openai, api_key: "os.environ/IN_FILE"}
  - {name: default, type: openai, api_key: "${NOWHERE:-sk-2}"}
  - {name: absent, type: openai, api_key: "${NOWHERE:-}"}
  - {name: none, type: openai}
  - {name: both, type: openai, auth: passthrough, api_key: "${SET}"}
""")
    assert load(directory=tmp_path, environ={"SET": "1"}).key_sources == {
        "written": "config file",
        "variable": "environment variable SET",
        "dotenv": "IN_FILE in .env",
        "default": "config file",
        "absent": "none (the client's own)",
        "none": "none (the client's own)",
        "both": "the client's own, else environment variable SET",
    }


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


def test_overrides_win_over_the_file_and_change_only_what_they_name(tmp_path: Path) -> None:
    write(tmp_path / "my.yaml", 1)
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


def test_without_anything_the_file_is_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "llmproxy.yaml", 7)
    assert load_from_python(None, {}, environ={}, directory=tmp_path).checked().server.port == 7

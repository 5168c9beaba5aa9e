from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import load


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
  - {name: several, type: openai, api_keys: ["${SET}", "${NOWHERE:-a}", "${NOWHERE:-b}", sk-3]}
""")
    assert load(directory=tmp_path, environ={"SET": "1"}).key_sources == {
        "written": "config file",
        "variable": "environment variable SET",
        "dotenv": "IN_FILE in .env",
        "default": "the default of NOWHERE (not set)",
        "absent": "none (the client's own)",
        "none": "none (the client's own)",
        "both": "the client's own, else environment variable SET",
        "several": "environment variable SET, the default of NOWHERE (not set), config file",
    }


def test_components_are_found_where_they_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("""
providers: [{name: a, type: stub}]
middlewares:
  - type: printer
""")
    places = load(directory=tmp_path, environ={}).places
    assert places["providers", "a"] == "llmproxy.yaml:2:13: providers[0]"
    assert places["middlewares", 0] == "llmproxy.yaml:4:5: middlewares[0]"

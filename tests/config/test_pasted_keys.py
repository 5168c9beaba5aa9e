from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load, load_from_python
from llmproxy.config.pasted_keys import looks_like_key

KEY = "sk-proj-0123456789abcdefghijABCDEFGHIJ"


def warnings(directory: Path, text: str, **environ: str) -> list[str]:
    (directory / "llmproxy.yaml").write_text(text)
    loaded = load(directory=directory, environ=environ)
    assert loaded.config is not None
    assert KEY not in str(loaded.problems)
    return [str(each) for each in loaded.problems if each.code == "pasted-key"]


def test_a_key_in_plain_text_is_a_hint_with_its_line_and_the_usual_variable(tmp_path: Path) -> None:
    text = f"providers:\n  - {{name: a, type: openai, api_key: {KEY}}}\n"
    (hint,) = warnings(tmp_path, text)
    assert hint == (
        "llmproxy.yaml:2:38: providers[0].api_key: warning: is a key in plain text; put it into a variable, "
        "and write ${OPENAI_API_KEY}"
    )


def test_keys_are_found_wherever_they_stand(tmp_path: Path) -> None:
    text = f"""
providers:
  - name: a
    type: openai
    api_keys: [{KEY}, "${{MORE}}"]
  - {{name: my-own, type: vllm, api_key: {KEY}}}
auth:
  keys: [{{name: anna, key: {KEY}}}]
server: {{admin_key: {KEY}}}
"""
    names = [hint.rpartition("${")[2] for hint in warnings(tmp_path, text, MORE=KEY)]
    assert names == ["A_API_KEYS}", "MY_OWN_API_KEY}", "ANNA_KEY}", "ADMIN_KEY}"]


def test_variables_and_python_values_are_left_alone(tmp_path: Path) -> None:
    text = "providers: [{name: a, type: openai, api_key: '${K}'}, {name: b, type: openai, api_key_env: K}]\n"
    assert warnings(tmp_path, text, K=KEY) == []
    loaded = load_from_python({"providers": [{"name": "a", "type": "openai", "api_key": KEY}]}, {}, environ={})
    assert not loaded.problems


@pytest.mark.parametrize("text", ["sk-your-key-here", "not-needed", "${OPENAI_API_KEY}", "sk-up-5e7c", "ollama"])
def test_placeholders_are_no_keys(text: str) -> None:
    assert not looks_like_key(text)


@pytest.mark.parametrize(
    "text", ["AIza" + "a1" * 18, "sk-ant-api03-" + "x" * 40, "AKIA" + "A" * 16, " gsk_" + "z" * 30]
)
def test_keys_of_many_services_are_recognised(text: str) -> None:
    assert looks_like_key(text)

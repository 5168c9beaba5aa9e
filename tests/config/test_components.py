from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import Loaded, load

TAG = """
from llmproxy.middleware.base import Middleware
from llmproxy.settings import Duration, Strict

class Tag(Middleware):
    class Config(Strict):
        team: str
        every: Duration = 5.0
        threshold: float | None = None
        anything: object = None

    def on_end(self, exchange):
        pass
"""
MINE = """
from llmproxy.providers.base import ProviderConfig
from llmproxy.providers.completion import CompletionProvider

class Mine(CompletionProvider):
    class Config(ProviderConfig):
        greeting: str = "hello"

    async def create_completion(self, request):
        return {}
"""


def loaded(directory: Path, text: str) -> Loaded:
    (directory / "tag.py").write_text(TAG)
    (directory / "mine.py").write_text(MINE)
    (directory / "llmproxy.yaml").write_text("providers: [{name: a, type: './mine.py:Mine'}]\n" + text)
    return load(directory=directory, environ={})


def test_settings_of_a_middleware_are_read_into_its_own_config(tmp_path: Path) -> None:
    text = "middlewares: [{type: './tag.py:Tag', config: {team: 12, every: 1m, threshold: 0.5, anything: 7}}]\n"
    (entry,) = loaded(tmp_path, text).checked().middlewares
    assert type(entry.config).__qualname__ == "Tag.Config"
    assert entry.config.model_dump() == {"team": "12", "every": 60.0, "threshold": 0.5, "anything": 7}


def test_mistakes_in_the_settings_of_a_middleware_are_reported_where_they_stand(tmp_path: Path) -> None:
    text = "middlewares:\n  - type: ./tag.py:Tag\n    config:\n      taem: x\n      every: soon\n"
    message = [str(problem) for problem in loaded(tmp_path, text).problems]
    assert message == [
        "llmproxy.yaml:5:7: middlewares[0].config.team: is missing",
        "llmproxy.yaml:5:7: middlewares[0].config.taem: unknown key; did you mean 'team'?",
        "llmproxy.yaml:6:14: middlewares[0].config.every: invalid duration: 'soon'; write a number of seconds, "
        "or a number with a unit: 250ms, 30s, 5m, 1h",
    ]


def test_a_middleware_without_settings_lacks_what_it_must_have(tmp_path: Path) -> None:
    for text in ("middlewares: [{type: './tag.py:Tag'}]\n", "middlewares: [{type: './tag.py:Tag', config: }]\n"):
        (problem,) = loaded(tmp_path, text).problems
        assert (problem.key, problem.message) == ("middlewares[0].config.team", "is missing")


def test_a_middleware_may_be_left_out(tmp_path: Path) -> None:
    text = "middlewares: [{type: './tag.py:Tag', enabled: false, config: {team: x}}]\n"
    assert [entry.enabled for entry in loaded(tmp_path, text).checked().middlewares] == [False]


def test_an_own_provider_has_keys_of_its_own(tmp_path: Path) -> None:
    (provider,) = loaded(tmp_path, "").checked().providers
    assert provider.model_dump()["greeting"] == "hello"


def test_an_own_provider_may_be_the_upstream(tmp_path: Path) -> None:
    llm = loaded(tmp_path, "llm: {type: './mine.py:Mine', greeting: 5}\n").checked().llm
    assert llm is not None
    assert (llm.name, llm.model_dump()["greeting"]) == ("llm", "5")


def test_the_error_in_a_users_file_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("\n\nimport no_such_package\n")
    (problem,) = loaded(tmp_path, "middlewares: [{type: './broken.py:Tag'}]\n").problems
    assert str(problem).startswith("llmproxy.yaml:2:22: middlewares[0].type: ")
    assert str(problem).endswith(
        "broken.py' cannot be imported, line 3: ModuleNotFoundError: No module named 'no_such_package'"
    )


def test_a_setting_of_a_middleware_outside_config_is_reported_with_its_place(tmp_path: Path) -> None:
    text = "middlewares:\n  - type: ./tag.py:Tag\n    every: 1s\n    config: {team: x}\n"
    (problem,) = loaded(tmp_path, text).problems
    assert str(problem) == (
        "llmproxy.yaml:4:5: middlewares[0].every: unknown key; did you mean 'middlewares[0].config.every'?"
    )

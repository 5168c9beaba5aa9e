"""The examples of docs/extending.md, written to files as the page says, in a running program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.readme import Page
from tests.support.program import Program

PAGE = Path(__file__).parents[2] / "llmproxy" / "docs" / "extending.md"
CHAT = "/v1/chat/completions"


def ask(model: str) -> dict[str, object]:
    return {"model": model, "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("extending")
    (home / "my").mkdir()
    blocks = Page.read("extending.md", PAGE.read_text(encoding="utf-8")).blocks
    (config,) = [text for language, text in blocks if language == "yaml"]
    for file, name in re.findall(r"\./my/(\w+\.py):(\w+)", config):
        (example,) = [text for language, text in blocks if language == "python" and f"class {name}(" in text]
        (home / "my" / file).write_text(example, encoding="utf-8")
    with Program(home, config=config, extra={"ACME_API_KEY": "k"}) as program:
        yield program


def test_the_examples_answer_together(program: Program) -> None:
    first, again = program.post(CHAT, ask("nearest")), program.post(CHAT, ask("nearest"))
    assert first.status == 200 and json.loads(first.body)["choices"][0]["message"]["content"] == "Hello"
    assert first.value("x-llmproxy-provider") == "echo", "the strategy calls it first"
    assert (
        first.value("x-team") == "blue"
        and first.value("x-watched") == "yes"
        and (first.value("x-took-ms") or "").isdigit()
    )
    assert first.value("x-cache") == "miss" and again.value("x-cache") == "hit", "the store gave it back"
    assert json.loads(again.body) == json.loads(first.body)


def test_a_hook_refuses_and_another_counts(program: Program) -> None:
    refused = program.post(CHAT, ask("forbidden"))
    assert refused.status == 403 and b"not_for_you" in refused.body
    text = program.get("/health").body.decode()
    assert re.search(r'"ended": ?[1-9]', text) and re.search(r'"sent_bytes": ?[1-9]', text)


def test_the_page_has_every_hook_with_its_signature() -> None:
    from llmproxy.middleware.base import Middleware

    text = PAGE.read_text(encoding="utf-8")
    for name in ("on_request", "around", "on_response", "on_chunk", "on_end"):
        function = getattr(Middleware, name)
        names = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
        assert f"def {name}({names})` |" in text, name

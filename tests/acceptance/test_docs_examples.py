"""The examples for clients in the README and the docs, run as they are but for the port, against the stub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.readme import Page
from tests.support.program import Program

ROOT = Path(__file__).parents[2]
FILES = ("README.md", "llmproxy/docs/clients.md", "llmproxy/docs/responses.md")
# Of a program that serves, and never ends by itself.
SERVING = "create_app"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = "providers: [{name: local, type: stub, models: ['*']}]\nmiddlewares: [{type: cache}]\n"
    with Program(tmp_path_factory.mktemp("examples"), config=config) as program:
        yield program


@pytest.mark.parametrize("file", FILES)
def test_the_examples_run(program: Program, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "not-needed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-needed")
    blocks = Page.read(file, (ROOT / file).read_text(encoding="utf-8")).blocks
    names: dict[str, object] = {}
    examples = [text for language, text in blocks if language == "python" and SERVING not in text]
    assert examples
    for text in examples:
        exec(text.replace("http://127.0.0.1:3000", program.url), names)

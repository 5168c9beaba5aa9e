"""Windows, as far as another system can show it: without what it lacks, and with names that are special there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest

from llmproxy.registry import RegistryError, find_component
from tests.support.program import Program, run

pytestmark = pytest.mark.ledger("D3")

CONFIG = """
server: {workers: auto}
providers: [{name: stub, type: stub, models: ["*"]}]
middlewares:
  - {type: trace, config: {directory: ./traces}}
  - {type: audit, config: {path: ./audit.jsonl}}
  - {type: printer}
logging: {file: ./llmproxy.log}
"""
REQUEST = {"model": "any", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
# Devices, other drives and streams of files where they become a part of a name, and more than a path may have.
NAMES = ["con", "NUL.txt", "..\\..\\aux", "C:\\evil", "a:b", "lpt1 ", "x" * 260]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield one that has served, traced, audited, listed its records and ended."""
    folder = tmp_path_factory.mktemp("windows")
    (folder / "llmproxy.yaml").write_text(CONFIG)
    module = [sys.executable, "-m", "tests.support.as_windows"]
    commands = ["serve", "--port", "0", "then", "trace", "ls", "./traces", "then", "trace", "stats", "./traces"]
    with Program.of([*module, *commands], folder) as program:
        for name in NAMES:
            answer = program.post("/v1/chat/completions", REQUEST, f"x-request-id: {name}", f"x-session-id: {name}")
            assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n")
        assert program.get("/health").json["status"] == "ok"
    yield program


def test_it_serves_traces_audits_lists_and_stops(program: Program) -> None:
    lines = (program.directory / "audit.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == len(NAMES)
    assert program.out.count(" any ") >= len(NAMES), program.out
    assert "stopping" in (program.directory / "llmproxy.log").read_text()


def test_no_file_has_a_name_from_a_client(program: Program) -> None:
    files = [path.relative_to(program.directory) for path in program.directory.rglob("*") if path.is_file()]
    assert len(files) >= len(NAMES) + 3
    for path in files:
        assert not PureWindowsPath(path).is_reserved() and len(str(path)) < 100
        assert not set(':*?"<>|') & set(str(path)) and not str(path).endswith((".", " "))


@pytest.mark.parametrize(
    "name", ["C:\\mine\\tag.py:Tag", "C:/mine/tag.py:Tag", "..\\con.py:Tag", "\\\\server\\share\\tag.py:Tag"]
)
def test_the_class_behind_a_path_of_windows_is_found_after_the_last_colon(name: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"^file not found: .*(tag|con)\.py'$"):
        find_component("middlewares", name, tmp_path)


def test_a_path_that_is_too_long_is_a_message(tmp_path: Path) -> None:
    config = (
        f"providers: [{{name: s, type: stub}}]\nmiddlewares: [{{type: trace, config: {{directory: ./{'x' * 260}}}}}]"
    )
    (tmp_path / "llmproxy.yaml").write_text(config)
    done = run("serve", "--port", "0", cwd=tmp_path)
    assert done.returncode == 1 and "file name too long" in done.stderr and "Traceback" not in done.stderr

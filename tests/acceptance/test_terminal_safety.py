"""Text from outside reaches a terminal escaped, whichever command shows it; JSON stays valid and whole."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmproxy.cli import main
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.records import ASKED, head, write
from tests.support.waiting import until

EVIL = "a\x1b[31m\x9b31m\x85\x07\x7f\u202e\u2066\u200b\u200d\u00ad\u2028\u2029\ufeffz"
BAD = ("Cc", "Cf", "Zl", "Zp", "Cs")
CHAT = {**ASKED, "model": EVIL, "user": EVIL, EVIL: EVIL, "messages": [{"role": "user", "content": EVIL, EVIL: 1}]}


def steering(text: str) -> set[str]:
    """Return the characters of `text` that a terminal obeys or hides."""
    return {each for each in text if unicodedata.category(each) in BAD and each not in "\n\t"}


def poisoned(value: Any) -> Any:
    """Put EVIL into every text of a page, keys of its maps included."""
    match value:
        case str():
            return value + EVIL
        case list():
            return [poisoned(each) for each in value]
        case dict():
            return {name: poisoned(each) for name, each in value.items()} | {EVIL: EVIL}
        case _:
            return value


def holds(value: Any, text: str) -> bool:
    """Return whether a text of `value` contains `text`."""
    if isinstance(value, dict):
        return any(text in name or holds(each, text) for name, each in value.items())
    return any(holds(each, text) for each in value) if isinstance(value, list) else text in str(value)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Yield what a command writes: standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[str, str]:
        with pytest.raises(SystemExit):
            main(arguments)
        return capfd.readouterr()

    yield run


def assert_safe(shown: tuple[str, str]) -> None:
    assert shown[0] or shown[1]
    assert steering(shown[0]) == set() == steering(shown[1])


TRACE = [
    ["ls"],
    ["ls", "--json"],
    ["tail"],
    ["tail", "--json"],
    ["stats"],
    ["stats", "--json"],
    ["show", "000001"],
    ["show", "000001", "--json"],
    ["show", "000001", "--curl"],
    ["show", "--session", EVIL],
    ["show", "--session", EVIL, "--json"],
    ["show", "--session", "nobody" + EVIL],
    ["show", "nothing" + EVIL],
]


@pytest.mark.parametrize("command", TRACE, ids=lambda command: " ".join(command)[:24])
def test_records(tmp_path: Path, shown: Any, command: list[str]) -> None:
    entry = {name: value for name, value in head(1).items() if name not in ("id", "started", "version")}
    changes = {name: value + EVIL if isinstance(value, str) else value for name, value in entry.items()}
    changes |= {"error": {"code": EVIL, "message": EVIL, "status": 400}, "session": EVIL, "thread": EVIL}
    changes |= {"client": {"address": EVIL, "agent": EVIL, "name": EVIL}, "dropped": [EVIL], "method": "POST"}
    changes["request"] = {"headers": {"x" + EVIL: EVIL}, "size": 9, "format": "json", "body": CHAT}
    changes["response"] = {"headers": {"y": [EVIL, EVIL]}, "size": 9, "format": "text", "body": EVIL}
    for number in (1, 2):
        write(tmp_path / "t", number, **changes)
    broken = tmp_path / "t" / "2026-01-02" / f"235959.999-{EVIL}.json"
    broken.write_text(EVIL)
    result = shown("trace", *command, str(tmp_path / "t"))
    assert_safe(result)
    if "--json" in command:
        text = result[0]
        lines = [text] if command[0] == "stats" or "000001" in command else text.splitlines()
        values = [json.loads(line) for line in lines]
        assert any(holds(value, EVIL) for value in values)


PAGES: dict[str, Mapping[str, Any]] = {
    "stats": {
        "version": "1",
        "uptime_seconds": 5,
        "requests": {"total": 3},
        "providers": [{"name": "p", "requests": 1, "models": [{"name": "m", "requests": 1}]}],
        "models": [{"name": "m", "provider": "p", "requests": 1}],
        "clients": [{"name": "c", "requests": 1}],
        "sessions": [{"id": "s", "requests": 1}],
        "errors": [{"code": "c", "message": "m", "count": 1}],
        "running": {"exchanges": [{"id": "x", "model": "m", "session": "s"}]},
    },
    "sessions": {"store": "memory", "sessions": [{"id": "s", "client": "c", "models": ["m"], "started": "2026-01-02"}]},
    "cache stats": {"store": "redis", "mode": "on", "hits": 1},
    "cache clear --yes": {"error": {"code": "c", "message": "m"}},
}


@pytest.mark.parametrize("command", PAGES)
@pytest.mark.parametrize("how", ["page", "json", "error"])
def test_pages_of_servers(shown: Any, command: str, how: str) -> None:
    error = {"error": {"message": EVIL, "code": "x" + EVIL, "type": EVIL}}
    content = error if how == "error" else poisoned(dict(PAGES[command]))
    page = Reply(status=500 if how == "error" else 200, pieces=[json.dumps(content).encode()])
    more = ["--json"] if how == "json" and "clear" not in command else []
    with Upstream(page) as server:
        result = shown(*command.split(), "--url", server.url, *more)
    assert_safe(result)
    if more:
        assert json.loads(result[0]) == poisoned(dict(PAGES[command]))


def quoted(text: str) -> str:
    return json.dumps(text)


CONFIG = f"""
{quoted("top" + EVIL)}: 1
providers:
  - {{name: main, type: stub, {quoted(EVIL)}: {quoted(EVIL)}}}
  - {{name: {quoted(EVIL)}, type: {quoted(EVIL)}}}
models:
  - {{name: {quoted(EVIL)}, targets: [{{provider: {quoted(EVIL)}}}]}}
middlewares: [{{type: {quoted(EVIL)}}}]
server: {{port: {quoted(EVIL)}}}
"""


@pytest.mark.parametrize(
    "command",
    ["validate-config", "validate-config --format github", "validate-config --format json", "explain m -c", "-c"],
)
def test_mistakes_of_a_configuration(tmp_path: Path, shown: Any, command: str) -> None:
    (tmp_path / f"c{EVIL}.yaml").write_text(CONFIG, encoding="utf-8")
    assert_safe(shown(*command.split(), f"c{EVIL}.yaml"))


def test_a_route_is_explained(tmp_path: Path, shown: Any) -> None:
    names = [quoted("p" + EVIL), quoted("m" + EVIL)]
    (tmp_path / "c.yaml").write_text(
        f"providers: [{{name: p, type: openai, base_url: http://127.0.0.1:1, api_key: k}}]\n"
        f"models: [{{name: {names[1]}, targets: [{{provider: p, model: {names[0]}}}]}}]\n"
    )
    assert_safe(shown("explain", "m" + EVIL, "-c", "c.yaml"))


@pytest.mark.parametrize(
    ("command", "ends_well"),
    [
        ("translate r.json --from chat --to messages", True),
        ("translate r.json --from chat --to messages --json", True),
        ("translate bad.json --from chat --to messages", False),
        ("translate r.json --from chat --to messages --strict", False),
        ("lint r.json --dialect chat --model claude-sonnet-4-5", False),
        ("explain m --dialect chat --request r.json", False),
    ],
)
def test_requests(tmp_path: Path, shown: Any, command: str, ends_well: bool) -> None:
    (tmp_path / "r.json").write_text(json.dumps({**CHAT, "max_tokens": 5}))
    (tmp_path / "bad.json").write_text(json.dumps({**CHAT, "messages": [{"role": EVIL, "content": EVIL}]}))
    result = shown(*command.split())
    assert_safe(result)
    if ends_well:
        body = json.loads(result[0])
        assert holds(body, EVIL)


def test_what_the_server_prints_and_logs(tmp_path: Path) -> None:
    config = f"""
providers: [{{name: main, type: openai, base_url: "http://127.0.0.1:9", api_key: k}}]
models: [{{name: {quoted("m" + EVIL)}, targets: [{{provider: main}}]}}]
middlewares: [{{type: printer, config: {{log_arrivals: true, log_body: true}}}}, {{type: sessions}}]
logging: {{level: debug}}
"""
    with Program(tmp_path, config=config) as program:
        body = {**CHAT, "model": "m" + EVIL, "messages": [{"role": "user", "content": EVIL}]}
        program.post("/v1/chat/completions?x=" + "%1b%9b", body, "x-session-id: s\x9b\x85")
        until(lambda: program.out.count("upstream_error") or "error" in program.out, "the printed line")
    assert "\\x9b31m" in program.out and "\\x9b31m" in program.err
    assert steering(program.out) == set() == steering(program.err)

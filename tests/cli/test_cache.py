from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_cache_view import PAGE
from tests.support.program import run
from tests.support.provider import Reply, Upstream
from tests.support.terminal import Terminal

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def page(content: object, status: int = 200) -> Reply:
    return Reply(status=status, pieces=[json.dumps(content).encode()])


@pytest.fixture
def server() -> Iterator[Upstream]:
    """Yield a server whose cache can be seen and cleared: of both pages it says everything at once."""
    with Upstream(page({**PAGE, "deleted": 3})) as upstream:
        yield upstream


def test_figures_are_shown_as_lines_and_as_json(server: Upstream, tmp_path: Path) -> None:
    done = run("cache", "stats", "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("store     redis\n") and "\x1b" not in done.stdout
    done = run("cache", "stats", "--url", server.url, "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {**PAGE, "deleted": 3}
    assert [request.target for request in server.requests] == [b"/cache"] * 2


@pytest.mark.parametrize(
    ("flags", "target"),
    [
        ((), b"/cache"),
        (("--yes",), b"/cache"),
        (("--model", "a/b&c"), b"/cache?model=a%2Fb%26c"),
        (("--key", "k/1"), b"/cache/k%2F1"),
    ],
)
def test_clearing_says_how_many_there_were(
    server: Upstream, tmp_path: Path, flags: tuple[str, ...], target: bytes
) -> None:
    done = run("cache", "clear", "--url", server.url, *flags, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "cleared 3 answers\n", "")
    assert (server.only.method, server.only.target) == ("DELETE", target)
    assert server.only.values("authorization") == []


def test_the_admin_key_is_an_option_or_a_variable(server: Upstream, tmp_path: Path) -> None:
    run("cache", "clear", "--url", server.url, "--admin-key", "one", cwd=tmp_path)
    run("cache", "clear", "--url", server.url, cwd=tmp_path, extra={"LLMPROXY_ADMIN_KEY": "two"})
    assert [request.value("authorization") for request in server.requests] == ["Bearer one", "Bearer two"]


FORBIDDEN = page({"error": {"code": "forbidden", "message": "?"}}, 403)


@pytest.mark.parametrize(
    ("reply", "flags", "message"),
    [
        (FORBIDDEN, (), "pass its server.admin_key with --admin-key or $LLMPROXY_ADMIN_KEY"),
        (FORBIDDEN, ("--admin-key", "x"), "refused the admin key"),
        (page({"error": {"code": "not_found", "message": "?"}}, 404), ("--key", "k1"), "no answer with the key 'k1'"),
        (page({"error": {"code": "not_configured", "message": "Add it"}}, 404), ("--key", "k1"), ": Add it"),
        (page({}, 404), (), "/cache; not an llmproxy server"),
        (page({"hello": 1}), (), "unexpected answer to DELETE /cache"),
        (page({"error": {"code": "store_fault", "message": "Gone"}}, 503), (), "with status 503: Gone"),
    ],
)
def test_what_cannot_be_cleared_ends_with_1_and_one_line(
    server: Upstream, tmp_path: Path, reply: Reply, flags: tuple[str, ...], message: str
) -> None:
    server.next(reply)
    done = run("cache", "clear", "--url", server.url, *flags, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["stats", "clear"])
def test_without_a_server_it_says_so(tmp_path: Path, command: str) -> None:
    done = run("cache", command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and "no running server found" in done.stderr


def test_another_program_is_reported_apart(tmp_path: Path) -> None:
    with Upstream(page({"hello": 1})) as upstream:
        done = run("cache", "stats", "--url", upstream.url, cwd=tmp_path)
    assert done.returncode == 1 and "is not an llmproxy server: unexpected content at /cache" in done.stderr


def test_a_key_that_is_none_is_wrong_usage_and_not_repeated(server: Upstream, tmp_path: Path) -> None:
    done = run("cache", "clear", "--url", server.url, "--admin-key", "se\ncret", cwd=tmp_path)
    assert done.returncode == 2 and "cret" not in done.stderr and server.requests == []


def test_a_key_and_a_model_together_are_wrong_usage(server: Upstream, tmp_path: Path) -> None:
    done = run("cache", "clear", "--url", server.url, "--key", "k", "--model", "m", cwd=tmp_path)
    assert done.returncode == 2 and server.requests == []


@posix
@pytest.mark.parametrize(("keys", "code", "methods"), [("y\r", 0, ["GET", "DELETE"]), ("\r", 1, ["GET"])])
def test_on_a_terminal_it_asks_before_everything_is_cleared(
    server: Upstream, tmp_path: Path, keys: str, code: int, methods: list[str]
) -> None:
    with Terminal(tmp_path, "cache", "clear", "--url", server.url, columns=120) as terminal:
        terminal.wait_for("10 answers of 20.0KB? [y/N]")
        terminal.press(keys)
        assert terminal.wait() == code
    assert [request.method for request in server.requests] == methods


@posix
@pytest.mark.parametrize("flags", [("--yes",), ("--model", "m")])
def test_on_a_terminal_it_does_not_ask_for_less_or_with_yes(
    server: Upstream, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    with Terminal(tmp_path, "cache", "clear", "--url", server.url, *flags) as terminal:
        assert terminal.wait() == 0
    assert [request.method for request in server.requests] == ["DELETE"]

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_sessions_view import PAGE, SESSION
from tests.support.program import Program, run
from tests.support.provider import Reply, Upstream


@pytest.fixture
def server() -> Iterator[Upstream]:
    """Yield a server that shows one page, whatever it is asked for."""
    with Upstream(Reply(pieces=[json.dumps(PAGE).encode()])) as upstream:
        yield upstream


def refusing(status: int, body: object) -> Reply:
    return Reply(status=status, pieces=[json.dumps(body).encode()])


def test_sessions_are_listed_without_colour_in_a_pipe(server: Upstream, tmp_path: Path) -> None:
    done = run("sessions", "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.only.target == b"/sessions?limit=20"
    assert done.stdout.startswith("session ") and SESSION["id"] in done.stdout and "\x1b" not in done.stdout


def test_the_page_is_given_as_json(server: Upstream, tmp_path: Path) -> None:
    done = run("sessions", "--url", server.url, "-n", "7", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, PAGE)
    assert server.only.target == b"/sessions?limit=7"


def test_one_is_shown_by_its_id_whatever_that_is(server: Upstream, tmp_path: Path) -> None:
    server.next(Reply(pieces=[json.dumps(SESSION).encode()]))
    done = run("sessions", "a/b c?", "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "last seen" in done.stdout
    assert server.only.target == b"/sessions/a%2Fb%20c%3F"


def test_the_beginning_of_an_id_is_enough_when_it_is_that_of_one_session(server: Upstream, tmp_path: Path) -> None:
    missing = refusing(404, {"error": {"code": "not_found", "message": "?"}})
    server.next(missing, Reply(pieces=[json.dumps(PAGE).encode()]), Reply(pieces=[json.dumps(SESSION).encode()]))
    done = run("sessions", SESSION["id"][:4], "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and SESSION["id"] in done.stdout

    two = PAGE | {"sessions": [{"id": "abc-1"}, {"id": "abc-2"}]}
    server.next(missing, Reply(pieces=[json.dumps(two).encode()]))
    done = run("sessions", "abc", "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "llmproxy: 2 sessions begin with 'abc'; pass more of the id: abc-1, abc-2\n",
    )


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refusing(404, {"error": {"code": "not_found", "message": "?"}}), "no session 'abc' at"),
        (refusing(404, {"error": {"code": "not_configured", "message": "Switch it on"}}), ": Switch it on"),
        (refusing(404, {}), "/sessions/abc; not an llmproxy server, or an older version"),
        (refusing(503, {"error": {"code": "store", "message": "It is gone"}}), "with status 503: It is gone"),
        (refusing(200, {"hello": 1}), "is not an llmproxy server: unexpected content at /sessions"),
    ],
)
def test_what_cannot_be_shown_ends_with_1_and_one_line(
    server: Upstream, tmp_path: Path, reply: Reply, message: str
) -> None:
    server.next(reply)
    done = run("sessions", "abc", "--url", server.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_a_server_without_sessions_and_no_server_are_reported(tmp_path: Path) -> None:
    with Upstream(refusing(404, {"error": {"code": "not_found", "message": "?"}})) as upstream:
        done = run("sessions", "--url", upstream.url, cwd=tmp_path)
    assert done.returncode == 1 and "not an llmproxy server, or an older version" in done.stderr
    done = run("sessions", cwd=tmp_path)
    assert done.returncode == 1 and "no running server found" in done.stderr


@pytest.mark.parametrize("flags", [("-n", "0"), ("-n", "10001"), ("a", "b")])
def test_wrong_usage_ends_with_2(tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert run("sessions", *flags, cwd=tmp_path).returncode == 2


def test_of_several_servers_a_file_names_one(tmp_path: Path) -> None:
    with Program(tmp_path) as bare, Program(tmp_path, config="providers: [{name: s, type: stub}]\n") as program:
        done = run("sessions", "--config", "llmproxy.yaml", cwd=tmp_path)
        assert program.url in done.stdout + done.stderr and bare.url not in done.stdout + done.stderr
        done = run("sessions", "--config", "other.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "no running server with 'other.yaml' found" in done.stderr

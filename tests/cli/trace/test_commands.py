from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy.wire.repeated_json import JsonMemory
from tests.support.program import clean_environment, run
from tests.support.records import append, write
from tests.support.trace_stores import sqlite_traces, turn_record


def listed(directory: Path, *arguments: str) -> list[int]:
    done = run("trace", "ls", "t", "--json", *arguments, cwd=directory)
    assert (done.stderr, done.returncode) == ("", 0)
    return [int(json.loads(line)["id"][:6], 16) for line in done.stdout.splitlines()]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    write(tmp_path / "t", 1, duration_ms=500.0, model="b", usage=None, session="s1")
    write(tmp_path / "t", 2, duration_ms=50.0, model="a", status=429)
    append(tmp_path / "t", 3, duration_ms=5000.0, model=None, provider="claude", session="s1")
    return tmp_path


def test_a_list_is_sorted_filtered_and_cut(traces: Path) -> None:
    assert listed(traces) == [1, 2, 3]
    assert listed(traces, "--sort", "duration") == [2, 1, 3]
    assert listed(traces, "--sort", "duration", "-n", "2") == [1, 3]
    assert listed(traces, "--sort", "duration", "-n", "2", "--reverse") == [3, 1]
    assert listed(traces, "--sort", "tokens")[0] == 1
    assert listed(traces, "--sort", "model") == [3, 2, 1]
    assert listed(traces, "--sort", "status")[-1] == 2
    assert listed(traces, "--reverse") == [3, 2, 1]
    assert listed(traces, "--session", "s1") == [1, 3]
    assert listed(traces, "--filter", "status=4xx,model=a") == [2]
    assert listed(traces, "--filter", "slower=100ms", "--filter", "provider=claude") == [3]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("command", ["ls", "tail", "stats", "show 000001", "show 000001 --raw", "show 000001 --curl"])
def test_without_a_standard_output_nothing_is_shown_and_nothing_breaks(traces: Path, command: str) -> None:
    verb, *rest = command.split()
    words = [sys.executable, "-m", "llmproxy", "trace", verb, *rest[:1], "t", *rest[1:]]
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} >&-"],
        env=clean_environment(traces),
        cwd=traces,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_one_record_is_shown_by_the_beginning_of_its_id_and_by_its_file(traces: Path) -> None:
    output = run("trace", "show", "000002", "t", cwd=traces)
    assert output.returncode == 0 and "429" in output.stdout
    whole = json.loads(run("trace", "show", "000003", "t", "--json", cwd=traces).stdout)
    assert whole["request"]["body"]["messages"]
    (path, *_) = sorted((traces / "t").glob("*/*.json"))
    assert "  user\n    Hi" in run("trace", "show", str(path), cwd=traces).stdout
    assert "curl -sS" in run("trace", "show", "000001", "t", "--curl", cwd=traces).stdout
    assert '"Hello"' in run("trace", "show", "000001", "t", "--raw", cwd=traces).stdout


def test_sums_are_reported_as_a_table_and_as_json(traces: Path) -> None:
    assert "claude" in run("trace", "stats", "t", cwd=traces).stdout
    total = json.loads(run("trace", "stats", "t", "--json", "--filter", "status=2xx", cwd=traces).stdout)["total"]
    assert total["requests"] == 2


@pytest.mark.parametrize("command", [["ls"], ["tail"], ["stats"]])
def test_what_cannot_be_read_is_counted_and_named(traces: Path, command: list[str]) -> None:
    write(traces / "t", 8).write_text('{"version": 7}')
    write(traces / "t", 9).write_text('{"version": 1, "id": ')
    done = run("trace", *command, "t", cwd=traces)
    assert done.returncode == 0 and done.stdout
    assert done.stderr.count("\n") == 1
    assert "cannot read 2 records" in done.stderr and ".json: it " in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["tail"],
        ["stats"],
        ["show", "abc"],
        ["ls", "absent"],
        ["tail", "absent"],
        ["ls", "empty"],
        ["tail", "empty"],
        ["stats", "empty"],
    ],
)
def test_without_traces_it_says_how_to_turn_them_on(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    done = run("trace", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "llmproxy serve --trace" in done.stderr and "Traceback" not in done.stderr


def test_nothing_that_fits_is_reported(traces: Path) -> None:
    done = run("trace", "ls", "t", "--filter", "model=zzz", cwd=traces)
    assert (done.returncode, done.stderr) == (1, "llmproxy: no exchange matches\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "t", "--filter", "colour=red"],
        ["tail", "t", "--filter", "status=many"],
        ["stats", "t", "--filter", "model"],
        ["ls", "t", "--since", "yesterday"],
        ["ls", "t", "--sort", "beauty"],
        ["tail", "t", "-n", "-1"],
        ["show", "--thread", "x"],
        ["show", "s1", "t", "--session", "s1"],
        ["show", "--session", "s1", "t", "--raw"],
        ["show", "--session", "s1", "t", "--curl"],
    ],
)
def test_wrong_usage_ends_with_2(traces: Path, arguments: list[str]) -> None:
    done = run("trace", *arguments, cwd=traces)
    assert done.returncode == 2 and done.stderr.startswith("llmproxy: ") and "Traceback" not in done.stderr


def test_a_console_without_unicode_gets_question_marks_and_whole_json(traces: Path) -> None:
    write(traces / "t", 7, model="日本🎉")
    extra = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "??" in run("trace", "ls", "t", cwd=traces, extra=extra).stdout
    last = run("trace", "ls", "t", "--json", cwd=traces, extra=extra).stdout.splitlines()[-1]
    assert json.loads(last)["model"] == "日本🎉"


def test_a_session_is_one_conversation(traces: Path) -> None:
    done = run("trace", "show", "--session", "s1", "t", cwd=traces)
    assert (done.returncode, done.stderr) == (0, "")
    assert "000001" in done.stdout and "000002" not in done.stdout and done.stdout.count("    Hi") == 1
    lines = run("trace", "show", "--session", "s1", "t", "--json", cwd=traces).stdout.splitlines()
    assert [json.loads(line)["id"][:6] for line in lines] == ["000001", "000003"]
    assert all("request" in json.loads(line) for line in lines)


def test_threads_of_a_session_have_a_line_each(traces: Path) -> None:
    append(traces / "t", 7, session="s3")
    usage = {"input": 1300, "output": 9, "cache_read": 1200, "cache_write": None, "reasoning": None}
    append(traces / "t", 8, session="s3", thread="a1f6c3d", usage=usage)
    append(traces / "t", 9, session="s3", thread="a1f6c3d", status=500)
    append(traces / "t", 10, session="s3", thread="title")
    lines = run("trace", "show", "--session", "s3", "t", cwd=traces).stdout.splitlines()
    assert [line[:15] for line in lines if "000007" in line or "000008" in line or "000009" in line] != []
    assert not any("000008" in line or "00000a" in line for line in lines)
    assert lines[-2] == ("thread a1f6c3d: 2 requests, 1 failed, gpt-4o, 1.3k in (1.2k cached), 14 out, asked: Hi")
    assert lines[-1].startswith("thread title: 1 request, gpt-4o, 10 in, 5 out")
    own = run("trace", "show", "--session", "s3", "--thread", "a1f6c3d", "t", cwd=traces).stdout
    assert "000008" in own and "000009" in own and "thread (main): 1 request" in own and "thread title" in own
    unknown = run("trace", "show", "--session", "s3", "--thread", "x", "t", cwd=traces)
    assert unknown.returncode == 1 and "its threads: a1f6c3d, title" in unknown.stderr
    assert "s3 thread title" in run("trace", "ls", "t", "--filter", "thread=title", cwd=traces).stdout


def test_a_session_is_reported_in_the_order_of_its_exchanges(traces: Path) -> None:
    append(traces / "t", 9, session="s2")
    append(traces / "t", 8, session="s2", started="2026-01-01T23:59:59.000000Z")
    append(traces / "t", 7, session="s2")
    lines = run("trace", "show", "--session", "s2", "t", "--json", cwd=traces).stdout.splitlines()
    assert [json.loads(line)["id"][:6] for line in lines] == ["000008", "000007", "000009"]


def test_lists_are_limited_to_a_session_of_any_name(traces: Path) -> None:
    write(traces / "t", 4, session="other, [x]")
    assert listed(traces, "--session", "other, [x]") == [4]
    assert listed(traces, "--session", "s1", "--filter", "provider=claude") == [3]
    done = run("trace", "tail", "t", "--session", "s1", "--json", cwd=traces)
    assert [json.loads(line)["session"] for line in done.stdout.splitlines()] == ["s1", "s1"]


def test_a_session_that_is_not_there_is_reported(traces: Path) -> None:
    done = run("trace", "show", "--session", "s9", "t", cwd=traces)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llmproxy: no exchange of session 's9' in ") and "Traceback" not in done.stderr
    (traces / "empty").mkdir()
    assert "serve --trace" in run("trace", "show", "--session", "s9", "empty", cwd=traces).stderr


def test_what_of_a_session_cannot_be_read_is_reported_after_the_rest(traces: Path) -> None:
    path = write(traces / "t", 4, session="s1")
    path.write_text(path.read_text().splitlines()[0] + "\n")
    done = run("trace", "show", "--session", "s1", "t", cwd=traces)
    assert done.returncode == 0 and "000003" in done.stdout
    assert done.stderr.count("\n") == 1 and "cannot read 1 record" in done.stderr


def test_without_an_id_the_newest_is_shown(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "t", number)
    assert "  id       000002aaaa" in run("trace", "show", "t", cwd=tmp_path).stdout
    (tmp_path / "t").rename(tmp_path / "traces")
    assert "  id       000002aaaa" in run("trace", "show", cwd=tmp_path).stdout


def test_the_beginning_of_an_id_is_enough_for_requests_and_sessions(tmp_path: Path) -> None:
    write(tmp_path / "t", 1, session="session-of-anna")
    write(tmp_path / "t", 2)
    assert "  id       000001aaaa" in run("trace", "show", "req-1", "t", cwd=tmp_path).stdout
    done = run("trace", "ls", "t", "--session", "session-of", cwd=tmp_path)
    assert "000001" in done.stdout and "000002" not in done.stdout


def test_whole_records_of_every_format_are_exported(traces: Path) -> None:
    rows = sqlite_traces(traces / "t")
    rows.write(turn_record(4, b'{"messages":[]}', JsonMemory(), session="s1"))
    rows.flush()
    rows.close()

    def exported(*arguments: str) -> list[int]:
        done = run("trace", "export", "t", *arguments, cwd=traces)
        assert (done.stderr, done.returncode) == ("", 0)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert all("body" in record["request"] for record in records)
        return [int(record["id"][:6], 16) for record in records]

    assert exported() == [1, 2, 3, 4]
    assert exported("--session", "s1", "--format", "jsonl") == [1, 3, 4]
    assert exported("--filter", "status=429") == [2]
    array = json.loads(run("trace", "export", "t", "--format", "json", cwd=traces).stdout)
    assert [record["started"] for record in array] == sorted(record["started"] for record in array)
    nothing = run("trace", "export", "t", "--session", "s9", cwd=traces)
    assert nothing.returncode == 1 and "no exchange matches" in nothing.stderr

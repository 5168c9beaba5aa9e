from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.environment import Environment, Expanded, expand, read_dotenv

VARIABLES = Environment({"A": "1", "EMPTY": "", "SHARED": "process"}, {"B": "2", "SHARED": "file"})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${B}z", "x1y2z"),
        ("${SHARED}", "process"),
        ("${EMPTY}", ""),
        ("${NONE:-default}", "default"),
        ("${A:-default}", "1"),
        ("${EMPTY:-default}", "default"),
        ("${NONE:-}", ""),
        ("${NONE:-${B}}", "2"),
        ("${NONE:-a${NONE:-b}c}d", "abcd"),
        ("${NONE:-http://x:1/}", "http://x:1/"),
        ("$${A}", "${A}"),
        ("$${A} ${A}", "${A} 1"),
        ("${NONE:-$${A}", "${A"),
        ("$A $ {A} $", "$A $ {A} $"),
        ("os.environ/A", "1"),
        (" os.environ/A ", "1"),
        ("see os.environ/A", "see os.environ/A"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    result = expand(text, VARIABLES)
    assert (result.text, result.missing, result.fault) == (filled, (), "")


def test_the_places_of_variables_are_reported() -> None:
    assert expand("${A}${B}${A}", VARIABLES).variables == ("environment variable A", "B in .env")
    assert expand("${A:-${B}}", VARIABLES).variables == ("environment variable A",)
    assert expand("${NONE:-${B}}", VARIABLES).variables == ("B in .env",)


def test_missing_variables_are_all_named_once() -> None:
    result = expand("${X}${Y}${X}${A}", VARIABLES)
    assert result.missing == ("X", "Y")
    assert expand("os.environ/X", VARIABLES).missing == ("X",)
    assert expand("${A:-${X}}", VARIABLES).missing == ()
    assert expand("${NONE:-${X}}", VARIABLES).missing == ("X",)


def test_missing_variables_with_a_default_are_named() -> None:
    assert expand("${NONE:-}${MORE:-x}", VARIABLES).defaulted == ("NONE", "MORE")
    assert not expand("${EMPTY}", VARIABLES).defaulted
    assert not expand("${NONE:-}${X}", VARIABLES).defaulted


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "${A:-", "${1}", "${my name}", "${A:=b}", "${A?b}", "os.environ/"]
)
def test_what_is_no_variable_is_a_fault_and_stays(text: str) -> None:
    result = expand(text, VARIABLES)
    assert result.fault
    assert result == Expanded(text=text, fault=result.fault)


def test_an_empty_variable_counts_as_not_set_where_that_is_asked() -> None:
    assert VARIABLES.find("EMPTY") is not None
    assert VARIABLES.filled("EMPTY") is None
    assert VARIABLES.filled("A") is not None


def dotenv(directory: Path, data: bytes) -> tuple[dict[str, str], list[str]]:
    (directory / ".env").write_bytes(data)
    values, problems = read_dotenv(directory / ".env", "conf/.env")
    assert all(problem.severity == "warning" for problem in problems)
    return values, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("A=1", {"A": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=a b", {"A": "a b"}),
        ("A=a#b # comment", {"A": "a#b"}),
        ("A= # comment", {"A": ""}),
        ("A='a # b' # comment", {"A": "a # b"}),
        ('A="a\\n\\"b\\" \\x"', {"A": 'a\n"b" \\x'}),
        ("A='a\\nb'", {"A": "a\\nb"}),
        ("A='a\nb'\nB=2", {"A": "a\nb", "B": "2"}),
        ("A='a", {"A": "'a"}),
        ("A=b=c", {"A": "b=c"}),
        ("# A=1\n\n   \nB=2", {"B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=$HOME ${B}", {"A": "$HOME ${B}"}),
    ],
)
def test_lines_of_a_dotenv_file(tmp_path: Path, line: str, values: dict[str, str]) -> None:
    assert dotenv(tmp_path, line.encode()) == (values, [])


def test_a_dotenv_file_may_come_from_windows(tmp_path: Path) -> None:
    assert dotenv(tmp_path, b"\xef\xbb\xbfA=1\r\nB='x\r\ny'\r\n") == ({"A": "1", "B": "x\ny"}, [])


def test_lines_that_say_nothing_are_warnings(tmp_path: Path) -> None:
    values, warnings = dotenv(tmp_path, b"A=1\nsource other\nB=2\n1C=3\n")
    assert values == {"A": "1", "B": "2"}
    assert warnings == [
        "conf/.env:2:1: warning: the line is ignored; it must be NAME=value",
        "conf/.env:4:1: warning: the line is ignored; it must be NAME=value",
    ]


def test_a_dotenv_file_that_is_no_text_is_a_warning(tmp_path: Path) -> None:
    assert dotenv(tmp_path, b"A=\xff")[1] == ["conf/.env: warning: is not UTF-8 (byte 0xFF); save the file as UTF-8"]


def test_without_a_dotenv_file_nothing_is_read(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env", ".env") == ({}, [])
    (tmp_path / ".env").mkdir()
    assert read_dotenv(tmp_path / ".env", ".env") == ({}, [])

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.core import TyperGroup

from llmproxy import cli
from llmproxy.cli.help_text import HELP, complete_help


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each command that is not hidden, by its words, and the program itself."""
    yield " ".join(words), command
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            if not each.hidden:
                yield from commands(each, (*words, name))


build = cache(typer.main.get_command)
PROGRAM = typer.main.get_command(cli.app)
COMMANDS = dict(commands(PROGRAM))


@pytest.fixture(autouse=True)
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the program once for all tests, which takes longer than they do."""
    monkeypatch.setattr(cli, "get_command", build)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert HELP.keys() == COMMANDS.keys()
    for words, found in HELP.items():
        assert any(f"llmproxy {words}".strip() in example for example in found.examples), words


@pytest.mark.parametrize("words", [words for words in COMMANDS if words])
def test_a_summary_is_one_whole_sentence_that_fits_the_list(words: str) -> None:
    summary = (COMMANDS[words].help or "").split("\n\n")[0]
    assert summary.endswith(".") and summary[0].isupper()
    assert len(summary) <= 60 and not COMMANDS[words].get_short_help_str(60).endswith("...")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_value_has_a_name_that_means_something(words: str) -> None:
    for param in COMMANDS[words].params:
        flag = vars(param).get("is_flag")
        assert flag or param.metavar or param.type_descriptor.choices, f"{param.opts} of {words}"
        assert words == "" or flag or (param.help and param.help.endswith((".", "..."))), f"{param.opts} of {words}"
        assert not set(param.metavar or "") & set("<>[]"), f"{param.opts} of {words}"


@pytest.mark.parametrize("words", HELP)
def test_help_shows_examples_and_variables_within_eighty_columns(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    output = shown(capsys, *words.split(), "--help")
    assert "One of" not in output or "|" not in output.partition("Options:")[2].partition("Examples:")[0]
    assert "\n  Examples:\n    " in output and "\x1b" not in output and "<" not in output.partition("Options:")[0]
    assert all(name in output for name in HELP[words].environment)
    assert not [line for line in output.splitlines() if len(line) > 90 and not line.startswith("    llmproxy")]


@pytest.mark.parametrize(("words", "example"), [(words, each) for words in HELP for each in HELP[words].examples])
def test_an_example_is_parsed_when_it_is_pasted(words: str, example: str) -> None:
    bare = re.sub(r'^eval "\$\((.*)\)"$', r"\1", example)
    arguments = cli.command_line(shlex.split(re.split(r" [|<] ", bare)[0])[1:])
    command: Any = PROGRAM
    path: list[str] = []
    while isinstance(command, TyperGroup) and arguments:
        path.append(arguments.pop(0))
        command = command.commands[path[-1]]
    assert " ".join(path).startswith(words)
    with command.make_context("llmproxy", arguments) as context:
        assert context.command is command


def test_help_of_a_command_can_be_asked_for_in_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    expected = shown(capsys, "trace", "show", "--help")
    assert shown(capsys, "trace", "show", "-h") == expected == shown(capsys, "help", "trace", "show")
    assert shown(capsys, "help") == shown(capsys, "--help")
    assert shown(capsys, "trace") == shown(capsys, "trace", "--help")


def test_on_a_terminal_help_has_panels_and_loses_no_bracket(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Window(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(cli, "get_command", typer.main.get_command)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", window := Window())
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    lines = Text.from_ansi(window.getvalue()).plain.splitlines()
    assert any("─ One upstream " in line for line in lines) and any("─ Watching " in line for line in lines)
    assert any("--port" in line and " PORT " in line for line in lines) and "<bool>" not in window.getvalue()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys, "stdout", coloured := Window())
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    assert "35m" in coloured.getvalue() and not re.search(r"\x1b\[[0-9;]*(33|36)m", coloured.getvalue())
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", plain := Window())
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    assert "╭" not in plain.getvalue() and "\nOptions:\n" in plain.getvalue()


def test_text_that_looks_like_markup_is_shown_as_it_is() -> None:
    program = typer.Typer()

    @program.command()
    def one(value: str = typer.Option("x", metavar="V", help="Such as [bold].")) -> None:
        """Do [this]."""

    command: Any = typer.main.get_command(program)
    complete_help(command, drawn=True, words=("one",))
    assert command.help == "Do \\[this]." and command.params[0].help == "Such as \\[bold]."


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_shell_completes_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def completed(line: str, position: int) -> str:
        monkeypatch.setenv("_LLMPROXY_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(position))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", line.split(" ")[-1])
        with pytest.raises(SystemExit):
            cli.main([])
        return capsys.readouterr().out

    assert "stats" in completed("llmproxy sta", 1)
    assert "--workers" in completed("llmproxy serve --wor", 2)
    assert "tail" in completed("llmproxy trace ta", 2)

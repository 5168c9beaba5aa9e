from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from llmproxy import cli
from llmproxy.cli.usage_errors import WORDS_OF_OTHERS, nearest_word
from tests.cli.test_help_text import COMMANDS

build = cache(typer.main.get_command)

_OTHERS = (
    "Error:",
    "Usage:",
    "Try '",
    "No such",
    "Got unexpected",
    "Invalid value",
    "Missing ",
    "Input should",
    "Value error",
    "Traceback",
)


@pytest.fixture(autouse=True)
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the program once for all tests, which takes longer than they do."""
    monkeypatch.setattr(cli, "get_command", build)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the message for wrong usage, in our form, without the line that points to the help."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    output = capsys.readouterr()
    message, _, hint = output.err.rstrip("\n").partition("\n")
    assert end.value.code == 2 and output.out == ""
    assert message.startswith("llmproxy: ") and hint.startswith("See `llmproxy") and hint.endswith(" --help`.")
    assert not [words for words in _OTHERS if words in output.err]
    return message.removeprefix("llmproxy: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["srve"], "unknown command 'srve'; did you mean 'serve'?"),
        (["trace", "lss"], "unknown command 'lss'; did you mean 'ls'?"),
        (["start"], "unknown command 'start'; did you mean 'serve'?"),
        (["init"], "unknown command 'init'; did you mean 'generate-config'?"),
        (["version"], "unknown command 'version'; did you mean '--version'?"),
        (["check"], "unknown command 'check'; did you mean 'validate-config'?"),
        (["logs"], "unknown command 'logs'; did you mean 'trace tail'?"),
        (["keys", "add"], "unknown command 'add'; did you mean 'new'?"),
        (["keys", "start"], "unknown command 'start'; commands: new, rotate, list, check"),
        (["keys", "zzz"], "unknown command 'zzz'; commands: new, rotate, list, check"),
        (["llmproxy.yaml"], "unknown command 'llmproxy.yaml'; to serve a file: llmproxy serve llmproxy.yaml"),
        (["--prot", "3"], "unknown option --prot; did you mean --port?"),
        (["serve", "--port"], "--port needs a value: --port PORT"),
        (["serve", "--print=yes"], "--print takes no value"),
        (["serve", "--port", "many"], "--port: 'many' is not a whole number from 0 to 65535"),
        (["trace", "ls", "-n", "0"], "-n: '0' is not a whole number of at least 1"),
        (["doctor", "--timeout", "x"], "--timeout: 'x' is not a number from 0.1 to 600"),
        (["env", "cluade"], "CLIENT: 'cluade' is not one of claude, codex, opencode, aider, openai, anthropic, gemini, "
         "bedrock; did you mean 'claude'?"),
        (["explain"], "MODEL is missing: a model name as a client would send it, or a path such as /v1/files"),
        (["translate", "x"], "--from is missing: the dialect of FILE"),
        (["explain", "a", "b"], "unexpected argument 'b'"),
        (["stats", "--interval", "3x"], "--interval: invalid duration: '3x'; write a number of seconds, or a number "
         "with a unit: 250ms, 30s, 5m, 1h"),
    ],
)  # fmt: skip
def test_wrong_usage_is_explained(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert refused(capsys, *arguments) == message


def test_words_of_other_programs_lead_to_what_is_there() -> None:
    known = {*COMMANDS, "--version", *(words.rpartition(" ")[2] for words in COMMANDS)}
    assert WORDS_OF_OTHERS and all(meant in known for meant in WORDS_OF_OTHERS.values())


def test_help_of_an_unknown_command_is_refused_alike(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "get_command", typer.main.get_command)
    assert refused(capsys, "help", "srve") == "unknown command 'srve'; did you mean 'serve'?"


def _mistakes() -> list[list[str]]:
    """Return for every command an unknown option and a surplus argument, for every option no value and a wrong one."""
    found: list[list[str]] = []
    for words, command in COMMANDS.items():
        path = words.split()
        found.append([*path, "--no-such-option"])
        if not words or hasattr(command, "commands"):
            found.append([*path, "no-such-command"])
            continue
        arguments: list[Any] = [param for param in command.params if param.param_type_name == "argument"]
        if all(param.nargs == 1 for param in arguments) and words != "docs":
            found.append([*path, *["x"] * (len(arguments) + 1), *(_needed(command))])
        for param in command.params:
            if param in arguments or param.is_flag or "--trace" in param.opts:  # its value is optional
                continue
            found.append([*path, param.opts[0]])
            if param.type_descriptor.choices or param.type_descriptor.annotation in (int, float):
                found.append([*path, param.opts[0], "no-such-value"])
        if any(param.required for param in command.params):
            found.append(path)
    return found


def _needed(command: Any) -> list[str]:
    """Return the options that a command needs, with values that are right."""
    right = {"--from": "chat", "--to": "messages", "--dialect": "chat"}
    needed = [param.opts[-1] for param in command.params if param.required and param.param_type_name == "option"]
    return [word for option in needed for word in (option, right.get(option, "x"))]


@pytest.mark.parametrize("arguments", _mistakes(), ids=" ".join)
def test_no_message_of_the_libraries_reaches_a_user(
    capsys: pytest.CaptureFixture[str], arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(capsys, *arguments)


def test_the_nearest_name_is_one_that_begins_so_else_one_that_is_alike() -> None:
    assert nearest_word("valid", ["valor", "validate-config"]) == "validate-config"
    assert nearest_word("stast", ["serve", "stats"]) == "stats"
    assert nearest_word("qqq", ["serve", "stats"]) is None

"""The command line. Each command stands in a file of its own and imports what it needs when it runs, so that `--help`
and `--version` are fast.

`main` is the program, `command_line` expands short forms. Exit codes: 0; 1 when the command fails; 2 for wrong usage.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from llmproxy.cli import (
    cache,
    config,
    docs,
    env,
    explain,
    import_config,
    keys,
    lint,
    prices,
    reload,
    serve,
    sessions,
    stats,
    worker,
)
from llmproxy.cli.check_live.command import check_live
from llmproxy.cli.doctor.command import doctor
from llmproxy.cli.trace import commands as trace
from llmproxy.cli.usage_errors import Command, CommandGroup
from llmproxy.system_errors import explain_fault

_ABOUT = """One program between LLM clients and LLM providers.

The default command is serve: `llmproxy --port 3000` is `llmproxy serve --port 3000`.
"""

_OWN = ("--help", "-h", "--version", "-V", "--install-completion", "--show-completion")
_GROUPS = (["cache"], ["keys"], ["prices"], ["trace"])
_FILES = (".yaml", ".yml", ".json")  # a configuration, not the directory of traces
_COMPLETION = "_LLMPROXY_COMPLETE"  # what a shell sets when it asks what may follow
_COMMANDS = ("--generate-config", "--validate-config")


def _new_program(*, completion: bool) -> typer.Typer:
    program = typer.Typer(
        add_completion=completion,
        help=_ABOUT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.command("serve")(serve.serve_command)
    return program


app = _new_program(completion=True)
app.command()(config.generate_config)
app.command()(config.validate_config)
app.command()(config.schema)
app.command()(doctor)
app.command()(check_live)
app.command()(explain.explain)
app.command()(explain.translate)
app.command()(lint.lint)
app.command("import")(import_config.import_config)
app.command()(env.env)
app.command()(docs.docs)
app.command()(stats.stats)
app.command()(reload.reload)
app.command()(sessions.sessions)
app.command(hidden=True)(worker.worker)
app.add_typer(cache.cache_app, name="cache")
app.add_typer(keys.keys_app, name="keys")
app.add_typer(prices.prices_app, name="prices")
app.add_typer(trace.trace_app, name="trace")


@app.command("help")
def show_help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Such as serve, or trace show.")
    ] = None,
) -> None:
    """Show the help of a command."""
    main([*(command or ()), "--help"])


def _show_version(requested: bool) -> None:
    if requested:
        from llmproxy.cli.version import describe_version

        print(describe_version())
        raise typer.Exit


_serving = _new_program(completion=False)


@_serving.callback()
@app.callback()
def _llmproxy(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Parse the options before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with `arguments`, by default those of the process, and end the process."""
    _prepare_console()
    expanded = command_line(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None and expanded[:1] != ["serve"]:  # the printer of `serve` counts lines that it cannot print
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    try:
        sys.exit(_run(expanded))
    except OSError as error:  # such as a full disk behind standard output
        sys.exit(f"llmproxy: {explain_fault(error)}")


def _run(arguments: list[str]) -> int:
    """Run the program, and return its exit code."""
    # Typer looks at the options of every command that it knows: 5 % of the time to start.
    program = _serving if arguments[:1] == ["serve"] and _COMPLETION not in os.environ else app
    if (reason := _explain_missing_completion(arguments)) is not None:
        print(f"llmproxy: {reason}", file=sys.stderr)
        return 1
    if arguments in _GROUPS:
        arguments = [*arguments, "--help"]
    command = _command(program, explained=not {"--help", "-h"}.isdisjoint(arguments))
    try:
        code = command.main(arguments, prog_name="llmproxy", standalone_mode=False)
    except typer.TyperException as error:
        _print_usage_error(error, arguments)
        return error.exit_code
    except typer.Abort:
        print("llmproxy: aborted", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def _explain_missing_completion(arguments: list[str]) -> str | None:
    """Return why completion cannot be installed or printed; None where it can, or is not asked for."""
    if arguments not in (["--install-completion"], ["--show-completion"]):
        return None
    import shellingham  # type: ignore[import-untyped]  # of Typer, which detects the shell with it

    try:
        shell = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        return f"the shell is unknown; run `llmproxy {arguments[0]}` in bash, zsh, fish or PowerShell"
    known = ("bash", "zsh", "fish", "powershell", "pwsh")
    return None if shell in known else f"there is no completion for {shell}, only for bash, zsh, fish and PowerShell"


def _command(program: typer.Typer, *, explained: bool) -> TyperGroup:
    """Return the program to run; `explained` adds what only its help shows."""
    _use_own_messages(program)
    drawn = False
    if explained:
        from llmproxy.cli.help_text import on_terminal

        drawn = on_terminal()
        program.rich_markup_mode = "rich" if drawn else None
    command = get_command(program)
    assert isinstance(command, TyperGroup), "it has several commands, or a callback"
    if explained:
        from llmproxy.cli.help_text import complete_help

        complete_help(command, drawn=drawn)
    return command


def _use_own_messages(program: typer.Typer) -> None:
    """Let the commands of a program, and of the groups in it, explain wrong usage in our words."""
    program.info.cls = CommandGroup
    for each in program.registered_commands:
        each.cls = Command
    for group in program.registered_groups:
        if group.typer_instance is not None:
            _use_own_messages(group.typer_instance)


def _print_usage_error(error: typer.TyperException, arguments: list[str]) -> None:
    from llmproxy.cli.output import print_error
    from llmproxy.cli.usage_errors import describe_usage_error

    words = arguments[:2] if arguments[:1] in _GROUPS else arguments[:1]
    known = [word for word in words if not word.startswith("-")] if error.exit_code == 2 else []
    command = " ".join(["llmproxy", *(known if _exists(known) else known[:-1]), "--help"])
    print_error(f"llmproxy: {describe_usage_error(error)}\nSee `{command}`.")


def _exists(words: list[str]) -> bool:
    """Return whether these are the words of a command."""
    from llmproxy.cli.help_text import HELP

    return " ".join(words) in HELP


def _prepare_console() -> None:
    """Replace characters that the console cannot show, and open closed descriptors on the null device: a socket must
    not get their numbers.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a command in front: bare flags belong to `serve`, two older flags are commands."""
    first, equals, value = arguments[0].partition("=") if arguments else ("", "", "")
    if first in _COMMANDS:
        return [first.removeprefix("--"), *([value] if equals else []), *arguments[1:]]
    if not first or (first.startswith("-") and first not in _OWN):
        return ["serve", *_valued(arguments)]
    return _valued(arguments) if first == "serve" else list(arguments)


def _valued(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `serve` with an explicit value for `--trace`, whose value is optional."""
    following = [*arguments[1:], "-"]
    return [
        "--trace=" if argument == "--trace" and (after.startswith("-") or after.endswith(_FILES)) else argument
        for argument, after in zip(arguments, following, strict=False)
    ]

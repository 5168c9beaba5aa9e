"""The command line. Commands stand in files of their own and import what they need when they run, so that `--help` and
`--version` are there at once.

`main` is the program, `command_line` says what stands for what. Exit codes: 0; 1 for a mistake in the configuration or
a failed start; 2 for wrong usage.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from llmproxy import __version__
from llmproxy.cli import cache, config, explain, serve, sessions, stats
from llmproxy.cli.trace import commands as trace

_ABOUT = """One program between LLM clients and LLM providers.

Without a command it serves: `llmproxy --port 3000` is `llmproxy serve --port 3000`.
"""

_OWN = ("--help", "-h", "--version", "-V")
_COMMANDS = ("--generate-config", "--validate-config")

app = typer.Typer(
    add_completion=False,
    help=_ABOUT,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(config.generate_config)
app.command()(config.validate_config)
app.command()(config.schema)
app.command()(explain.explain)
app.command()(explain.translate)
app.command()(stats.stats)
app.command()(sessions.sessions)
app.add_typer(cache.app, name="cache")
app.add_typer(trace.app, name="trace")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"llmproxy {__version__}")
        raise typer.Exit


@app.callback()
def _llmproxy(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What stands before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with `arguments`, those of the process by default; ends the process."""
    _prepare_console()
    given = command_line(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None and given[:1] != ["serve"]:  # whose printer counts what nobody can see
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    try:
        app(args=given, prog_name="llmproxy")
    except OSError as error:  # nowhere to write to: a full disk behind standard output
        sys.exit(f"llmproxy: {(error.strerror or str(error)).lower()}")


def _prepare_console() -> None:
    """A console need not know every character nor be there: a closed one must not lend its number to a socket."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def command_line(arguments: Sequence[str]) -> list[str]:
    """The arguments with their command in front: bare flags are for `serve`, two older flags stand for commands."""
    first, equals, value = arguments[0].partition("=") if arguments else ("", "", "")
    if first in _COMMANDS:
        return [first.removeprefix("--"), *([value] if equals else []), *arguments[1:]]
    if not first or (first.startswith("-") and first not in _OWN):
        return ["serve", *_valued(arguments)]
    return _valued(arguments) if first == "serve" else list(arguments)


def _valued(arguments: Sequence[str]) -> list[str]:
    """The arguments of `serve` with the value of `--trace`, which may be left out, made explicit."""
    following = [*arguments[1:], "-"]
    return [
        "--trace=" if argument == "--trace" and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=False)
    ]

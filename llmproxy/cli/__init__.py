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

_ABOUT = """One program between LLM clients and LLM providers.

The default command is serve: `llmproxy --port 3000` is `llmproxy serve --port 3000`.
"""

_OWN = ("--help", "-h", "--version", "-V")
_COMMANDS = ("--generate-config", "--validate-config")


def _new_program() -> typer.Typer:
    program = typer.Typer(
        add_completion=False,
        help=_ABOUT,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.command("serve")(serve.serve_command)
    return program


app = _new_program()
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


def _show_version(requested: bool) -> None:
    if requested:
        from llmproxy.cli.version import describe_version

        print(describe_version())
        raise typer.Exit


_serving = _new_program()


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
    # Typer looks at the options of every command that it knows: 5 % of the time to start.
    program = _serving if expanded[:1] == ["serve"] else app
    try:
        program(args=expanded, prog_name="llmproxy")
    except OSError as error:  # such as a full disk behind standard output
        sys.exit(f"llmproxy: {(error.strerror or str(error)).lower()}")


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
        "--trace=" if argument == "--trace" and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=False)
    ]

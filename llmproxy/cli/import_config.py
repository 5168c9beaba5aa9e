"""`import`: writes the configuration of another gateway as one of llmproxy, and grades each of its lines.

Begin reading at `import_config`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import (
    STANDARD_OUTPUT,
    fail,
    print_error,
    print_line,
    print_problems,
    print_text,
    start_command,
    stdout_console,
    write_file,
)

if TYPE_CHECKING:
    from llmproxy.importers.conversion import Conversion

INCOMPLETE = 3
"""The exit code when a line was not carried over, so that a script can tell."""


class Source(StrEnum):
    """Programs whose configurations `import` reads."""

    litellm = "litellm"
    claude_code_router = "claude-code-router"
    portkey = "portkey"
    older = "older"


def import_config(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The configuration to import.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; default: standard output.")
    ] = STANDARD_OUTPUT,
    source: Annotated[
        Source | None,
        typer.Option("--from", help="The program that FILE belongs to; default: detected.", case_sensitive=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing file.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the grades as JSON; needs --output.")] = False,
) -> None:
    """Convert the configuration of another gateway.

    Reads LiteLLM's config.yaml, claude-code-router's config.json, Portkey's configs, and older settings of proxies that
    llmproxy replaces, .env files too. Each line is graded: exact, approximate, by hand or unsupported.
    Exit code 3 when there is something left to do by hand.
    """
    from llmproxy.config.problems import ConfigError
    from llmproxy.importers.conversion import import_file

    if json_ and output == STANDARD_OUTPUT:
        fail("--json needs --output: the grades go to standard output", code=2)
    try:
        conversion = import_file(Path(file).expanduser(), file, source.value if source else None)
    except ConfigError as error:
        print_problems(error.problems)
        raise typer.Exit(1) from error
    write_file(output, conversion.text, force)
    if json_:
        print(_as_json(conversion))
    else:
        _print_grades(conversion, file, output)
    if not conversion.complete:
        raise typer.Exit(INCOMPLETE)


def _as_json(conversion: Conversion) -> str:
    """Write `{"source", "complete", "variables": [...], "lines": [...]}`: a `NewVariable` and a `Finding` each."""
    content = {
        "source": conversion.title,
        "complete": conversion.complete,
        "variables": [asdict(each) for each in conversion.variables],
        "lines": [asdict(each) for each in conversion.findings],
    }
    return json.dumps(content, indent=2)


def _print_grades(conversion: Conversion, file: str, output: str) -> None:
    """Print a table of the lines, how many of each grade there are, and what to do next; all on standard error when the
    file itself goes to standard output."""
    from llmproxy.cli.import_view import grade_rows, grade_table, summary

    console = stdout_console()
    aside = output == STANDARD_OUTPUT
    for line in grade_table(grade_rows(conversion), console.width):
        if aside:
            print_error(line.plain)
        else:
            print_line(console, line)
    say = print_error if aside else print_text
    say("\n".join(["", *summary(conversion, file), *([] if aside else [f"Wrote {output}"])]))
    if not aside:
        if not conversion.complete:
            say("The lines to change by hand are listed in full at its top.")
        say(f"Start it with: {start_command(output)}")

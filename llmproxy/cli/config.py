"""`generate-config`, `validate-config` and `schema`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmproxy.cli.output import STANDARD_OUTPUT, fail, print_problems, print_text, start_command, write_file
from llmproxy.config.presets import Preset

if TYPE_CHECKING:
    from llmproxy.config.problems import Verdict


class OutputFormat(StrEnum):
    """Output formats of `validate-config`."""

    text = "text"
    json = "json"
    github = "github"
    gitlab = "gitlab"
    sarif = "sarif"


OutputFile = Annotated[str, typer.Argument(metavar="FILE", help="Where to write; default: standard output.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing file.")]


def generate_config(
    file: OutputFile = "-",
    preset: Annotated[
        Preset, typer.Option(metavar="NAME", help=f"One of {', '.join(Preset)}.", case_sensitive=False)
    ] = Preset.minimal,
    force: Force = False,
) -> None:
    """Write a configuration file to start from."""
    from llmproxy.config.generate import generate
    from llmproxy.config.json_schema import FILE_NAME

    _write(file, generate(preset), force)
    if file != "-":
        beside = Path(file).parent / FILE_NAME
        print_text(f"Start it with:              {start_command(file)}")
        print_text(f"For completion in editors:  llmproxy schema {beside}")


def schema(
    file: OutputFile = "-",
    force: Force = False,
    trace: Annotated[bool, typer.Option("--trace", help="Write the schema of trace records instead.")] = False,
) -> None:
    """Write the JSON Schema of the configuration file."""
    import json

    from llmproxy.config.json_schema import config_schema
    from llmproxy.records.record import record_schema

    _write(file, json.dumps(record_schema() if trace else config_schema(), indent=2) + "\n", force)


def _write(file: str, text: str, force: bool) -> None:
    write_file(file, text, force)
    if file != STANDARD_OUTPUT:
        print_text(f"Wrote {file}")


def validate_config(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Configuration files; default as for serve.")
    ] = None,
    format: Annotated[OutputFormat, typer.Option(help="Output format.", case_sensitive=False)] = OutputFormat.text,
    no_env: Annotated[
        bool, typer.Option("--no-env", help="Treat every environment variable as set: for CI without secrets.")
    ] = False,
) -> None:
    """Check configuration files without starting anything.

    The checks are those of `serve`. Without a file, the one is checked that `serve` would use.
    """
    from llmproxy.cli.banner import clients
    from llmproxy.config.load import load
    from llmproxy.config.problems import Verdict

    files = files or [_usual_file()]
    loaded = [load(file, no_env=no_env) for file in files]
    verdicts = [Verdict(file=file, problems=each.problems) for file, each in zip(files, loaded, strict=True)]
    if format is OutputFormat.text:
        _print_text(verdicts, [clients(each) if each.config is not None else None for each in loaded])
    else:
        _print_verdicts(verdicts, format)
    if not all(verdict.valid for verdict in verdicts):
        raise typer.Exit(1)


def _usual_file() -> str:
    """Return the file that `serve` would use. End the command when there is none."""
    from llmproxy.config.load import FILE_VARIABLE, FILES, usual_file

    file = usual_file()
    if file is None:
        places = " or ".join(f"./{name}" for name in FILES)
        fail(f"no configuration file found: no {places}, and ${FILE_VARIABLE} is not set; pass a file", code=2)
    return file


def _print_verdicts(
    verdicts: list[Verdict],
    format: Literal[OutputFormat.json, OutputFormat.github, OutputFormat.gitlab, OutputFormat.sarif],
) -> None:
    """Print what programs read to standard output."""
    from llmproxy import __version__
    from llmproxy.config import problems

    match format:
        case OutputFormat.json:
            print(problems.as_json(verdicts))
        case OutputFormat.github:
            sys.stdout.write(problems.as_github(verdicts))
        case OutputFormat.gitlab:
            print(problems.as_gitlab(verdicts))
        case OutputFormat.sarif:
            print(problems.as_sarif(verdicts, __version__))


def _print_text(verdicts: list[Verdict], clients: list[str | None]) -> None:
    """Print problems to standard error, valid files to standard output, with those who may use the proxy."""
    for verdict, who in zip(verdicts, clients, strict=True):
        print_problems(verdict.problems)
        if verdict.valid:
            print_text(f"{verdict.file}: OK" + (f" (clients: {who})" if who else ""))

"""The output of commands: standard output as a console, and one line on standard error on failure.

Output within `QuietExit` may be interrupted, or lose its reader. Begin reading at `fail`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmproxy.system_errors import explain_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.text import Text

    from llmproxy.config.problems import Problem

# Names in a pipe are not cut to the width of a window.
_PIPE_COLUMNS = 200

STANDARD_OUTPUT = "-"
ADMIN_KEY_VARIABLE = "LLMPROXY_ADMIN_KEY"

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The server, such as http://127.0.0.1:3000; default: your running server."),
]
ConfigOfServer = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="Choose your running server by its configuration file."),
]


def checked_key(key: str | None) -> str | None:
    """Return the key of a flag. Raises BadParameter for one that no header may hold."""
    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("contains a character that is not allowed in a key")
    return key


AdminKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        envvar=ADMIN_KEY_VARIABLE,
        show_envvar=False,
        callback=checked_key,
        help=f"The server.admin_key of the server; default ${ADMIN_KEY_VARIABLE}. Not needed on the same machine.",
    ),
]


def fail(reason: str, code: int = 1) -> NoReturn:
    """End the command with the exit code `code`, and print `reason`, which says what to do."""
    print_error(f"llmproxy: {reason}")
    raise typer.Exit(code)


def print_text(text: str) -> None:
    """Print lines on standard output, harmless on a terminal."""
    from llmproxy.console.formatting import sanitize_lines

    print(sanitize_lines(text), flush=True)


def print_error(text: str) -> None:
    """Print lines on standard error, harmless on a terminal."""
    from llmproxy.console.formatting import sanitize_lines

    print(sanitize_lines(text), file=sys.stderr)


def print_problems(problems: Iterable[Problem]) -> None:
    """Print the problems of a configuration on standard error."""
    for problem in problems:
        print_error(str(problem))


def stdout_console() -> Console:
    """Return standard output as a console: as wide as the window, wide in a pipe."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=_PIPE_COLUMNS if wide else None)


def print_line(console: Console, line: Text) -> None:
    """Print one line; rich is slow, so it is used only where its colours are visible."""
    if console.is_terminal:
        console.print(line, soft_wrap=True)
    else:
        print(line.plain)


def write_file(file: str, text: str, force: bool) -> None:
    """Write `text` to a new file, or to standard output for `-`; over an existing file only with `force`. End the
    command where that fails.
    """
    if file == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        fail(f"{file} exists; --force overwrites it")
    except OSError as error:
        fail(f"cannot write {file}: {explain_fault(error)}")


def start_command(file: str) -> str:
    """Return the shortest command that serves a configuration file that is there."""
    import shlex

    from llmproxy.config.load import usual_file

    usual = usual_file()
    if usual is not None and Path(usual).resolve() == Path(file).resolve():
        return "llmproxy serve"
    return f"llmproxy serve {shlex.quote(file)}"


class QuietExit:
    """Ends a command quietly on Ctrl-C, and when the reader of its output has left."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> bool:
        if isinstance(fault, KeyboardInterrupt):
            return True
        if isinstance(fault, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be written
            return True
        return False

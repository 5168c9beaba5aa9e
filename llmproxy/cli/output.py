"""Where commands write to: standard output as a console, and one line on standard error when they cannot go on.

What is written through `Ending` may be interrupted, or have its reader leave. Begin reading at `end`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# A table is not cut to a width that nobody looks at: what reads a pipe gets whole names.
_PIPE_COLUMNS = 200

Url = Annotated[
    str | None, typer.Option(metavar="URL", help="The server, such as http://127.0.0.1:3000; else yours that runs.")
]
ConfigOfServer = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="Of your servers, the one that runs with this file."),
]


def fail(reason: str, code: int = 1) -> NoReturn:
    """End the command with `reason`, which says what to do, and the exit code."""
    print(f"llmproxy: {reason}", file=sys.stderr)
    raise typer.Exit(code)


def stdout_console() -> Console:
    """Standard output: as wide as the window, wide in a pipe."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=_PIPE_COLUMNS if wide else None)


def print_line(console: Console, line: Text) -> None:
    """Print one line; rich takes its time, so it is asked only where its colours are seen."""
    if console.is_terminal:
        console.print(line, soft_wrap=True)
    else:
        print(line.plain)


class QuietExit:
    """Around what writes to a console: Ctrl-C and a reader that left are ends like others."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> bool:
        if isinstance(fault, KeyboardInterrupt):
            return True
        if isinstance(fault, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to say it to
            return True
        return False

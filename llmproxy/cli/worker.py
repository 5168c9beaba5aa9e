"""`worker`: one of several workers of a server, started by their parent. Nobody else calls it."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    link: Annotated[int, typer.Argument(help="Descriptor of the socket to the parent process.")],
    channel: Annotated[int, typer.Argument(help="Descriptor of the socket from which connections come.")],
) -> None:
    """Serve connections that the parent process accepts."""
    import os

    from llmproxy.cli.output import fail
    from llmproxy.worker import run_worker

    try:
        for descriptor in (link, channel):
            os.fstat(descriptor)
    except OSError:
        fail("workers are started by `llmproxy serve --workers N`")
    raise typer.Exit(run_worker(link, channel))

"""`doctor`: checks the configuration, this machine and every provider, and says how to fix what is wrong.

Nothing that costs money is called. Begin reading at `doctor`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llmproxy.cli.output import QuietExit, fail, print_line, stdout_console


def doctor(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="The configuration; default as for serve.")] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", metavar="FILE", help="The same as FILE.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="SECONDS", help="How long each check may wait for the network.")
    ] = 5.0,
) -> None:
    """Check this machine, the configuration and all providers.

    Configuration, keys, network, clock, port, disk, stores and providers; says how to fix what is wrong.
    It makes no call that costs money. Exit code 1 when anything is an error.
    """
    from llmproxy.cli.deferred_certificates import import_aiohttp

    import_aiohttp()
    from llmproxy.cli.doctor.diagnosis import worst
    from llmproxy.cli.doctor.examination import examine
    from llmproxy.cli.doctor.view import as_object, render_diagnoses
    from llmproxy.cli.trace.json_output import print_json
    from llmproxy.config.load import load

    if file is not None and config is not None:
        fail(f"one configuration file is enough: {file} or --config {config}", code=2)
    with QuietExit():
        loaded = load(file or config)
        findings = examine(loaded, timeout)
        if as_json:
            print_json(as_object(findings, loaded.path))
        else:
            console = stdout_console()
            for line in render_diagnoses(findings, console.width):
                print_line(console, line)
        if worst(findings) == "error":
            raise typer.Exit(1)

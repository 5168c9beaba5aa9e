"""`check-live`: sends real requests to a running proxy, and shows in a table what works.

Begin reading at `check_live`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import AdminKey, QuietExit, Url, checked_key, fail, print_line, stdout_console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmproxy.cli.check_live.live_checks import LiveResult
    from llmproxy.cli.check_live.live_client import LiveClient


def check_live(
    url: Url = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model to ask; default: the first that the server lists.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", callback=checked_key, help="The client key, if the server needs one."),
    ] = None,
    admin_key: AdminKey = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only health, chat, stream and errors: 2 paid calls.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="How long each answer may take.")
    ] = 60.0,
) -> None:
    """Check a running proxy with real requests.

    Health, chat, stream, tools, cache, errors, balance, concurrency. The
    whole makes about 26 short calls, which the providers charge for. Exit code 1 when a check fails.
    """
    from dataclasses import asdict

    from llmproxy.cli.check_live.live_checks import CHECKS, QUICK, LiveProxy, run_check
    from llmproxy.cli.check_live.live_client import LiveClient
    from llmproxy.cli.check_live.view import render_results
    from llmproxy.cli.client import PageError, find_server
    from llmproxy.cli.trace.json_output import print_json

    try:
        client = LiveClient(find_server(url), key, timeout)
        proxy = LiveProxy(client=client, model=model or _first_model(client), admin_key=admin_key or None)
    except PageError as reason:
        fail(str(reason))
    results: list[LiveResult] = []

    def run() -> Iterator[LiveResult]:
        for name in QUICK if quick else CHECKS:
            results.append(run_check(name, proxy))
            yield results[-1]

    with QuietExit():
        if as_json:
            print_json({"url": client.url, "model": proxy.model, "results": [asdict(each) for each in run()]})
        else:
            console = stdout_console()
            for line in render_results(client.url, proxy.model, run(), console.width):
                print_line(console, line)
        if any(each.result == "failed" for each in results):
            raise typer.Exit(1)


def _first_model(client: LiveClient) -> str:
    """Return the first model that the server lists. Raises PageError where it does not."""
    from llmproxy.cli.client import PageError, as_text, object_at, objects_in

    answer = client.get("/v1/models")
    if answer.status in (401, 403):
        raise PageError(f"{client.url} needs a client key; pass one with --key")
    names = [as_text(each.get("id")) for each in objects_in(object_at(answer.json).get("data"))]
    if answer.status != 200 or not names or not names[0]:
        raise PageError(f"{client.url} lists no models (status {answer.status}); name one with --model")
    return names[0]

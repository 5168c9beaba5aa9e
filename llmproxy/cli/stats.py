"""`stats`: shows the state of a running server, as a table that is refreshed, once, or as JSON.

The server is the one at `--url`, else one of this user's. `client.py` fetches the page, `stats_view.py` formats it.
"""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmproxy.cli.output import Url, fail, stdout_console

if TYPE_CHECKING:
    from rich.console import Console


class GroupBy(StrEnum):
    """Groups beside provider and model."""

    client = "client"
    session = "session"


_LEAST_S = 0.1
_POLL_S = 0.1


def stats(
    url: Url = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print it once; the default when output is not a terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, once.")] = False,
    by: Annotated[list[GroupBy] | None, typer.Option(help="Also list clients or sessions; repeatable.")] = None,
    interval: Annotated[str, typer.Option(metavar="TIME", help="Refresh interval.")] = "1s",
) -> None:
    """Show the state of a running server.

    Requests, latencies, tokens and errors by provider and model.
    """
    import json

    from llmproxy.cli.client import PageError, fetch_page, find_server

    wait_s = _interval(interval)
    groups = ",".join(dict.fromkeys(by or []))
    page = f"/stats?by={groups}" if groups else "/stats"
    try:
        address = find_server(url)
        if as_json:
            print(json.dumps(_checked(fetch_page(address, page), address), indent=2))
        else:
            _show(address, page, wait_s, live=not once, named=url is not None)
    except PageError as reason:
        fail(str(reason))
    except KeyboardInterrupt:
        return


def _interval(text: str) -> float:
    from llmproxy.settings import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--interval") from error
    if not _LEAST_S <= seconds <= 86_400:
        raise typer.BadParameter(f"{text!r} is not between 100ms and 1d", param_hint="--interval")
    return seconds


def _checked(page: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the page when it is one of llmproxy. Raises PageError."""
    from llmproxy.cli.client import PageError

    if "providers" not in page and "uptime_seconds" not in page:
        raise PageError(f"{url} is not an llmproxy server: unexpected content at /stats")
    return page


def _show(url: str, page: str, wait_s: float, *, live: bool, named: bool) -> None:
    """Print the page. Raises PageError when the first one cannot be fetched."""
    from llmproxy.cli.client import fetch_page
    from llmproxy.cli.stats_view import render_stats

    out = stdout_console()
    first = _checked(fetch_page(url, page), url)
    if live and sys.stdout.isatty() and not out.is_dumb_terminal:
        _watch(out, first, url, page, wait_s, named=named)
    else:
        out.print(render_stats(first, url, width=out.width))


def _watch(console: Console, seen: dict[str, Any], url: str, page: str, wait_s: float, *, named: bool) -> None:
    """Refresh the table until Ctrl-C. Wait for a server that goes away; without --url look for another one."""
    import signal

    from rich.live import Live

    from llmproxy.cli.client import PageError, fetch_page
    from llmproxy.cli.stats_view import render_stats
    from llmproxy.discovery import running_servers

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # restores the cursor
    fault = ""
    with Live(console=console, auto_refresh=False) as table:
        while True:
            width, height = console.size
            table.update(render_stats(seen, url, width=width, height=height - 1, fault=fault), refresh=True)
            if _resized(console, wait_s):
                console.clear()  # the terminal has wrapped the old lines again
                continue
            try:
                seen, fault = _checked(fetch_page(url, page), url), ""
            except PageError as reason:
                fault = str(reason)
                if not named and (servers := running_servers()):
                    url = servers[0].url


def _resized(console: Console, wait_s: float) -> bool:
    """Wait, but only until the window is resized; return whether it was."""
    before, end_s = console.size, time.monotonic() + wait_s
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(left_s, _POLL_S))
        if console.size != before:
            return True
    return False

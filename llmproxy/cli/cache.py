"""`cache`: what a running server's cache holds and saved, and how to make it forget. `cacheview.py` lays it out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmproxy.cli.output import ConfigOfServer, QuietExit, Url, fail, print_line, stdout_console

if TYPE_CHECKING:
    from llmproxy.cli.client import PageError

app = typer.Typer(help="Show what a running server's cache holds, and clear it: stats, clear.", no_args_is_help=True)

_KEY_VARIABLE = "LLMPROXY_ADMIN_KEY"


@app.command("stats")
def cache_stats(
    url: Url = None,
    config: ConfigOfServer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the page as JSON.")] = False,
) -> None:
    """Show what the cache of a running server holds, how often it answered, and what that saved.

    Example: `llmproxy cache stats --json`
    """
    from llmproxy.cli.cache_view import render_cache
    from llmproxy.cli.client import PageError, fetch_page, find_server
    from llmproxy.cli.trace.json_output import print_json

    try:
        address = find_server(url, config)
        page = fetch_page(address, "/cache")
        if "store" not in page:
            raise PageError(f"{address} is no llmproxy: its /cache shows something else")
    except PageError as reason:
        fail(str(reason))
    shown = stdout_console()
    with QuietExit():
        if as_json:
            print_json(page)
            return
        for line in render_cache(page):
            print_line(shown, line)


@app.command("clear")
def cache_clear(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only answers of this model.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only the answer with this x-llmproxy-cache-key.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before everything is cleared.")] = False,
    url: Url = None,
    config: ConfigOfServer = None,
    admin_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar=_KEY_VARIABLE,
            show_envvar=False,
            help=f"The server's server.admin_key, else ${_KEY_VARIABLE}; not needed on its own machine.",
        ),
    ] = None,
) -> None:
    """Make the cache of a running server forget all its answers, those of one model, or a single one.

    Example: `llmproxy cache clear --model gpt-4o`
    """
    from llmproxy.cli.client import PageError, as_number, fetch_page, find_server

    if model is not None and key is not None:
        raise typer.BadParameter("names one answer, of whatever --model; give one of them", param_hint="--key")
    if admin_key is not None and not (admin_key.isascii() and admin_key.isprintable()):
        raise typer.BadParameter("it holds a character that no key has", param_hint="--admin-key")
    everything = model is None and key is None
    address = None
    try:
        address = find_server(url, config)
        if everything and not yes and sys.stdin.isatty():
            typer.confirm(_question(fetch_page(address, "/cache"), address), abort=True)
        deleted = as_number(
            fetch_page(address, _page(model, key), method="DELETE", key=admin_key or None).get("deleted")
        )
        if deleted is None:
            raise PageError(f"{address} is no llmproxy: it does not say what it deleted")
    except PageError as reason:
        _refuse(reason, address, key, told=bool(admin_key))
    print("1 answer was cleared" if deleted == 1 else f"{int(deleted)} answers were cleared")


def _page(model: str | None, key: str | None) -> str:
    from urllib.parse import quote, urlencode

    if key is not None:
        return f"/cache/{quote(key, '')}"
    return "/cache" if model is None else f"/cache?{urlencode({'model': model})}"


def _question(page: dict[str, object], address: str) -> str:
    from llmproxy.cli.cache_view import describe_contents

    return f"Clear the cache of {address}, {describe_contents(page)}?"


def _refuse(reason: PageError, address: str | None, key: str | None, *, told: bool) -> NoReturn:
    from llmproxy.console.formatting import sanitize

    if reason.status in (401, 403):
        if told:
            fail(f"{address} does not take this admin key; it is server.admin_key in the server's configuration")
        fail(
            f"{address} lets nobody clear its cache from here without a key: give its server.admin_key "
            f"with --admin-key or ${_KEY_VARIABLE}"
        )
    if key is not None and reason.status == 404 and reason.code not in (None, "not_configured"):
        fail(f"{address} has no answer with the key {sanitize(key, 100)!r}")
    fail(str(reason))

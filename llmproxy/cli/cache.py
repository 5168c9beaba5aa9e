"""`cache`: shows the cache of a running server, and clears it. `cache_view.py` formats the page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmproxy.cli.output import (
    ADMIN_KEY_VARIABLE,
    AdminKey,
    ConfigOfServer,
    QuietExit,
    Url,
    fail,
    print_line,
    stdout_console,
)

if TYPE_CHECKING:
    from llmproxy.cli.client import PageError

cache_app = typer.Typer(help="Show or clear the cache of a running server.", no_args_is_help=True)


@cache_app.command("stats")
def cache_stats(
    url: Url = None,
    config: ConfigOfServer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the page as JSON.")] = False,
) -> None:
    """Show what the cache of a running server holds.

    Also how many requests it answered, and what that saved.
    """
    from llmproxy.cli.cache_view import render_cache
    from llmproxy.cli.client import PageError, fetch_page, find_server
    from llmproxy.cli.trace.json_output import print_json

    try:
        address = find_server(url, config)
        page = fetch_page(address, "/cache")
        if "store" not in page:
            raise PageError(f"{address} is not an llmproxy server: unexpected content at /cache")
    except PageError as reason:
        fail(str(reason))
    out = stdout_console()
    with QuietExit():
        if as_json:
            print_json(page)
            return
        for line in render_cache(page):
            print_line(out, line)


@cache_app.command("clear")
def cache_clear(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only answers of this model.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only the answer with this x-llmproxy-cache-key.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Clear everything without asking.")] = False,
    url: Url = None,
    config: ConfigOfServer = None,
    admin_key: AdminKey = None,
) -> None:
    """Clear the cache of a running server.

    Clears all answers, those of one model, or a single one.
    """
    from llmproxy.cli.client import PageError, as_number, fetch_page, find_server

    if model is not None and key is not None:
        raise typer.BadParameter("cannot be combined with --model: a key names a single answer", param_hint="--key")
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
            raise PageError(f"{address} is not an llmproxy server: unexpected answer to DELETE /cache")
    except PageError as reason:
        _refuse(reason, address, key, with_key=bool(admin_key))
    print("cleared 1 answer" if deleted == 1 else f"cleared {int(deleted)} answers")


def _page(model: str | None, key: str | None) -> str:
    from urllib.parse import quote, urlencode

    if key is not None:
        return f"/cache/{quote(key, '')}"
    return "/cache" if model is None else f"/cache?{urlencode({'model': model})}"


def _question(page: dict[str, object], address: str) -> str:
    from llmproxy.cli.cache_view import describe_contents

    return f"Clear the cache of {address}, {describe_contents(page)}?"


def _refuse(reason: PageError, address: str | None, key: str | None, *, with_key: bool) -> NoReturn:
    from llmproxy.console.formatting import sanitize

    if reason.status in (401, 403):
        if with_key:
            fail(f"{address} refused the admin key; use the value of server.admin_key in its configuration")
        fail(
            f"{address} requires an admin key to clear its cache from another machine: "
            f"pass its server.admin_key with --admin-key or ${ADMIN_KEY_VARIABLE}"
        )
    if key is not None and reason.status == 404 and reason.code not in (None, "not_configured"):
        fail(f"no answer with the key {sanitize(key, 100)!r} in the cache of {address}")
    fail(str(reason))

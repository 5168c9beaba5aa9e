"""`sessions`: lists the sessions of a running server, or shows one of them. `sessions_view.py` formats them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmproxy.cli.output import ConfigOfServer, QuietExit, Url, fail, print_line, stdout_console

if TYPE_CHECKING:
    from llmproxy.cli.client import PageError

# The limit of the page.
_MOST = 10_000


def sessions(
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show only this session; the beginning of its id is enough.")
    ] = None,
    url: Url = None,
    config: ConfigOfServer = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, max=_MOST, help="The most to list.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the page as JSON.")] = False,
) -> None:
    """List the sessions of a running server, or show one.

    The most recent come first. `llmproxy trace show --session ID` shows the conversation of one of them.
    """
    import time

    from llmproxy.cli.client import PageError, fetch_page, find_server
    from llmproxy.cli.sessions_view import render_session, render_sessions
    from llmproxy.cli.trace.json_output import print_json

    address = None
    try:
        address = find_server(url, config)
        page = fetch_page(address, f"/sessions?limit={count}") if identifier is None else _one(address, identifier)
        if ("sessions" if identifier is None else "id") not in page:
            raise PageError(f"{address} is not an llmproxy server: unexpected content at /sessions")
    except PageError as reason:
        fail(_why(reason, address, identifier))
    with QuietExit():
        if as_json:
            print_json(page)
            return
        out = stdout_console()
        now_s = time.time()
        for line in render_sessions(page, out.width, now_s) if identifier is None else render_session(page, now_s):
            print_line(out, line)


def _one(address: str, identifier: str) -> dict[str, Any]:
    """Return the session with that id, else the only one whose id begins so. Raises PageError."""
    from urllib.parse import quote

    from llmproxy.cli.client import PageError, fetch_page, objects_in
    from llmproxy.console.formatting import sanitize

    try:
        return fetch_page(address, f"/sessions/{quote(identifier, '')}")
    except PageError as reason:
        if not _is_missing(reason):
            raise
        listed = objects_in(fetch_page(address, f"/sessions?limit={_MOST}").get("sessions"))
        names = [name for each in listed if str(name := each.get("id", "")).startswith(identifier)]
        if len(names) == 1:
            return fetch_page(address, f"/sessions/{quote(names[0], '')}")
        if names:
            some = sanitize(", ".join(names[:5]) + (" ..." if len(names) > 5 else ""))
            prefix = sanitize(identifier, 100)
            raise PageError(f"{len(names)} sessions begin with {prefix!r}; pass more of the id: {some}") from None
        raise


def _is_missing(reason: PageError) -> bool:
    return reason.status == 404 and reason.code not in (None, "not_configured")


def _why(reason: PageError, address: str | None, identifier: str | None) -> str:
    from llmproxy.console.formatting import sanitize

    if identifier is not None and _is_missing(reason):
        name = sanitize(identifier, 100)
        return f"no session {name!r} at {address}; it may have expired. `llmproxy sessions` lists the active ones"
    return str(reason)

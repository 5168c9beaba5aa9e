"""`reload`: lets a running server read its configuration again, and prints what has changed."""

from __future__ import annotations

from llmproxy.cli.output import AdminKey, ConfigOfServer, Url, fail


def reload(
    url: Url = None,
    config: ConfigOfServer = None,
    admin_key: AdminKey = None,
) -> None:
    """Reload the configuration of a running server.

    A configuration with mistakes changes nothing.
    """
    from llmproxy.cli.client import PageError, fetch_page, find_server
    from llmproxy.console.formatting import sanitize

    try:
        address = find_server(url, config)
        page = fetch_page(address, "/admin/reload", method="POST", key=admin_key or None)
        changes, ignored = _words(page, "changes"), _words(page, "ignored")
    except PageError as reason:
        fail(str(reason))
    for line in changes or ["nothing has changed"]:
        print(sanitize(line))
    for line in ignored:
        print(f"warning: {sanitize(line)}")


def _words(page: dict[str, object], name: str) -> list[str]:
    from llmproxy.cli.client import PageError

    words = page.get(name)
    if not isinstance(words, list):
        raise PageError("not an llmproxy server, or an older version: unexpected answer to POST /admin/reload")
    return [str(each) for each in words]

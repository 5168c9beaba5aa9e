"""Asking a running server for one of its pages, and saying in one line why there is none.

What is on the page is the server's word: it may be older or newer than this program, or no llmproxy at all. Readers use
`table`, `number` and `text`, which give nothing rather than fail. Begin reading at `find` and `ask`.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from collections.abc import Mapping
from http.client import HTTPException
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from llmproxy.discovery import RunningServer

_TIMEOUT_S = 5.0
# Who changes something waits for its end: a store may have much to do.
_CHANGE_S = 60.0
_MAX_BYTES = 64 * 1024 * 1024
_PAGES = ("/stats", "/sessions", "/cache", "/health")
_MOST_SAID = 500


class PageError(Exception):
    """The page cannot be had; the text says why and what to do.

    `status` is the one that the server answered with, `code` its stable word for the reason, where it gave one.
    """

    def __init__(self, why: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.code = code


def find_server(url: str | None, config: str | None = None) -> str:
    """The base address of the server at `url`, else of the newest that this user runs; says so when there are others.

    With `config` only servers that run with this file count. Raises NoPage.
    """
    from llmproxy.discovery import running_servers

    if url is not None:
        return base_url(url)
    servers = running_servers()
    if config is not None:
        servers = [each for each in servers if each.config and _real(each.config) == _real(config)]
    if not servers:
        file = "" if config is None else f" with {config!r}"
        raise PageError(
            f"no running server{file} was found; start one with `llmproxy serve`, "
            "or name one with --url http://127.0.0.1:3000"
        )
    if len(servers) > 1:
        print(f"{len(servers)} servers run; this is the newest, --url chooses another:", file=sys.stderr)
        for server in servers:
            print(f"  {_line(server)}", file=sys.stderr)
    return servers[0].url


def _real(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def _line(server: RunningServer) -> str:
    from llmproxy.console.formatting import sanitize

    return sanitize(f"{server.url}  pid {server.pid}, since {server.started[:19]}Z, {server.config or 'no file'}")


def base_url(given: str) -> str:
    """The base address that `given` means: `localhost:3000` and `http://host/v1` are understood. Raises NoPage."""
    url = given.strip() if "://" in given else f"http://{given.strip()}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PageError(f"{given!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise PageError(f"{given!r} is no URL of a server; write one such as http://127.0.0.1:3000")
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/")
    for page in (*_PAGES, "/v1"):
        path = path.removesuffix(page)
    return f"{parts.scheme}://{host}{path}"


def fetch_page(
    url: str, page: str, *, method: Literal["GET", "DELETE"] = "GET", key: str | None = None
) -> dict[str, Any]:
    """The JSON object at `page` (path and query) of the server at `url`, a base address. Raises NoPage.

    `key` is shown to this server, and to none that it sends us on to.
    """
    request = Request(url + page, headers={"Accept": "application/json", "Connection": "close"}, method=method)
    if key is not None:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    timeout_s = _TIMEOUT_S if method == "GET" else _CHANGE_S
    try:
        with _opener(url).open(request, timeout=timeout_s) as answer:
            body = answer.read(_MAX_BYTES)
    except HTTPError as error:
        with error:
            raise _refusal(url, page, error) from error
    except URLError as error:
        raise PageError(_fault(url, error.reason, timeout_s)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise PageError(_fault(url, error, timeout_s)) from error
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PageError(
            f"{url} shows no JSON at {_path(page)}: it is no llmproxy, or the answer was cut off"
        ) from error
    if not isinstance(found, dict):
        raise PageError(f"{url} is no llmproxy: its {_path(page)} is not what llmproxy shows there")
    return found


def _opener(url: str) -> OpenerDirector:
    """Proxies of the environment are for others than this machine."""
    host = urlsplit(url).hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    return build_opener(ProxyHandler({})) if here else build_opener()


def _path(page: str) -> str:
    return page.partition("?")[0]


def _refusal(url: str, page: str, error: HTTPError) -> PageError:
    """What the server's error means; in its own words where only it knows them."""
    from llmproxy.console.formatting import sanitize

    status, path = error.code, _path(page)
    said = _said(error)
    code, message = as_text(said.get("code")), sanitize(as_text(said.get("message")) or "", _MOST_SAID)
    if code == "not_configured":
        why = f"{url}: {message}"
    elif status == 404:
        why = f"{url} has no {path}: it is no llmproxy, or an older one"
    elif status in (401, 403):
        why = f"{url} does not show its {path} to everybody (status {status})"
    else:
        why = f"{url} answered {path} with status {status}" + (f": {message}" if message else "")
    return PageError(why, status=status, code=code)


def _said(error: HTTPError) -> Mapping[str, Any]:
    """The error in the body, as servers of LLM dialects write theirs."""
    try:
        return object_at(json.loads(error.read(_MAX_BYTES)), "error")
    except (OSError, HTTPException, ValueError, RecursionError):
        return {}


def _fault(url: str, error: object, timeout_s: float) -> str:
    """Why there was no answer, and the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{url}: its certificate is not trusted ({error.verify_message}); SSL_CERT_FILE names more to trust"
    if isinstance(error, ssl.SSLError):
        return f"{url} does not speak TLS; try http:// instead"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {url}; start a server with `llmproxy serve`, or name another with --url"
    if isinstance(error, socket.gaierror):
        return f"the host of {url} is not known; check --url"
    if isinstance(error, TimeoutError):
        return f"{url} did not answer within {timeout_s:g} s"
    if isinstance(error, ConnectionError | HTTPException):
        return f"{url} does not answer in HTTP; if it speaks TLS, try https://"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{url} cannot be asked: {str(reason).lower()}"


def object_at(value: object, *path: str) -> Mapping[str, Any]:
    """The object at `path` within `value`; empty when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[Mapping[str, Any]]:
    """The objects in the list `value`; none when it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def as_number(value: object) -> float | None:
    """`value` when it is a number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_text(value: object) -> str | None:
    """`value` when it is text."""
    return value if isinstance(value, str) else None

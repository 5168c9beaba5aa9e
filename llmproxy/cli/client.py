"""Fetches pages of a running server, and explains failures in one line.

A page may come from an older or newer version, or from another program. `object_at`, `as_number` and `as_text` read it
without failing. Begin reading at `find_server` and `fetch_page`.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from llmproxy.cli.output import ADMIN_KEY_VARIABLE
from llmproxy.system_errors import explain_fault

if TYPE_CHECKING:
    from llmproxy.discovery import RunningServer

_TIMEOUT_S = 5.0
# Changes wait for their end: a store may need long.
_CHANGE_S = 60.0
_MAX_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_PAGES = ("/stats", "/sessions", "/cache", "/health")
_MAX_MESSAGE = 500
_MAX_NUMBER = 1e18


class PageError(Exception):
    """Raised when a page could not be fetched; the text says why and what to do.

    `status` is the status of the server's answer, `code` its error code, where there is one.
    """

    def __init__(self, why: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.code = code


def find_server(url: str | None, config: str | None = None) -> str:
    """Return the base address of the server at `url`, else of this user's newest server, one with a configuration in
    the current directory before others; list the servers when there are several.

    With `config` only servers that run with this file count. Raises PageError.
    """
    from llmproxy.discovery import candidates, runs_here

    if url is not None:
        return server_base_url(url)
    servers = candidates()
    if config is not None:
        servers = [each for each in servers if each.config and _real(each.config) == _real(config)]
    if not servers:
        file = "" if config is None else f" with {config!r}"
        raise PageError(
            f"no running server{file} found; start one with `llmproxy serve`, "
            "or pass its address: --url http://127.0.0.1:3000"
        )
    if len(servers) > 1:
        chosen = "that of this folder" if runs_here(servers[0]) and not runs_here(servers[1]) else "the newest"
        print(f"{len(servers)} servers are running; using {chosen}. Choose another one with --url:", file=sys.stderr)
        for server in servers:
            print(f"  {_line(server)}", file=sys.stderr)
    return servers[0].url


def _real(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def _line(server: RunningServer) -> str:
    from llmproxy.console.formatting import sanitize

    return sanitize(f"{server.url}  pid {server.pid}, since {server.started[:19]}Z, {server.config or 'no file'}")


def server_base_url(text: str) -> str:
    """Return the base address that the user means: `localhost:3000` and `http://host/v1` work. Raises PageError."""
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PageError(f"{text!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise PageError(f"{text!r} is not the URL of a server; use a URL such as http://127.0.0.1:3000")
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/")
    for page in (*_PAGES, "/v1"):
        path = path.removesuffix(page)
    return f"{parts.scheme}://{host}{path}"


def fetch_page(
    url: str, page: str, *, method: Literal["GET", "DELETE", "POST"] = "GET", key: str | None = None
) -> dict[str, Any]:
    """Return the JSON object at `page` (path and query) of the server at `url`, a base address. Raises PageError.

    `key`, by default the variable LLMPROXY_ADMIN_KEY, is sent to this server, and not to one that it redirects to.
    """
    key = key or os.environ.get(ADMIN_KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise PageError(f"${ADMIN_KEY_VARIABLE} contains a character that is not allowed in a key")
    request = Request(url + page, headers={"Accept": "application/json", "Connection": "close"}, method=method)
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    timeout_s = _TIMEOUT_S if method == "GET" else _CHANGE_S
    try:
        with opener_for(url).open(request, timeout=timeout_s) as answer:
            body = b"".join(pieces_of(answer, timeout_s))
    except HTTPError as error:
        with error:
            raise _refusal(url, page, error) from error
    except URLError as error:
        raise PageError(explain_unreachable(url, error.reason, timeout_s)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise PageError(explain_unreachable(url, error, timeout_s)) from error
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PageError(f"no JSON at {url}{_path(page)}: not an llmproxy server, or the answer was cut off") from error
    if not isinstance(content, dict):
        raise PageError(f"{url} is not an llmproxy server: unexpected content at {_path(page)}")
    return content


def wants_client_key(url: str) -> bool:
    """Return whether the server at `url` refuses clients without a key; False too where it does not answer."""
    request = Request(f"{url}/v1/models", headers={"Connection": "close"})
    try:
        with opener_for(url).open(request, timeout=_TIMEOUT_S):
            return False
    except HTTPError as error:
        with error:
            return error.code == 401
    except (OSError, HTTPException, ValueError):
        return False


def pieces_of(answer: HTTPResponse | HTTPError, timeout_s: float, max_bytes: int = _MAX_BYTES) -> Iterator[bytes]:
    """Yield what comes of an answer, as it comes. Raises TimeoutError when it takes longer, also where each piece comes
    in time; stops when it is longer than `max_bytes`."""
    until_s = time.perf_counter() + timeout_s
    read = answer.read1 if hasattr(answer, "read1") else answer.read
    left_bytes = max_bytes
    while left_bytes > 0 and (piece := read(_PIECE_BYTES)):
        yield piece
        left_bytes -= len(piece)
        if time.perf_counter() > until_s:
            raise TimeoutError


def opener_for(url: str) -> OpenerDirector:
    """Return an opener that uses the proxies of the environment, except for this machine."""
    return build_opener(ProxyHandler({})) if is_this_machine(urlsplit(url).hostname or "") else build_opener()


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address names this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _path(page: str) -> str:
    return page.partition("?")[0]


def _refusal(url: str, page: str, error: HTTPError) -> PageError:
    """Explain an error answer of the server, with the server's message where it helps."""
    from llmproxy.console.formatting import sanitize

    status, path = error.code, _path(page)
    problem = _error_object(error)
    code, message = as_text(problem.get("code")), sanitize(as_text(problem.get("message")) or "", _MAX_MESSAGE)
    if code == "not_configured":
        why = f"{url}: {message}"
    elif status == 404:
        why = f"not found: {url}{path}; not an llmproxy server, or an older version"
    elif status in (401, 403):
        why = f"access to {url}{path} denied (status {status}); set ${ADMIN_KEY_VARIABLE} to its server.admin_key"
    else:
        why = f"{url} answered {path} with status {status}" + (f": {message}" if message else "")
    return PageError(why, status=status, code=code)


def _error_object(error: HTTPError) -> Mapping[str, Any]:
    """Return the error object in the body, in the form of LLM dialects."""
    try:
        return object_at(json.loads(b"".join(pieces_of(error, _TIMEOUT_S))), "error")
    except (OSError, HTTPException, ValueError, RecursionError):
        return {}


def explain_unreachable(url: str, error: object, timeout_s: float) -> str:
    """Explain why there was no answer, with the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{url}: the certificate is not trusted ({error.verify_message}); set SSL_CERT_FILE to trust more"
    if isinstance(error, ssl.SSLError):
        return f"{url} does not speak TLS; try http:// instead"
    if isinstance(error, ConnectionRefusedError):
        return f"no server at {url}; start one with `llmproxy serve`, or pass another address with --url"
    if isinstance(error, socket.gaierror):
        return f"unknown host in {url}; check --url"
    if isinstance(error, TimeoutError):
        return f"{url} did not answer within {timeout_s:g} s"
    if isinstance(error, ConnectionError | HTTPException):
        return f"{url} does not speak HTTP; for TLS, try https://"
    reason = explain_fault(error) if isinstance(error, BaseException) else str(error).lower()
    return f"cannot reach {url}: {reason}"


def object_at(value: object, *path: str) -> Mapping[str, Any]:
    """Return the object at `path` within `value`; empty when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[Mapping[str, Any]]:
    """Return the objects in the list `value`; none when it is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def as_number(value: object) -> float | None:
    """Return `value` when it is a number that something can be counted or measured in: JSON also spells NaN, infinity
    and numbers of hundreds of digits.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if -_MAX_NUMBER <= value <= _MAX_NUMBER else None


def as_text(value: object) -> str | None:
    """Return `value` when it is text."""
    return value if isinstance(value, str) else None

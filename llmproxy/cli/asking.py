"""Asking a running server for one of its pages, and saying in one line why there is none.

What is on the page is the server's word: it may be older or newer than this program, or no llmproxy at all. Readers use
`table`, `number` and `text`, which give nothing rather than fail. Begin reading at `ask`.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

_TIMEOUT_S = 5.0
_MAX_BYTES = 64 * 1024 * 1024


class NoPage(Exception):
    """The page cannot be had; the text says why and what to do."""


def base_url(given: str) -> str:
    """The base address that `given` means: `localhost:3000` and `http://host/v1` are understood. Raises NoPage."""
    url = given.strip() if "://" in given else f"http://{given.strip()}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoPage(f"{given!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise NoPage(f"{given!r} is no URL of a server; write one such as http://127.0.0.1:3000")
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/").removesuffix("/stats").removesuffix("/v1")
    return f"{parts.scheme}://{host}{path}"


def ask(url: str, page: str) -> dict[str, Any]:
    """The JSON object at `page` (path and query) of the server at `url`, a base address. Raises NoPage."""
    request = Request(url + page, headers={"Accept": "application/json", "Connection": "close"})
    try:
        with _opener(url).open(request, timeout=_TIMEOUT_S) as answer:
            body = answer.read(_MAX_BYTES)
    except HTTPError as error:
        with error:
            raise NoPage(_refusal(url, page, error.code)) from error
    except URLError as error:
        raise NoPage(_fault(url, error.reason)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise NoPage(_fault(url, error)) from error
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoPage(f"{url} shows no JSON at {_path(page)}: it is no llmproxy, or the answer was cut off") from error
    if not isinstance(found, dict):
        raise NoPage(f"{url} is no llmproxy: its {_path(page)} is not what llmproxy shows there")
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


def _refusal(url: str, page: str, status: int) -> str:
    if status == 404:
        return f"{url} has no {_path(page)}: it is no llmproxy, or an older one"
    if status in (401, 403):
        return f"{url} does not show its {_path(page)} to everybody (status {status})"
    return f"{url} answered {_path(page)} with status {status}"


def _fault(url: str, error: object) -> str:
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
        return f"{url} did not answer within {_TIMEOUT_S:g} s"
    if isinstance(error, ConnectionError | HTTPException):
        return f"{url} does not answer in HTTP; if it speaks TLS, try https://"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{url} cannot be asked: {str(reason).lower()}"


def table(value: object, *path: str) -> Mapping[str, Any]:
    """The object at `path` within `value`; empty when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Mapping[str, Any]]:
    """The objects in the list `value`; none when it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """`value` when it is a number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """`value` when it is text."""
    return value if isinstance(value, str) else None

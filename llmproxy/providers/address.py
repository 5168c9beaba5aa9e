"""Parse the `base_url` of a provider, and join it with a client's path.

Pure functions on strings, byte for byte: nothing is decoded, normalised or sorted. Begin reading at `join`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from llmproxy.dialects import catalog

_VERSION = re.compile(r"v\d+(?:\.\d+)?(?:(?:alpha|beta)\d*)?")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?")
_CALL = re.compile(f"({'|'.join(catalog.path_patterns())})/*$")
_SLASHES = re.compile(r"(https?):?/+", re.IGNORECASE)  # before a host, with a sign missing
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseUrl:
    """The parts of a `base_url`: `path` without a slash at its end ("" for a bare origin), `query` without `?`."""

    scheme: str
    host: str
    port: int
    path: str
    query: str


def _with_scheme(url: str) -> str:
    wrong = _SLASHES.match(url)
    return f"{wrong[1].lower()}:// in place of {wrong[0]}" if wrong else f"http://{url} or https://{url}"


def split_base_url(url: str) -> BaseUrl:
    """Parse a `base_url`. Raises ValueError with a remedy for anything but the address of an API."""
    url = url.strip()
    if "://" not in url:
        raise ValueError(f"{url!r} has no scheme; write {_with_scheme(url)}")
    if any(sign <= " " or sign == "\x7f" for sign in url):
        raise ValueError("the URL contains white space; remove it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"invalid URL: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"unsupported scheme {parts.scheme}://; write http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("the URL must not contain a user or password; write the key in `api_key`")
    if "#" in url:
        raise ValueError("the URL must not contain a fragment (#); remove that part")
    if match := _CALL.search(parts.path):
        raise ValueError(f"the URL ends in {match[1]}, the path of one endpoint; remove that part")
    return BaseUrl(
        scheme=scheme,
        host=_host(parts.hostname or ""),
        port=_port(port, scheme),
        path=quote(parts.path, safe=_ASCII).rstrip("/"),
        query=quote(parts.query, safe=_ASCII),
    )


def _host(host: str) -> str:
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise ValueError(f"invalid host name: {host!r}") from None
    if not _HOST.fullmatch(host):
        raise ValueError(f"invalid host name: {host!r}; write a URL such as https://api.example.com/v1")
    return host


def _port(port: int | None, scheme: str) -> int:
    if port == 0:
        raise ValueError("port 0 is invalid; write the port of the provider, or none")
    return port or (443 if scheme == "https" else 80)


def root_below(base: str, root: str, *, always: bool = False) -> str:
    """Return what to insert between the path `base` of a base_url and the paths of the API, whose root is `root`.

    A bare origin needs the whole root, a beginning of the root its rest; any other path is already the root. `always`
    is for types whose base_url usually ends before the root even when it has a path: there only a version at the end
    replaces the root.
    """
    if f"{root}/".startswith(f"{base}/"):
        return root[len(base) :]
    if always and not _VERSION.fullmatch(base.rpartition("/")[2]):
        return root
    return ""


def join(base: str, root: str, path: str, *, beside: frozenset[str] = frozenset(), caught: bool = False) -> str:
    """Return the path to send upstream for the client's `path`.

    `base` is the path of the base_url, `root` the result of `root_below`. A leading `/v1` of the client's path stands
    for the root; a path that begins with another version, or with a segment in `beside`, has its own root and does not
    get this one; a version at the end of `base` stands for any. `caught` paths (by `llm:`, unknown to us) go
    to a bare origin unchanged.
    """
    if caught and not base:
        return path
    first = path[1:].partition("/")[0]
    if first == "v1":
        path = path[3:]
    elif root and (first in beside or _VERSION.fullmatch(first)):
        root = ""
    elif _VERSION.fullmatch(first) and _VERSION.fullmatch(base.rpartition("/")[2]):
        path = path[len(first) + 1 :]
    return f"{base}{root}{path}" or "/"

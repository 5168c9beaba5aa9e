"""Reads the URL of a Redis: servers, TLS, user, database. Needs no client library, so that checking a configuration
needs none either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

_PORTS = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_EXAMPLE = "write one such as redis://127.0.0.1:6379/0"
# After such a character the rest of a password looks like another part of the URL: errors never quote the URL.
_QUOTING = "in a password write %2F for '/', %23 for '#' and %3F for '?'"

RedisKind = Literal["single", "cluster", "sentinel", "unix"]
_KINDS: dict[str, RedisKind] = {"": "single", "+cluster": "cluster", "+sentinel": "sentinel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """A URL in parts. `hosts` are the servers to connect to first; `path` is a Unix socket, `service` the name that
    sentinels have for the server. User and password are decoded. `str(address)` has no secret in it."""

    kind: RedisKind
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix://{self.path}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{'rediss' if self.tls else 'redis'}://{hosts}" + (f"/{self.service}" if self.service else "")


def parse_redis_url(url: str) -> RedisAddress:
    """Read `url`. Raises ValueError, whose text has no secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"is not a URL; {_EXAMPLE}") from error
    if parts.fragment:
        raise ValueError(f"contains '#'; {_QUOTING}")
    _, _, hosts = parts.netloc.rpartition("@")
    kind, tls = _kind(parts.scheme)
    if kind == "unix":
        if not parts.path:
            raise ValueError("names no socket; write one such as unix:///run/redis.sock")
        address = RedisAddress(kind=kind, path=unquote(hosts + parts.path), db=_queried_db(parts.query))
    else:
        service, db = _place(kind, parts.path.strip("/"))
        db = db or _queried_db(parts.query)
        address = RedisAddress(kind=kind, tls=tls, hosts=_hosts(hosts, kind), service=service, db=db)
    if address.db and kind == "cluster":
        raise ValueError("names a database, but a cluster has only one; leave it out")
    username, password = (unquote(each or "") or None for each in (parts.username, parts.password))
    return replace(address, username=username, password=password)


def _kind(scheme: str) -> tuple[RedisKind, bool]:
    """Return the kind of address that a scheme means, and whether it uses TLS."""
    if scheme == "unix":
        return "unix", False
    tls = scheme.startswith("rediss")
    kind = _KINDS.get(scheme.removeprefix("rediss" if tls else "redis"))
    if kind is None or not scheme.startswith("redis"):
        raise ValueError(f"is not the URL of a Redis server; {_EXAMPLE}")
    return kind, tls


def _place(kind: RedisKind, path: str) -> tuple[str, int]:
    """Return the service and the database that a path names."""
    if kind != "sentinel":
        return "", _db(path)
    service, _, db = path.partition("/")
    if not service:
        raise ValueError("names no service; write redis+sentinel://host1:26379,host2:26379/service/0")
    return unquote(service), _db(db)


def _hosts(text: str, kind: RedisKind) -> tuple[tuple[str, int], ...]:
    servers = []
    for each in text.split(","):
        try:
            parts = urlsplit(f"//{each}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"names a server that is not host:port; {_QUOTING}") from error
        if not host:
            raise ValueError(f"names no server; {_EXAMPLE}")
        servers.append((host, port or _PORTS[kind]))
    if kind == "single" and len(servers) > 1:
        raise ValueError("names several servers; write redis+cluster:// or redis+sentinel:// before them")
    return tuple(servers)


def _db(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise ValueError(f"has a database that is not a number; {_EXAMPLE}; {_QUOTING}")
    return int(text or 0)


def _queried_db(query: str) -> int:
    options = dict(parse_qsl(query, keep_blank_values=True))
    db = _db(options.pop("db", ""))
    if options:
        raise ValueError(f"has a parameter other than 'db', the only one that is allowed; {_QUOTING}")
    return db

"""The connection to a Redis: one server, a cluster or a server that sentinels name, over TCP, TLS or a Unix socket.

Whatever goes wrong, the server's mistakes included, is a StoreFault. Begin reading at `RedisLink.execute`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import RedisSSLContext
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.stores.redis_parser import USUAL_BYTES, VALUE_BYTES, BoundedParser, answer_limit, new_room
from llmproxy.stores.redis_url import RedisAddress
from llmproxy.system_errors import explain_fault

Argument: TypeAlias = str | bytes | int | float

# What the library raises when a server does not speak the Redis protocol.
_RUBBISH = (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, RecursionError, MemoryError)
# Errors of a server that goes on serving: their classes, and their codes, which are the first word of the text.
_REFUSALS = (OutOfMemoryError, ReadOnlyError, NoPermissionError)
_REFUSAL_CODES = ("WRONGTYPE", "MISCONF", "NOREPLICAS")

_AT_ONCE = 32  # operations at the same time, and so connections; more only make each other wait
_CONNECT_S = 5.0
_ANSWER_S = 5.0
_SCAN_COUNT = 500
_LEAST_LIMIT_BYTES = 1 << 20  # of what the library asks a cluster by itself
LONGEST_S = 10 * 365 * 86400.0  # the longest time to live


class WrongType(StoreRefusal):
    """The value of a key is not one of ours."""


class Script:
    """A Lua script and the digest by which servers know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _TlsConnection(SSLConnection):
    """A connection with a shared TLS context: making one reads the system's certificates."""

    def __init__(self, shared: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = shared


class _SentinelTlsConnection(SentinelManagedSSLConnection):
    def __init__(self, shared: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # it has no types
        self.ssl_context = shared


class RedisLink:
    """Sends commands to the Redis at `address`; connects with the first. `ca_file` (PEM) is trusted as well."""

    def __init__(self, address: RedisAddress, ca_file: str | None = None) -> None:
        self.address = address
        self._tls = RedisSSLContext(ca_certs=ca_file, cert_reqs="required", check_hostname=True)
        self._ca_file = ca_file
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._parser = partial(BoundedParser, new_room())
        self._owned: list[Redis] = []
        self._client: Redis | RedisCluster = self._make()

    async def start(self) -> None:
        """Read the certificates, which takes longer than any answer may."""
        if self.address.tls:
            with contextlib.suppress(OSError):  # connecting says it
                await asyncio.to_thread(self._tls.get)

    async def close(self) -> None:
        for each in (self._client, *self._owned):
            with contextlib.suppress(RedisError, RedisClusterException, *_RUBBISH):
                await each.aclose()

    async def execute(self, *command: Argument, limit_bytes: int = USUAL_BYTES, **options: Any) -> Any:
        """Return the answer to `command`, of whatever type the server sends, of at most `limit_bytes`. Raises
        StoreFault."""
        try:
            return await self._send(*command, limit_bytes=limit_bytes, **options)
        except NoScriptError as error:
            raise StoreFault(f"it answers {command[0]!r} with an unknown script") from error

    async def _send(self, *command: Argument, limit_bytes: int = USUAL_BYTES, **options: Any) -> Any:
        """Do what `execute` does. Raises NoScriptError too."""
        answer_limit.set(max(limit_bytes, _LEAST_LIMIT_BYTES))
        async with self._room:
            try:
                if isinstance(self._client, RedisCluster):
                    await self._client.initialize()  # before that it sends commands to any of the servers
                return await self._client.execute_command(*command, **options)
            except NoScriptError:
                raise
            except (RedisError, RedisClusterException) as error:
                raise _fault(error) from error
            except _RUBBISH as error:
                raise StoreFault(
                    f"it does not speak the Redis protocol, or does not answer: {explain_fault(error)}"
                ) from error

    async def run(self, script: Script, key: str, *arguments: Argument) -> Any:
        """Return the result of `script` on the server that has `key`."""
        try:
            return await self._send("EVALSHA", script.digest, 1, key, *arguments)
        except NoScriptError:
            pass
        return await self.execute("EVAL", script.text, 1, key, *arguments)

    async def scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match, some at a time, perhaps twice; of every server of a cluster."""
        for options in await self._nodes():
            cursor = 0
            while True:
                found = await self.execute("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, **options)
                cursor, keys = _scanned(found)
                if keys:
                    yield keys
                if not cursor:
                    break

    async def unlink(self, keys: list[bytes]) -> int:
        """Remove these keys. Return how many there were. In a cluster they are on different servers: a command each."""
        if not isinstance(self._client, RedisCluster):
            return _number(await self.execute("UNLINK", *keys))
        answers = await asyncio.gather(*(self.execute("UNLINK", key) for key in keys), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return sum(map(_number, answers))

    async def get(self, key: str, limit_bytes: int) -> object:
        """Return the value of `key`; raises StoreFault when it has more than `limit_bytes`."""
        return await self.execute("GET", key, limit_bytes=limit_bytes + 2 * VALUE_BYTES)

    async def get_many(self, keys: list[str], limit_bytes: int) -> list[object]:
        """Return the value of each key, of together `limit_bytes`. In a cluster they are on different servers: a
        command each."""
        if isinstance(self._client, RedisCluster):
            return list(await asyncio.gather(*(self.get(key, limit_bytes) for key in keys)))
        overhead_bytes = 2 * VALUE_BYTES * (len(keys) + 1)
        match await self.execute("MGET", *keys, limit_bytes=limit_bytes + overhead_bytes):
            case list() as values if len(values) == len(keys):
                return values
            case _:
                raise StoreFault("its answer to MGET is not a list of values")

    async def _nodes(self) -> list[dict[str, Any]]:
        if not isinstance(self._client, RedisCluster):
            return [{}]
        await self.execute("PING")  # it knows the others from then on
        return [{"target_nodes": node} for node in self._client.get_primaries()]

    def _make(self) -> Redis | RedisCluster:
        address = self.address
        common: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "socket_timeout": _ANSWER_S,
            "socket_connect_timeout": _CONNECT_S,
            "protocol": 2,
            "parser_class": self._parser,
            "driver_info": None,  # one command less for each connection
            "retry": Retry(NoBackoff(), 1),  # a connection that a restarted server closed
        }
        if address.kind == "cluster":
            return self._cluster(common)
        if address.kind == "sentinel":
            return self._sentinel(common)
        if address.kind == "unix":
            pool = ConnectionPool(UnixDomainSocketConnection, path=address.path, db=address.db, **common)
        else:
            host, port = address.hosts[0]
            pool = ConnectionPool(**self._secured(), host=host, port=port, db=address.db, **common)
        return Redis.from_pool(pool)

    def _secured(self) -> dict[str, Any]:
        if self.address.tls:
            return {"connection_class": _TlsConnection, "shared": self._tls}
        return {"connection_class": Connection}

    def _cluster(self, common: Mapping[str, Any]) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in self.address.hosts]
        random.shuffle(nodes)
        common = {name: value for name, value in common.items() if name != "parser_class"}
        cluster = RedisCluster(
            startup_nodes=nodes,
            require_full_coverage=False,
            ssl=self.address.tls,
            ssl_ca_certs=self._ca_file if self.address.tls else None,
            **common,
        )
        # Its constructor does not know the parser, but hands all of these on to the connections.
        for options in (cluster.connection_kwargs, *(node.connection_kwargs for node in cluster.startup_nodes)):
            options["parser_class"] = self._parser
        return cluster

    def _sentinel(self, common: Mapping[str, Any]) -> Redis:
        """Connect to the server that sentinels name. Password and user are the server's, sentinels get none."""
        plain = {key: value for key, value in common.items() if key not in ("username", "password")}
        sentinel = Sentinel([])  # type: ignore[no-untyped-call]  # it has no types
        for host, port in self.address.hosts:
            pool = ConnectionPool(**self._secured(), host=host, port=port, **plain)
            sentinel.sentinels.append(Redis.from_pool(pool))
        self._owned = sentinel.sentinels
        tls = {"connection_class": _SentinelTlsConnection, "shared": self._tls} if self.address.tls else {}
        about = {"db": self.address.db, **tls, **common}
        servers = SentinelConnectionPool(self.address.service, sentinel, **about)  # type: ignore[no-untyped-call]
        return Redis.from_pool(servers)


def _fault(error: RedisError | RedisClusterException) -> StoreFault:
    code = str(error).partition(" ")[0]
    if code == "WRONGTYPE":
        return WrongType(str(error))
    refused = isinstance(error, _REFUSALS) or (isinstance(error, ResponseError) and code in _REFUSAL_CODES)
    cause = error.__cause__ or error.__context__
    words = explain_fault(cause) if isinstance(cause, OSError) else str(error)
    return (StoreRefusal if refused else StoreFault)(words)


def _number(answer: object) -> int:
    if not isinstance(answer, int):
        raise StoreFault("its answer is not a number")
    return answer


def _scanned(answer: object) -> tuple[int, list[bytes]]:
    """Return where to go on, and keys. For a cluster the library names the server: `{name: cursor}`."""
    match answer:
        case ({**one}, list() as keys) if len(one) == 1:
            cursor = next(iter(one.values()))
        case (cursor, list() as keys):
            pass
        case _:
            raise StoreFault("its answer to SCAN is not a list of keys")
    if not isinstance(cursor, int) or not all(isinstance(key, bytes) for key in keys):
        raise StoreFault("its answer to SCAN has something other than keys")
    return cursor, keys

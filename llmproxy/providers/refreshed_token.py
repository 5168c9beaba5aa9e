"""A credential that expires, refreshed ahead of time.

Begin reading at `RefreshedToken.ready`.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from llmproxy.errors import ProxyError

AHEAD_S = 300.0
"""How long before its end a token is refreshed."""
_AGAIN_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and the wall clock at which it ends, None for one that does not."""

    text: str
    ends_s: float | None


Kind = TypeVar("Kind", bound=Token)


class RefreshedToken(Generic[Kind]):
    """Keeps the token that `fetch` gets. `fetch` raises ProxyError, or any other exception, when there is none.

    Callers wait only where there is no valid token; within `AHEAD_S` of its end one of them fetches a new one, and the
    others go on with the old one. While that one is valid, the next fetch comes ten seconds later at the earliest: the
    last one may have failed, or have got the same token again. Those who waited for a fetch that failed get its error.
    """

    def __init__(self, name: str, fetch: Callable[[], Awaitable[Kind]], clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._token: Kind | None = None
        self._lock = asyncio.Lock()
        self._next_s = self._next_forget_s = 0.0
        self._fetches = 0
        self._failure: ProxyError | None = None

    @property
    def token(self) -> Kind | None:
        """Return the token; None before the first `ready`."""
        return self._token

    @property
    def text(self) -> str:
        """Return the token; empty before the first `ready`."""
        return "" if self._token is None else self._token.text

    async def ready(self) -> None:
        """Get a new token where that is needed. Raises ProxyError when there is no valid one."""
        if self._left_s() > AHEAD_S:
            return
        if self._left_s() > 0 and (self._lock.locked() or self._clock() < self._next_s):
            return
        fetches = self._fetches
        async with self._lock:
            if self._left_s() > (0 if self._fetches != fetches else AHEAD_S):
                return
            if self._fetches != fetches and self._failure is not None:
                raise copy.copy(self._failure)
            await self._refresh()

    def forget(self) -> None:
        """Let the next call get a new token: the provider refused this one. Not again within ten seconds."""
        if self._clock() >= self._next_forget_s:
            self._token = None
            self._next_forget_s = self._clock() + _AGAIN_S

    async def renew(self, used: Kind) -> bool:
        """Get another token than `used`, which the provider refused. Return whether there is one.

        Credentials that never change give the same one again, and so do sources that keep a token until its end.
        """
        if self._token is used:
            self.forget()
        try:
            await self.ready()
        except ProxyError:
            return False
        return self._token is not None and self._token.text != used.text

    def _left_s(self) -> float:
        """Return for how many seconds the token is valid."""
        token = self._token
        if token is None:
            return 0.0
        return float("inf") if token.ends_s is None else token.ends_s - self._clock()

    async def _refresh(self) -> None:
        self._failure = None
        try:
            self._token = await self._fetch()
        except Exception as error:
            if self._left_s() <= 0:
                message = f"No credential for the provider {self._name!r}: {error}"
                plain = ProxyError(message, status=502, code="no_credential")
                self._failure = error if isinstance(error, ProxyError) else plain
                raise self._failure from error
            log.warning("provider %r: its token could not be refreshed, the old one is used: %s", self._name, error)
        finally:
            self._fetches += 1
            self._next_s = self._clock() + _AGAIN_S

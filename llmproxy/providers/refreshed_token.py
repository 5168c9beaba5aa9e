"""A credential that expires, refreshed ahead of time.

Begin reading at `RefreshedToken.ready`.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from llmproxy.errors import ProxyError, UpstreamError

AHEAD_S = 300.0
"""How long before its end a token is refreshed."""
_AGAIN_S = 10.0
_LIMIT_S = 40.0
_LONGEST = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and the wall clock at which it ends, None for one that does not."""

    text: str
    ends_s: float | None

    def parts(self) -> tuple[str, ...]:
        """Return what of it is sent in headers."""
        return (self.text,)


Kind = TypeVar("Kind", bound=Token)


class RefreshedToken(Generic[Kind]):
    """Keeps the token that `fetch` gets. `fetch` raises ProxyError, or any other exception, when there is none.

    Callers wait only where there is no valid token, all of them for the same fetch, whose outcome is theirs; it goes on
    when they leave. Within `AHEAD_S` of the end a new token is fetched beside the calls. While the old one is valid,
    the next fetch comes ten seconds later at the earliest: the last one may have failed, or have got the same token.
    """

    def __init__(self, name: str, fetch: Callable[[], Awaitable[Kind]], clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._token: Kind | None = None
        self._fetching: asyncio.Task[ProxyError | None] | None = None
        self._next_s = self._next_forget_s = 0.0

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
        left_s = self._left_s()
        if left_s > AHEAD_S or (left_s > 0 and self._clock() < self._next_s):
            return
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._refresh())
        if left_s <= 0:
            failure = await asyncio.shield(self._fetching)
            if failure is not None:
                raise copy.copy(failure)

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

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

    async def _refresh(self) -> ProxyError | None:
        """Fetch a token. Return why there is no valid one, if so."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                token = await self._fetch()
            self._check(token)
        except Exception as error:
            failure = self._failure(error)
            if self._left_s() <= 0:
                return failure
            log.warning(
                "provider %r: its token could not be refreshed, the old one is used: %s", self._name, failure.message
            )
            return None
        else:
            self._token = token
            return None
        finally:
            self._fetching = None
            self._next_s = self._clock() + _AGAIN_S

    def _failure(self, error: Exception) -> ProxyError:
        """Return what to say about an error. The words of an unknown one may repeat what held a secret."""
        if isinstance(error, ProxyError):
            return error
        slow = f"its source took longer than {_LIMIT_S:g} s"
        reason = slow if isinstance(error, TimeoutError) else f"its source failed ({type(error).__name__})"
        return UpstreamError(f"No credential for the provider {self._name!r}: {reason}", code="no_credential")

    def _check(self, token: Kind) -> None:
        """Raise UpstreamError for what no header can carry."""
        if any(not part.isascii() or not part.isprintable() or len(part) > _LONGEST for part in token.parts()):
            message = f"The credential of the provider {self._name!r} is too long, or not plain text"
            raise UpstreamError(message, code="no_credential")

"""A provider whose credential ends: it is fetched before the first call, refreshed ahead of time, and looked for again
where the provider refuses it.

Clouds derive from it, and say where their credentials come from. Begin reading at `RefreshingProvider`.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from functools import partial
from typing import Generic, TypeVar

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import ClientRequest
from llmproxy.errors import ProxyError
from llmproxy.providers.base import HttpProvider
from llmproxy.providers.forwarding import rename_key
from llmproxy.providers.refreshed_token import RefreshedToken, Token
from llmproxy.target import Target, UpstreamRequest

log = logging.getLogger(__name__)

_TRY_AGAIN_S = 3.0

Kind = TypeVar("Kind", bound=Token)


class RefreshingProvider(HttpProvider, Generic[Kind]):
    """A provider with a key, or with `_token` in its place, which a subclass sets.

    Where there is no credential, calls fail for three seconds without another search, which may take as long. The
    start does not wait for machines that have none.
    """

    def __init__(self, config: HttpProvider.Config) -> None:
        super().__init__(config)
        self._token: RefreshedToken[Kind] | None = None
        self._fault: ProxyError | None = None
        self._next_try_s = 0.0
        self._warming: asyncio.Task[None] | None = None
        self._lasting_secrets = self.secrets
        self._token_secrets: tuple[str, ...] = ()

    async def start(self) -> None:
        if self._token is not None:
            self._warming = asyncio.get_running_loop().create_task(self._warm())

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._warming
        if self._token is not None:
            await self._token.close()

    async def _warm(self) -> None:
        await self.ready()
        if self._fault is not None and self._auth == "inject":
            log.warning("provider %r: %s", self.name, self._fault.message)

    async def ready(self) -> None:
        if self._token is None or (self._fault is not None and time.monotonic() < self._next_try_s):
            return
        try:
            await self._token.ready()
        except ProxyError as error:  # a client may have a credential of its own
            self._fault = error
            self._next_try_s = time.monotonic() + _TRY_AGAIN_S
            return
        self._fault = None
        if self._token.token is not None:
            self._use(self._token.token)

    def _use(self, token: Kind) -> None:
        """Send `token` with the next requests."""
        self._credential = ("Authorization", f"Bearer {token.text}")
        self._hide(token.text)

    def _hide(self, *secrets: str) -> None:
        """Keep the secrets of a token from clients, and those of the one before it, with which calls may be running."""
        if secrets != self._token_secrets:
            self.secrets = (*secrets, *self._token_secrets, *self._lasting_secrets)
            self._token_secrets = secrets

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        token = None if self._token is None or self._forwards_credential(request) else self._token
        if token is not None and self._fault is not None:
            raise copy.copy(self._fault)
        prepared = super().prepare(request, target)
        if token is not None and token.token is not None:
            prepared.renew = partial(self._renew, token, token.token)
        return prepared

    async def _renew(self, token: RefreshedToken[Kind], used: Kind, answer: Answer) -> bool:
        """Look for another credential where `answer` refuses the one that was used. Return whether there is one."""
        if not self._refuses(answer):
            return False
        if not await token.renew(used):
            return False
        log.info("provider %r: its credential was refused, and is replaced by a new one", self.name)
        await self.ready()
        return True

    def _refuses(self, answer: Answer) -> bool:
        """Return whether `answer` says that the credential is not valid any more. Called with each 400, 401 and 403."""
        return answer.status == 401

    def _forwards_credential(self, request: ClientRequest) -> bool:
        """Tell whether the client's own credential goes on. Beside tokens only where that is asked for: many clients
        send placeholders."""
        if self._token is None:
            return super()._forwards_credential(request)
        return self._auth == "passthrough" and self._offers_credential(request)

    def _headers_for(self, request: ClientRequest) -> Headers:
        headers = super()._headers_for(request)
        if self._forwards_credential(request):
            rename_key(headers, self._header_of_key)
        return headers

    def _header_of_key(self, key: str) -> tuple[str, str]:
        """Return the header in which this provider expects a client's `key`, and its value."""
        return self._service.key_header, self._service.key_scheme + key

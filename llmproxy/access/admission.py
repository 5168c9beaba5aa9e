"""Admit or refuse a request by its head. `Admission.admit` is called for every request, before
its body is read and before one of our own pages answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.access.exposure import check_exposure
from llmproxy.exchange import Exchange
from llmproxy.target import Provider


class Admission:
    """Decides what may come in, for one configuration.

    `providers` are all that may get a request, `admin_key` is `server.admin_key` (empty where there is none).
    """

    __slots__ = ("_admin_key", "_verified_upstream")

    def __init__(self, providers: Sequence[Provider] = (), admin_key: str = "") -> None:
        self._admin_key = admin_key
        self._verified_upstream = bool(providers) and all(each.forwards_credentials for each in providers)

    def admit(self, exchange: Exchange) -> None:
        """Fill in what is known of the client. Raise ProxyError when the request may not come in."""
        exchange.client.credentials_verified = self._verified_upstream
        check_exposure(exchange, self._admin_key)

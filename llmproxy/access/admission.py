"""Admit or refuse a request by its head. `Admission.admit` is called for every request, before
its body is read and before one of our own pages answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.access.exposure import Exposure
from llmproxy.access.path_traversal import check_path
from llmproxy.exchange import Exchange
from llmproxy.target import Provider


class Admission:
    """Decides what may come in, for one configuration.

    `providers` are all that may get a request; without `exposure` a request may come from anywhere.
    """

    __slots__ = ("_exposure", "_verified_upstream")

    def __init__(self, providers: Sequence[Provider] = (), exposure: Exposure | None = None) -> None:
        self._exposure = Exposure() if exposure is None else exposure
        self._verified_upstream = bool(providers) and all(each.forwards_credentials for each in providers)

    def admit(self, exchange: Exchange) -> None:
        """Fill in what is known of the client. Raise ProxyError when the request may not come in."""
        exchange.client.credentials_verified = self._verified_upstream
        self._exposure.check(exchange)
        check_path(exchange.full_path)

"""Admit or refuse a request by its head. `Admission.admit` is called for every request, before its body is read and
before one of our own pages answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import Enum

from llmproxy.access.authentication import Authentication
from llmproxy.access.cors import Cors
from llmproxy.access.exposure import Exposure
from llmproxy.access.path_traversal import check_path
from llmproxy.access.trusted_proxies import TrustedProxies
from llmproxy.answer import Answer
from llmproxy.exchange import Exchange
from llmproxy.target import Provider


class Audience(Enum):
    """Decides who may come in, where clients have keys."""

    EVERYBODY = "everybody"
    CLIENTS = "clients"
    OPERATORS = "operators"


class Admission:
    """Decides what may come in, for one configuration.

    `providers` are all that may get a request; without `exposure` a request may come from anywhere. `authentication` is
    None where clients need no key.
    """

    __slots__ = ("_authentication", "_cors", "_exposure", "_proxies", "_verified_upstream")

    def __init__(
        self,
        providers: Sequence[Provider] = (),
        exposure: Exposure | None = None,
        *,
        authentication: Authentication | None = None,
        cors: Cors | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._exposure = Exposure() if exposure is None else exposure
        self._authentication = authentication
        self._cors = Cors() if cors is None else cors
        self._proxies = proxies
        self._verified_upstream = bool(providers) and all(each.forwards_credentials for each in providers)

    def admit(self, exchange: Exchange, audience: Audience = Audience.CLIENTS) -> Awaitable[None] | None:
        """Fill in who the client is. Raise ProxyError when the request is refused.

        Returns something to await, which may raise too, when that cannot be decided at once.
        """
        client = exchange.client
        client.credentials_verified = self._verified_upstream
        if self._proxies is not None:
            client.address = self._proxies.client_address(client.address, exchange.headers)
        authentication = self._authentication
        if authentication is None:
            self._exposure.check(exchange)
            check_path(exchange.full_path)
            return None
        self._exposure.check_host(exchange)
        waiting = None
        if audience is Audience.OPERATORS:
            self._exposure.check_operator(exchange)
        elif audience is Audience.CLIENTS:
            if client.certificate is not None and "Origin" in exchange.headers:
                self._exposure.check_origin(exchange)  # browsers send certificates for any page
            waiting = authentication.identify(exchange)
        check_path(exchange.full_path)
        return waiting

    def preflight(self, exchange: Exchange) -> Answer | None:
        """Return the answer to the question of a browser whether a page may ask; None for other requests. It comes
        without a key."""
        return self._cors.preflight(exchange.headers) if exchange.method == "OPTIONS" else None

    def share(self, exchange: Exchange, answer: Answer) -> None:
        """Add the headers that let the page that asks read `answer`. Called for requests with an `Origin`."""
        self._cors.apply(exchange.headers.get("Origin", ""), answer)

"""Whose a request is: the one answer for everything that is kept for a client.

Two questions are asked, and both are answered here.

* `identity_of`: *who is the client?* Sessions, stored responses and kept reasoning belong to an identity. Two clients
  must never share one, so in doubt more things tell clients apart.
* `cache_scope`: *whose credentials was this answer obtained with?* Cached answers belong to a scope. Clients may share
  one: where nothing of theirs goes on to a provider, each of them would get the same answer from the provider.

Neither result shows a secret; both are digests. What a credential is says `credentials.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from llmproxy.access.credentials import Credentials, header_credentials, is_signature, query_credentials
from llmproxy.exchange import Exchange
from llmproxy.redaction.secrets import with_credentials
from llmproxy.target import Provider
from llmproxy.user_code import log_failure


def identity_of(exchange: Exchange) -> str:
    """Return whose the request is, as a digest. Computed at the first call for an exchange, then kept in its client.

    1. The tenant of a verified client key.
    2. Else, where every provider of the configuration gets the credentials of clients and so verifies them: all
       credentials of the request, wherever it comes from. Cookies and placeholders (`ollama`) alone prove nothing.
    3. Else the address, the user agent and all credentials of the request: the proxy's own keys are used, so that
       nobody verifies what clients send.

    It does not depend on the route: a client that continues a response on another model, or reads it without naming a
    model, has the identity under which it was stored.
    """
    client = exchange.client
    if not client.identity:
        if client.tenant:
            client.identity = digest("tenant", client.tenant)
        else:
            sent = header_credentials(exchange.headers)
            if exchange.query:
                sent += query_credentials(exchange.query)
            client.identity = _unverified(client.credentials_verified, client.address, client.agent, sent)
    return client.identity


def cache_scope(exchange: Exchange, vary: Sequence[str] = (), *, shared: bool = False, stored: bool = False) -> str:
    """Return who may get the answer to this request from a cache: everybody with the same scope; "" is everybody.

    The tenant of a verified client key; else all credentials that go on to a provider of the route; else everybody.
    `shared` lets everybody share. The values of the headers that `vary` names separate answers in any case, and so does
    the identity where the request names what is `stored` for it.
    """
    owner = "" if shared else _owner(exchange)
    if stored:
        owner = digest("stored", owner, identity_of(exchange))
    if not vary:
        return owner
    headers = exchange.headers
    return digest("vary", owner, *(f"{name}:{value}" for name in vary for value in headers.getall(name, ())))


def _owner(exchange: Exchange) -> str:
    if exchange.client.tenant:
        return digest("tenant", exchange.client.tenant)
    targets = exchange.route.targets if exchange.route is not None else ()
    if len(targets) == 1:
        forwarded = _forwarded_to(targets[0].provider, exchange)
    else:
        forwarded = tuple(pair for target in targets for pair in _forwarded_to(target.provider, exchange))
    return _forwarded(forwarded) if forwarded else ""


def _forwarded_to(provider: Provider, exchange: Exchange) -> Credentials:
    """Return the client's credentials that `provider` gets. Raises ComponentFailed when a user's does not say so."""
    if not provider.user_defined:
        return provider.forwarded_credentials(exchange)
    who = f"forwarded_credentials of provider {provider.name!r}"
    try:
        pairs = tuple(tuple(pair) for pair in provider.forwarded_credentials(exchange))
    except BaseException as error:
        raise log_failure(who, exchange.id, error) from error
    if not all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs):
        raise log_failure(who, exchange.id, "returned no pairs of header names and values")
    return tuple((name, value) for name, value in pairs)


@lru_cache(maxsize=1024)
def _forwarded(credentials: Credentials) -> str:
    return digest("forwarded", *(part for pair in credentials for part in pair))


# Clients send the same credentials again and again: 0.3 µs instead of 4.
@lru_cache(maxsize=1024)
def _unverified(verified_upstream: bool, address: str, agent: str, credentials: Credentials) -> str:
    """Return the identity of a client without a verified key."""
    parts = [part for pair in credentials for part in pair]
    keys = [value.rpartition(" ")[2] for name, value in credentials if name != "cookie" and not is_signature(value)]
    if verified_upstream and with_credentials((), keys):
        return digest("credential", *parts)
    return digest("address", address, agent, *parts)


@lru_cache(maxsize=1024)
def digest(*parts: str) -> str:
    """Return 32 hexadecimal digits that stand for `parts`; two different lists of parts never share them."""
    joined = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]

"""Make from the configuration what decides who may come in: keys, tokens, exposure, CORS, and what keeps them fresh.

Begin reading at `build_access`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path

from pydantic import TypeAdapter

from llmproxy.access.admission import Admission
from llmproxy.access.authentication import Authentication
from llmproxy.access.certificates import parts_of
from llmproxy.access.cors import Cors
from llmproxy.access.exposure import Exposure
from llmproxy.access.key_set import KeySet
from llmproxy.access.keys import KeyRing, digest_of
from llmproxy.access.tokens import ClaimNames, TokenRules, Tokens, read_public_key, secret_key
from llmproxy.access.trusted_proxies import TrustedProxies
from llmproxy.client_key import ClientKey
from llmproxy.config.auth import Grants, JwtConfig, KeyConfig
from llmproxy.config.auth_checks import check_auth
from llmproxy.config.keys_file import read_keys_file
from llmproxy.config.load import Loaded
from llmproxy.config.schema import ServerConfig
from llmproxy.limit import Limit
from llmproxy.limit_config import LimitConfig
from llmproxy.server.file_watch import FileWatch
from llmproxy.server.reuse import Reuse
from llmproxy.server.runtime import Component
from llmproxy.server.tls import ServerTls, TlsFiles
from llmproxy.settings import Secret
from llmproxy.stores.open_stores import Stores
from llmproxy.target import Provider
from llmproxy.upstream.document import fetch_document

log = logging.getLogger(__name__)

_LIMITS = TypeAdapter(list[LimitConfig])


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Holds the admission of clients, and the parts that are started and closed for it."""

    admission: Admission
    components: Sequence[Component]


def build_access(loaded: Loaded, providers: Sequence[Provider], reuse: Reuse | None = None) -> Access:
    """Return the access of a checked configuration."""
    reuse = reuse or Reuse(Stores())
    config = loaded.checked()
    server, auth = config.server, config.auth
    components: list[Component] = []
    with_certificates = server.tls is not None and server.tls.client_ca is not None
    authentication: Authentication | None = None
    if auth.uses_keys or auth.uses_tokens or with_certificates:
        tokens = _tokens(auth.jwt, components, reuse) if auth.jwt is not None and auth.uses_tokens else None
        keys = (*auth.keys, *loaded.file_keys) if auth.uses_keys or with_certificates else ()
        authentication = Authentication(
            _ring(keys),
            tokens,
            subjects=_subjects(keys),
            certificates_suffice=not (auth.uses_keys or auth.uses_tokens),
        )
        if auth.keys_file is not None and auth.uses_keys:
            components.append(_watched(authentication, loaded, auth.keys_file))
    networks = [ip_network(each) for each in server.trusted_proxies]
    admission = Admission(
        providers,
        _exposure(server, has_keys=authentication is not None),
        authentication=authentication,
        cors=_cors(server),
        proxies=TrustedProxies(networks) if networks else None,
    )
    return Access(admission=admission, components=components)


def server_tls(server: ServerConfig) -> ServerTls | None:
    """Return the TLS of the server; None where it speaks plain HTTP. Raises ValueError for files that changed since
    they were checked."""
    tls = server.tls
    if tls is None:
        return None
    return ServerTls(TlsFiles(certificate=tls.certificate, key=tls.key, client_ca=tls.client_ca))


def _exposure(server: ServerConfig, *, has_keys: bool) -> Exposure:
    return Exposure(
        admin_key=_secret(server.admin_key),
        listens_on=server.host,
        allowed_hosts=server.allowed_hosts,
        allowed_origins=[*server.allowed_origins, *server.cors.allow_origins],
        clients_have_keys=has_keys,
    )


def _cors(server: ServerConfig) -> Cors:
    cors = server.cors
    return Cors(
        allow_origins=cors.allow_origins,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        max_age_s=cors.max_age,
        allow_credentials=cors.allow_credentials,
    )


def _ring(keys: Iterable[KeyConfig]) -> KeyRing:
    return KeyRing((digest, _client_key(each)) for each in keys if (digest := _digest(each)))


def _subjects(keys: Iterable[KeyConfig]) -> dict[frozenset[str], ClientKey]:
    return {parts_of(each.subject): _client_key(each) for each in keys if each.subject is not None}


def _digest(key: KeyConfig) -> bytes:
    if key.sha256 is not None:
        return bytes.fromhex(key.sha256)
    return b"" if key.key is None else digest_of(key.key.get_secret_value())


def _client_key(config: KeyConfig) -> ClientKey:
    granted = _granted(config, config.name, f"key:{config.name}")
    return replace(granted, id=config.id or config.name, expires_s=config.expires)


def _granted(grants: Grants, name: str, tenant: str) -> ClientKey:
    """Return what `grants` allow a client. Its budgets are its own where they do not say whose."""
    budgets = [
        replace(each.budget(), scope="key") if each.scope is None and each.per != "session" else each.budget()
        for each in grants.budgets
    ]
    return ClientKey(
        id=name,
        name=name,
        tenant=tenant,
        team=grants.team or "",
        models=tuple(grants.models),
        providers=tuple(grants.providers),
        relay=grants.relay,
        limits=tuple(each.limit() for each in grants.limits),
        budgets=tuple(budgets),
        tags=tuple(grants.tags.items()),
    )


def _key_set(jwt: JwtConfig, url: str, reuse: Reuse) -> KeySet:
    def make(stores: Stores) -> KeySet:
        return KeySet(
            partial(fetch_document, url), url, refresh_s=jwt.jwks_refresh, min_interval_s=jwt.jwks_min_interval
        )

    return reuse.take((KeySet, url, jwt.jwks_refresh, jwt.jwks_min_interval), make)


def _tokens(jwt: JwtConfig, components: list[Component], reuse: Reuse) -> Tokens:
    key_set: KeySet | None = None
    if jwt.jwks_url is not None:
        key_set = _key_set(jwt, jwt.jwks_url, reuse)
        components.append(reuse.component(key_set, "the key set of auth.jwt"))
    keys = [] if jwt.secret is None else [secret_key(jwt.secret.get_secret_value())]
    if jwt.public_key_file is not None:
        keys.append(read_public_key(jwt.public_key_file))
    claims = jwt.claims
    return Tokens(
        TokenRules(issuer=jwt.issuer, audience=jwt.audience, leeway_s=jwt.leeway),
        keys,
        key_set,
        grants=_granted(jwt, "token", "token"),
        claims=ClaimNames(
            name=claims.name, team=claims.team, models=claims.models, providers=claims.providers, limits=claims.limits
        ),
        read_limits=_read_limits,
    )


def _read_limits(claim: object) -> tuple[Limit, ...]:
    """Return the limits in a claim. Raises ValueError."""
    return tuple(each.limit() for each in _LIMITS.validate_python(claim))


def _watched(authentication: Authentication, loaded: Loaded, file: str) -> Component:
    """Return what puts the keys of a changed file in place of the old ones. A bad file changes nothing."""
    config = loaded.checked()
    directory, own_keys = config.directory, config.auth.keys

    async def reload() -> None:
        keys, problems, in_file = await asyncio.to_thread(read_keys_file, file, directory)
        if loaded.tree is not None:
            problems += check_auth(loaded.tree, in_file)
        if problems:
            log.error("the changed keys file is not used, the known keys stay: %s", "; ".join(map(str, problems)))
            return
        everybody = (*own_keys, *keys)
        authentication.keys, authentication.subjects = _ring(everybody), _subjects(everybody)
        log.info("%s was read again: %d keys", file, len(keys))

    path = str(directory / Path(file).expanduser())
    return Component(part=FileWatch([path], reload, [loaded.keys_stamp]), who="the watch of auth.keys_file")


def _secret(value: Secret | None) -> str:
    return "" if value is None else value.get_secret_value()

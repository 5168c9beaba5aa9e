"""Checks of a provider: its key, outgoing proxy, name resolution, TLS, and one call that costs nothing.

Each stage needs the one before; the rest is left out after the first that fails. The call lists models, or where a
provider has no such list, the connection itself is all. Begin reading at `check_provider`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

from llmproxy.answer import Answer
from llmproxy.cli.client import is_this_machine
from llmproxy.cli.doctor.diagnosis import Diagnosis, Status
from llmproxy.config.provider_types import service_of
from llmproxy.console.formatting import format_duration, sanitize
from llmproxy.errors import ProxyError
from llmproxy.providers.service import CLIENTS_OWN
from llmproxy.redaction.secrets import mask_text
from llmproxy.system_errors import explain_fault
from llmproxy.target import OpenUpstream, Origin, Provider
from llmproxy.upstream.egress import outgoing_proxy, trust, trust_store

_EXPIRES_SOON_S = 14 * 86400.0
# OpenSSL's numbers (x509_vfy.h): not yet valid, expired, another host.
_WRONG_TIME, _WRONG_HOST = (9, 10), (62, 64)
_NETWORK = "check `base_url` and the network; behind a company's proxy set HTTPS_PROXY"


@dataclass(slots=True, kw_only=True)
class Checked:
    """Hold what was found about one provider. `reached` is None where no network is between us. `drift_s` says how far
    our
    clock is ahead of the provider's."""

    findings: list[Diagnosis] = field(default_factory=list)
    reached: bool | None = None
    drift_s: float | None = None


async def check_provider(provider: Provider, key_source: str, open_: OpenUpstream, timeout_s: float) -> Checked:
    """Check one provider; no stage takes longer than `timeout_s`."""
    if provider.origin is None:
        return Checked(findings=[Diagnosis(subject=provider.name, check="call", detail="answers by itself")])
    checked = Checked(findings=[_key(provider, key_source)])
    checked.reached = None if is_this_machine(provider.origin.host) else False
    stages = _Stages(provider, provider.origin, open_, checked)
    async for finding in stages.run(timeout_s):
        checked.findings.append(finding)
    return checked


def _key(provider: Provider, source: str) -> Diagnosis:
    """Say where the key comes from, never the key."""
    service = service_of(provider.type)
    needs = service is not None and service.key_env is not None and source == CLIENTS_OWN
    return Diagnosis(
        subject=provider.name,
        check="key",
        status="warning" if needs else "ok",
        detail=source,
        fix=f"set {service.key_env}, or let clients send their own key" if needs and service is not None else "",
    )


def _at_usual_address(provider: Provider) -> bool:
    """Return whether the provider is called at the address of its vendor, which nobody has written."""
    service = service_of(provider.type)
    return service is not None and f"{service.origin}{service.root}" == provider.describe().get("base_url")


class _Stages:
    """The stages of one provider at `origin`."""

    def __init__(self, provider: Provider, origin: Origin, open_: OpenUpstream, checked: Checked) -> None:
        self._provider = provider
        self._origin = origin
        self._open = open_
        self._checked = checked
        self._failed = False
        self._proxy = ""

    async def run(self, timeout_s: float) -> AsyncIterator[Diagnosis]:
        """Yield a finding for each stage, up to the first that fails."""
        try:
            proxy = outgoing_proxy(self._origin)
        except ValueError as error:
            yield self._finding("proxy", str(error), "error", "correct HTTPS_PROXY, or `proxy` of the provider")
            return
        if proxy is not None:
            self._proxy = str(proxy.with_user(None))
            yield self._finding("proxy", f"through {self._proxy}")
        host, port = (proxy.host or "", proxy.port or 0) if proxy else (self._origin.host, self._origin.port)
        stages: dict[str, Coroutine[None, None, Diagnosis]] = {}
        if not _is_address(host):
            stages["dns"] = self._resolve(host, port)
        if proxy is None and self._origin.scheme == "https":
            stages["tls"] = self._handshake()
        stages["call"] = self._call()
        for check, stage in stages.items():
            if self._failed:
                stage.close()
                continue
            try:
                async with asyncio.timeout(timeout_s):
                    yield await stage
            except TimeoutError:
                where = f"the resolver ({host})" if check == "dns" else self._origin.url
                yield self._finding(check, f"{where} did not answer within {timeout_s:g} s", "error", _NETWORK)

    async def _resolve(self, host: str, port: int) -> Diagnosis:
        began_s = time.perf_counter()
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return self._finding("dns", f"{host}: {explain_fault(error)}", "error", _NETWORK)
        addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
        more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
        return self._finding("dns", f"{host}: {addresses[0]}{more}, {_since(began_s)}")

    async def _handshake(self) -> Diagnosis:
        """Connect as calls do, and show whose certificate it is: a company's proxy is often a surprise."""
        origin, store = self._origin, trust_store(self._origin.ca_file)
        began_s = time.perf_counter()
        try:
            context = await asyncio.to_thread(trust, origin.ca_file)
            _, writer = await asyncio.open_connection(origin.host, origin.port, ssl=context)
        except ssl.SSLCertVerificationError as error:
            return self._finding(
                "tls", f"not trusted: {error.verify_message} (trust: {store})", "error", _remedy(error)
            )
        except OSError as error:
            return self._unreachable("tls", error)
        protocol = writer.get_extra_info("ssl_object")
        certificate = protocol.getpeercert() or {}
        version = protocol.version()
        writer.transport.abort()
        issuer = dict(pair for part in certificate.get("issuer", ()) for pair in part)
        name = issuer.get("organizationName") or issuer.get("commonName") or "the system's trust store"
        until = certificate.get("notAfter")
        left_s = ssl.cert_time_to_seconds(until) - time.time() if until else None
        expiry = "" if until is None else f", valid until {_day(until)}"
        detail = f"{version}, issued by {sanitize(name, 80)}{expiry}, trusted by {store}, {_since(began_s)}"
        soon = left_s is not None and left_s < _EXPIRES_SOON_S
        return self._finding("tls", detail, "warning" if soon else "ok", "renew its certificate" if soon else "")

    async def _call(self) -> Diagnosis:
        """List the models, which no provider charges for."""
        provider = self._provider
        began_s = time.perf_counter()
        try:
            await provider.start()
            await provider.ready()
            request = provider.list_models(None)
            if request is None:
                return await self._connect(began_s)
            if request.complete is not None:
                await request.complete()
            answer = await self._open(request)
        except ProxyError as error:
            if isinstance(cause := error.__cause__, OSError):
                return self._unreachable("call", cause)
            detail = sanitize(mask_text(error.message, provider.secrets), 400)
            return self._finding("call", detail, "error", self._remedy_of_connecting())
        answer.close()
        self._note_reached()
        self._checked.drift_s = _drift_s(answer, time.time())
        status, fix = self._judge(answer.status)
        if answer.status == 404 and not _at_usual_address(provider):
            place = mask_text(request.target.partition("?")[0], provider.secrets)
            status, fix = "warning", f"correct `base_url`, unless it has no list of models: nothing is at {place}"
        return self._finding("call", f"list of models: {answer.status} after {_since(began_s)}", status, fix)

    async def _connect(self, began_s: float) -> Diagnosis:
        """Connect only. `ready` has found credentials."""
        try:
            _, writer = await asyncio.open_connection(self._origin.host, self._origin.port)
        except OSError as error:
            return self._unreachable("call", error)
        writer.transport.abort()
        self._note_reached()
        return self._finding("call", f"connected after {_since(began_s)}; it has no list of models to ask for")

    def _note_reached(self) -> None:
        if self._checked.reached is not None:
            self._checked.reached = True

    def _judge(self, status: int) -> tuple[Status, str]:
        own_key = bool(self._provider.secrets)
        if status in (401, 403):
            return ("error", "the provider refuses the key: set another one") if own_key else ("ok", "")
        if status == 429:
            return "warning", "the provider is at its limit for this key: wait, or raise the limit there"
        if status >= 500:
            return "warning", "the provider has a fault of its own: see its status page"
        if 300 <= status < 400:
            return "warning", "correct `base_url`: it points to an address that redirects"
        return "ok", ""  # a 404 of a vendor too: not everybody lists models

    def _unreachable(self, check: str, error: OSError) -> Diagnosis:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            detail = f"not trusted by {trust_store(self._origin.ca_file)}: {cause.verify_message}"
            return self._finding(check, detail, "error", _remedy(cause))
        if isinstance(cause, ssl.SSLError):
            fix = "correct `base_url`: write http:// for a server without TLS"
            return self._finding(check, f"no TLS at {self._origin.url}: {cause.reason}", "error", fix)
        where = f"{self._origin.url} through {self._proxy}" if self._proxy else self._origin.url
        return self._finding(
            check, f"{where} could not be reached: {explain_fault(cause)}", "error", self._remedy_of_connecting()
        )

    def _remedy_of_connecting(self) -> str:
        if self._proxy:
            return "start the outgoing proxy, or correct HTTPS_PROXY or `proxy` of the provider"
        return "start it, or correct `base_url`" if is_this_machine(self._origin.host) else _NETWORK

    def _finding(self, check: str, detail: str, status: Status = "ok", fix: str = "") -> Diagnosis:
        self._failed = self._failed or status == "error"
        return Diagnosis(subject=self._provider.name, check=check, status=status, detail=detail, fix=fix)


def _remedy(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _WRONG_TIME:
        return "compare the clock of this machine; if it is right, the server needs a new certificate"
    if error.verify_code in _WRONG_HOST:
        return "correct the host in `base_url`: the certificate is for another one"
    return "trust the authority that issued it: its certificate (PEM) in SSL_CERT_FILE, or in `ca_file` of the provider"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _since(began_s: float) -> str:
    return format_duration((time.perf_counter() - began_s) * 1000)


def _day(until: str) -> str:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC).date().isoformat()


def _drift_s(answer: Answer, now_s: float) -> float | None:
    """Return how far our clock is ahead of the answer's `Date`, which is cut to whole seconds."""
    try:
        return now_s - parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() - 0.5
    except (ValueError, TypeError, OverflowError):
        return None

"""Decide how connections leave this machine: the outgoing proxy for an origin, and the trusted certificates.

Both follow the environment as other command line tools do: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (also in
lower case), SSL_CERT_FILE and SSL_CERT_DIR, on Windows and macOS the system's settings and trust store. Used by
`pool.py`.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import sys
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from llmproxy.target import Origin

# Where distributions keep the bundle; read when OpenSSL's own default places hold nothing, as in a single executable.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
)


def outgoing_proxy(origin: Origin) -> URL | None:
    """Return the proxy to reach `origin` through, credentials included; None for a direct connection.

    Raises ValueError for a proxy URL that cannot be used.
    """
    if origin.proxy is None:
        return None
    if origin.proxy != "auto":
        return _proxy_url(origin.proxy)
    proxies = getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url or _bypassed(origin, proxies.get("no", "")):
        return None
    return _proxy_url(url)


def _proxy_url(text: str) -> URL:
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https") or not url.host:
        address = f"{url.scheme}://{url.host or ''}"
        raise ValueError(f"invalid outgoing proxy {address!r}; write http://host:port")
    return url


def _bypassed(origin: Origin, exceptions: str) -> bool:
    """Apply NO_PROXY: host names with their subdomains, host:port, `*`; networks in CIDR form too."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if proxy_bypass(host) or proxy_bypass(f"{host}:{origin.port}"):
        return True
    try:
        address = ipaddress.ip_address(origin.host)
    except ValueError:
        return False
    return any(address in network for network in _networks(exceptions))


def _networks(exceptions: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for each in exceptions.split(","):
        try:
            networks.append(ipaddress.ip_network(each.strip(), strict=False))
        except ValueError:
            continue
    return networks


def trust(ca_file: str | None) -> ssl.SSLContext:
    """Return a client context that verifies against the system's trust store and, added to it, `ca_file` (PEM).

    Reads files, up to some 50 ms: call it in a thread. Raises OSError or ssl.SSLError for a file that cannot be used.
    """
    if sys.platform in ("win32", "darwin"):
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        named = os.environ.get("SSL_CERT_FILE")
        if named:
            context.load_verify_locations(cafile=named)
    else:
        context = ssl.create_default_context()
        if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_FILE"):
            bundle = _bundle()
            if bundle:
                context.load_verify_locations(cafile=bundle)
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def trust_store(ca_file: str | None) -> str:
    """Describe where the certificates that `trust` trusts are, for people to read."""
    named = os.environ.get("SSL_CERT_FILE", "")
    if sys.platform in ("win32", "darwin"):
        store = "the system's trust store" + (f" and SSL_CERT_FILE ({named})" if named else "")
    elif named:
        store = f"SSL_CERT_FILE ({named})"
    else:
        paths = ssl.get_default_verify_paths()
        store = paths.cafile or paths.capath or _bundle() or "no certificates"
    return f"{store} and ca_file ({ca_file})" if ca_file else store


def _bundle() -> str | None:
    return next((each for each in BUNDLES if Path(each).is_file()), None)

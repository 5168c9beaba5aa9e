"""Which outgoing proxy an origin has, and which certificates are trusted."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import pytest

from llmproxy.target import Origin
from llmproxy.upstream import egress
from llmproxy.upstream.egress import outgoing_proxy, trust, trust_store
from tests.support.provider import CERTIFICATES

CA = str(CERTIFICATES / "ca.pem")


def origin(address: str, proxy: str | None = "auto") -> Origin:
    """`scheme://host:port`, the host of IPv6 in brackets."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    return Origin(scheme=scheme, host=host.strip("[]"), port=int(port), proxy=proxy)


def proxied(address: str) -> str | None:
    found = outgoing_proxy(origin(address))
    return None if found is None else str(found)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the proxies and certificates of this machine."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("SSL_CERT")]:
        monkeypatch.delenv(name)


def test_without_a_word_there_is_none() -> None:
    assert proxied("https://api.example.com:443") is None


@pytest.mark.parametrize(
    ("variable", "http", "https"),
    [
        ("HTTP_PROXY", True, False),
        ("http_proxy", True, False),
        ("HTTPS_PROXY", False, True),
        ("https_proxy", False, True),
        ("ALL_PROXY", True, True),
        ("all_proxy", True, True),
    ],
)
def test_each_variable_is_for_its_scheme(
    monkeypatch: pytest.MonkeyPatch, variable: str, http: bool, https: bool
) -> None:
    monkeypatch.setenv(variable, "http://proxy:3128")

    assert proxied("http://api.example.com:80") == ("http://proxy:3128" if http else None)
    assert proxied("https://api.example.com:443") == ("http://proxy:3128" if https else None)


def test_the_schemes_own_variable_wins_and_lower_case_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:2")
    assert proxied("https://a:443") == "http://upper:2"

    monkeypatch.setenv("https_proxy", "http://lower:3")
    assert proxied("https://a:443") == "http://lower:3"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "")
    assert proxied("http://a:80") is None


@pytest.mark.parametrize(
    ("exceptions", "address"),
    [
        ("*", "http://anything.invalid:80"),
        ("api.example.com", "http://api.example.com:80"),
        ("API.Example.com", "http://api.example.com:80"),
        ("example.com", "http://deep.api.example.com:80"),
        (".example.com", "http://api.example.com:80"),
        ("api.example.com:8080", "http://api.example.com:8080"),
        (" one.com , api.example.com ,two.com", "http://api.example.com:80"),
        ("10.1.2.3", "http://10.1.2.3:80"),
        ("10.1.2.3:8080", "http://10.1.2.3:8080"),
        ("10.0.0.0/8", "http://10.200.1.1:80"),
        ("one.com, 192.168.0.0/16 , 10.0.0.0/8", "http://192.168.9.9:80"),
        ("10.1.2.3/8", "http://10.9.9.9:80"),
        ("::1", "http://[::1]:80"),
        ("[::1]", "http://[::1]:80"),
        ("fd00::/8", "http://[fd12::1]:80"),
        ("localhost,127.0.0.1", "http://localhost:11434"),
    ],
)
def test_no_proxy_names_exceptions(monkeypatch: pytest.MonkeyPatch, exceptions: str, address: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert proxied(address) == "http://proxy:3128"

    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxied(address) is None


@pytest.mark.parametrize(
    ("exceptions", "address"),
    [
        ("example.com", "http://example.com.evil.org:80"),
        ("example.com", "http://notexample.com:80"),
        ("api.example.com:8080", "http://api.example.com:80"),
        ("api.example.com", "http://example.com:80"),
        ("10.0.0.0/8", "http://11.0.0.1:80"),
        ("10.0.0.0/8", "http://ten.example.com:80"),
        ("fd00::/8", "http://10.0.0.1:80"),
        ("10.0.0.0/33, nonsense/8, ,", "http://10.0.0.1:80"),
        ("", "http://api.example.com:80"),
    ],
)
def test_others_are_no_exceptions(monkeypatch: pytest.MonkeyPatch, exceptions: str, address: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert proxied(address) == "http://proxy:3128"


def test_lower_case_no_proxy_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "a.com,10.0.0.0/8")

    assert proxied("http://a.com:80") is proxied("http://10.1.1.1:80") is None


def test_a_provider_may_have_its_own_proxy_or_none_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("NO_PROXY", "*")

    assert str(outgoing_proxy(origin("http://a:80", proxy="http://own:2"))) == "http://own:2"
    monkeypatch.delenv("NO_PROXY")
    assert outgoing_proxy(origin("http://a:80", proxy=None)) is None


def test_credentials_stay_with_the_url_and_a_missing_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "us%40er:p%3Aw@proxy:3128")

    found = outgoing_proxy(origin("http://a:80"))

    assert found is not None
    assert (found.scheme, found.host, found.port) == ("http", "proxy", 3128)
    assert (found.user, found.password) == ("us@er", "p:w")


@pytest.mark.parametrize("url", ["socks5://user:hush@proxy:1080", "ftp://user:hush@proxy", "http://"])
def test_a_proxy_of_another_kind_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)

    with pytest.raises(ValueError, match="invalid outgoing proxy") as caught:
        outgoing_proxy(origin("http://a:80"))

    assert "hush" not in str(caught.value)


def _authorities(context: ssl.SSLContext) -> list[str]:
    return [str(certificate["subject"]) for certificate in context.get_ca_certs()]


def _ours() -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=CA)
    return _authorities(context)[0]


def test_certificates_are_verified_for_the_name() -> None:
    context = trust(None)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert _ours() not in _authorities(context)


def test_a_ca_file_is_trusted_beside_the_systems_own() -> None:
    assert set(_authorities(trust(CA))) == {*_authorities(trust(None)), _ours()}


def test_the_environment_may_name_the_trusted_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CA)

    assert _authorities(trust(None)) == [_ours()]


def test_a_bundle_of_the_distribution_serves_where_openssl_finds_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    monkeypatch.setattr(egress, "BUNDLES", (str(tmp_path / "missing.pem"), CA, "/never/reached.pem"))
    assert _authorities(trust(None)) == [_ours()]

    monkeypatch.setattr(egress, "BUNDLES", (str(tmp_path / "missing.pem"),))
    assert _authorities(trust(None)) == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(OSError, match=r"."):
        trust(str(path))


def test_the_trust_store_is_named_with_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/my/bundle.pem")
    assert trust_store(None).endswith("SSL_CERT_FILE (/my/bundle.pem)")
    assert trust_store("/my/ca.pem").endswith("(/my/bundle.pem) and ca_file (/my/ca.pem)")


@pytest.mark.skipif(sys.platform != "linux", reason="others have a store of the system")
def test_without_a_setting_openssls_own_store_counts_then_the_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    none = ssl.get_default_verify_paths()._replace(cafile=None, capath=None)  # type: ignore[arg-type]  # where nothing is
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: none)
    monkeypatch.setattr(egress, "BUNDLES", ("/missing.pem", CA))
    assert trust_store(None) == CA
    monkeypatch.setattr(egress, "BUNDLES", ())
    assert trust_store(None) == "no certificates"

"""The address of a client behind proxies: only what trusted proxies wrote counts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from llmproxy.access.trusted_proxies import TrustedProxies
from llmproxy.answer import Headers

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("::1/128")])


def address(peer: str, *lines: str) -> str:
    return PROXIES.client_address(peer, Headers([("X-Forwarded-For", line) for line in lines]))


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("::1", ['"[2001:db8::1]:443"'], "2001:db8::1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
    ],
)
def test_the_last_address_that_is_not_trusted_is_the_clients(peer: str, lines: list[str], found: str) -> None:
    assert address(peer, *lines) == found


@pytest.mark.parametrize("peer", ["1.2.3.4", "2001:db8::1", "unix", ""])
def test_a_peer_that_is_no_proxy_cannot_lie(peer: str) -> None:
    assert address(peer, "127.0.0.1") == peer


@pytest.mark.parametrize("line", ["unknown", "1.2.3.4, evil", "1.2.3.4,", "x" * 10_000, "1.2.3.4, 10.0.0"])
def test_what_stands_before_nonsense_does_not_count(line: str) -> None:
    assert address("10.0.0.1", line) == "10.0.0.1"


def test_a_chain_without_end_is_cut() -> None:
    assert address("10.0.0.1", "1.2.3.4" + ", 10.0.0.2" * 100_000) == "10.0.0.2"

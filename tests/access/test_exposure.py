"""Who may change what our own pages show: clients on this machine, and whoever has the admin key."""

from __future__ import annotations

import pytest

from llmproxy.access.exposure import check_exposure
from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.errors import ProxyError
from tests.support.exchanges import ended

KEY = "admin-key-5e7c"


def check(method: str = "DELETE", address: str = "127.0.0.1", key: str = "", **sent: str) -> None:
    headers = Headers({"Host": "localhost:3000", **{name.replace("_", "-"): text for name, text in sent.items()}})
    check_exposure(ended(method=method, headers=headers, client=Client(address=address), own=True), key)


def refused(address: str = "127.0.0.1", key: str = "", method: str = "DELETE", **sent: str) -> str:
    with pytest.raises(ProxyError) as caught:
        check(method, address, key, **sent)
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    return caught.value.message


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "unix"])
def test_a_peer_on_this_machine_may_change(address: str) -> None:
    check(address=address)


@pytest.mark.parametrize("address", ["10.0.0.1", "::2", "::ffff:10.0.0.1", "", "localhost", "no address"])
@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "BREW"])
def test_others_may_not(address: str, method: str) -> None:
    assert "server.admin_key" in refused(address, method=method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_open(method: str) -> None:
    check(method, "10.0.0.1", Origin="https://evil.test")


def test_requests_for_providers_are_let_through() -> None:
    check_exposure(ended(method="POST", client=Client(address="10.0.0.1")), "")


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])
def test_a_client_behind_a_proxy_on_this_machine_may_not(header: str) -> None:
    refused(**{header: "10.0.0.1"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Origin": "http://localhost:4000"},
        {"Origin": "http://evil.test:3000", "Host": "evil.test:3000"},
    ],
)
def test_a_page_of_another_site_may_not(headers: dict[str, str]) -> None:
    refused(**headers)


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000"])
def test_a_page_of_ours_may(host: str) -> None:
    check(Origin=f"http://{host}", Host=host)


@pytest.mark.parametrize("sent", [f"Bearer {KEY}", f"Bearer  {KEY} "])
def test_whoever_has_the_key_may_from_anywhere(sent: str) -> None:
    check(address="10.0.0.1", key=KEY, Authorization=sent)


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Basic {KEY}", "Bearer \udcff"])
def test_another_key_is_none(sent: str) -> None:
    refused("10.0.0.1", KEY, Authorization=sent)
    refused("10.0.0.1", "", Authorization=sent)

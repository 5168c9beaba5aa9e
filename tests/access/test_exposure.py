"""Who may come in, and who may change what our own pages show: clients on this machine, whoever has the admin key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from llmproxy.access.exposure import Exposure
from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.errors import ProxyError
from tests.support.exchanges import ended

KEY = "admin-key-5e7c"


def check(method: str = "DELETE", address: str = "127.0.0.1", key: str = "", **sent: str) -> None:
    headers = Headers({"Host": "localhost:3000", **{name.replace("_", "-"): text for name, text in sent.items()}})
    exchange = ended(method=method, headers=headers, client=Client(address=address), own=True)
    Exposure(admin_key=key).check(exchange)


def enter(
    *fields: tuple[str, str],
    listens_on: str = "127.0.0.1",
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    own: bool = False,
) -> None:
    """Send a request with these fields in the head to a server that listens there."""
    exposure = Exposure(listens_on=listens_on, allowed_hosts=hosts, allowed_origins=origins)
    for method in ("GET", "POST") if not own else ("GET",):
        for _ in range(2):  # the second time from memory
            exposure.check(ended(method=method, headers=Headers(fields), own=own))


def foreign(*fields: tuple[str, str], **keys: Any) -> str:
    """Return the code of the refusal; its message says which key allows it."""
    with pytest.raises(ProxyError) as caught:
        enter(*fields, **keys)
    code = caught.value.code
    assert caught.value.status == 403
    assert {"foreign_host": "server.allowed_hosts", "foreign_origin": "server.allowed_origins"}[code] in str(
        caught.value
    )
    assert len(str(caught.value)) < 500 and str(caught.value).isascii()
    return code


def refused(address: str = "127.0.0.1", key: str = "", method: str = "DELETE", **sent: str) -> str:
    with pytest.raises(ProxyError) as caught:
        check(method, address, key, **sent)
    assert caught.value.status == 403
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
    check(method, "10.0.0.1")


def test_requests_for_providers_are_let_through() -> None:
    Exposure().check(ended(method="POST", client=Client(address="10.0.0.1")))


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


LOOPBACK = ("127.0.0.1", "127.8.9.1", "::1", "localhost")
OUR_HOSTS = [
    *(
        "localhost",
        "localhost:3000",
        "LOCALHOST:3000",
        "localhost.:3000",
        "localhost.",
        "llm.localhost:80",
        "127.0.0.1",
    ),
    *("127.0.0.1:3000", "127.1.2.3", "[::1]", "[::1]:3000", "[0:0:0:0:0:0:0:1]:1", "[::ffff:127.0.0.1]:3000"),
    *("host.docker.internal:3000", ""),
]
FOREIGN_HOSTS = [
    *("evil.example", "evil.example:3000", "EVIL.example.", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1"),
    *(
        "evil.example@localhost",
        "localhost:3000@evil.example",
        "localhost/evil",
        "[::2]:3000",
        "[evil.example]",
        "[::1",
    ),
    *("localhost:evil", "localhost evil", "127.0.0.1:3000:80", "notlocalhost", "\udcff", ":3000", "x" * 5000),
]


@pytest.mark.parametrize("listens_on", LOOPBACK)
@pytest.mark.parametrize("host", OUR_HOSTS)
def test_on_loopback_a_request_names_this_machine(host: str, listens_on: str) -> None:
    enter(("Host", host), listens_on=listens_on)
    enter(listens_on=listens_on)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_on_loopback_a_foreign_host_is_refused(host: str, own: bool) -> None:
    for listens_on in LOOPBACK:
        assert foreign(("Host", host), listens_on=listens_on, own=own) == "foreign_host"


@pytest.mark.parametrize("listens_on", ["0.0.0.0", "::", "192.168.1.5", "llm.example"])
def test_elsewhere_hosts_are_judged_only_by_a_list(listens_on: str) -> None:
    enter(("Host", "anything.example"), listens_on=listens_on)
    listed = ("llm.example.com", "*.corp.example", "one.example:8080")
    for host in ("llm.example.com", "LLM.example.com.:3000", "a.corp.example:1", "one.example:8080", "localhost:3000"):
        enter(("Host", host), listens_on=listens_on, hosts=listed)
    for host in (
        "evil.example",
        "corp.example",
        "x.llm.example.com",
        "one.example",
        "one.example:80",
        "llmXexample.com",
    ):
        assert foreign(("Host", host), listens_on=listens_on, hosts=listed) == "foreign_host"
    if listens_on not in ("0.0.0.0", "::"):
        enter(("Host", f"{listens_on}:3000"), listens_on=listens_on, hosts=listed)


def test_on_loopback_more_hosts_can_be_allowed() -> None:
    enter(("Host", "llm.example.com"), hosts=["LLM.example.com"])
    enter(("Host", "anything.example:81"), hosts=["*"])
    assert foreign(("Host", "evil.example"), hosts=["llm.example.com"]) == "foreign_host"


@pytest.mark.parametrize("second", ["localhost", "evil.example"])
def test_several_hosts_are_a_mistake(second: str) -> None:
    for listens_on in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(ProxyError) as caught:
            enter(("Host", "localhost"), ("Host", second), listens_on=listens_on)
        assert (caught.value.status, caught.value.code) == (400, "several_hosts")


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    "origin",
    [
        *(
            "http://localhost",
            "http://localhost:5173",
            "https://LOCALHOST:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
        ),
        *(
            "http://tauri.localhost",
            "https://0.0.0.0:3",
            "app://obsidian.md",
            "file://",
            "file:///",
            "tauri://localhost",
        ),
        *("vscode-webview://1q2w", "vscode-file://vscode-app"),
    ],
)
def test_pages_of_this_machine_and_desktop_programs_are_not_foreign(origin: str, listens_on: str) -> None:
    for own in (False, True):
        enter(("Host", "localhost:3000"), ("Origin", origin), listens_on=listens_on, own=own)


FOREIGN_ORIGINS = [
    *(
        "https://evil.example",
        "http://evil.example:3000",
        "null",
        "",
        " ",
        "http://",
        "http://[",
        "https://localhost.evil",
    ),
    *("http://localhost@evil.example", "http://localhost:80@evil", "http://127.0.0.1.nip.io", "chrome-extension://abc"),
    *(
        "xapp://x",
        "application://x",
        "http://localhost evil.example",
        "http://10.0.0.1",
        "ftp://localhost",
        "localhost",
    ),
    *("https://x" + "y" * 5000, "http://\udcff", "http://localhost/http://evil.example"),
]


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0", "::1", "192.168.1.5"])
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_foreign_origin_is_refused(origin: str, listens_on: str) -> None:
    for own in (False, True):
        fields = (("Host", "localhost:3000"), ("Origin", origin))
        assert foreign(*fields, listens_on=listens_on, own=own) == "foreign_origin"


def test_every_one_of_several_origins_counts() -> None:
    fields = (("Host", "localhost"), ("Origin", "http://localhost"), ("Origin", "https://evil.example"))
    assert foreign(*fields) == "foreign_origin"


def test_more_origins_can_be_allowed() -> None:
    listed = ("https://app.example.com", "https://*.corp.example", "chrome-extension://*", "null")
    for origin in ("https://app.example.com", "https://APP.example.com", "https://a.corp.example", "null"):
        enter(("Host", "localhost"), ("Origin", origin), origins=listed)
    enter(("Host", "localhost"), ("Origin", "chrome-extension://abcd"), origins=listed)
    for origin in (
        "http://app.example.com",
        "https://app.example.com:81",
        "https://corp.example",
        "https://x/.corp.example",
    ):
        assert foreign(("Host", "localhost"), ("Origin", origin), origins=listed) == "foreign_origin"
    enter(("Host", "localhost"), ("Origin", "https://evil.example"), origins=["*"])


@pytest.mark.parametrize("host", ["evil.example:3000", "proxy.lan:3000"])
def test_a_page_with_the_name_of_the_host_is_ours_only_where_the_name_is(host: str) -> None:
    """A site whose name was made to resolve to this machine has that name in both."""
    fields = (("Host", host), ("Origin", f"http://{host}"))
    assert foreign(*fields, listens_on="0.0.0.0") == "foreign_origin"
    enter(*fields, listens_on="0.0.0.0", hosts=[host.partition(":")[0]])


def test_a_page_with_an_address_for_a_host_is_ours() -> None:
    enter(("Host", "10.0.0.1:3000"), ("Origin", "http://10.0.0.1:3000"), listens_on="0.0.0.0")
    assert (
        foreign(("Host", "10.0.0.1:3000"), ("Origin", "http://10.0.0.1:81"), listens_on="0.0.0.0") == "foreign_origin"
    )

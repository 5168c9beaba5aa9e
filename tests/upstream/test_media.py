"""What clients name by URL is fetched from the public internet only, and not without end."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest
from aiohttp.resolver import ThreadedResolver

from llmproxy.errors import BadRequest, Overloaded
from llmproxy.exchange import MemoryBudget
from llmproxy.upstream import media
from llmproxy.upstream.media import MediaFetcher, is_public
from tests.support.exchanges import ended
from tests.support.provider import Gate, Reply, Upstream

PNG = (("Content-Type", "image/png; charset=x"),)
FETCHER = MediaFetcher(max_bytes=1000, timeout_s=5.0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(Reply(headers=PNG, pieces=[b"\x89PNG"])) as upstream:
        yield upstream


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be the public internet."""
    real = media.is_public
    monkeypatch.setattr(media, "is_public", lambda address: address == "127.0.0.1" or real(address))


def uncounted(size_bytes: int) -> None:
    """Hold bytes in a memory without bounds."""


async def refused(url: str, fetcher: MediaFetcher = FETCHER) -> str:
    with pytest.raises(BadRequest) as caught:
        await fetcher.fetch(url, "messages[0].content[1]", uncounted)
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[1]")
    return caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::101:101", "::101:101", "2002:7f00:1::", "::7f00:1",
        "::ffff:0:7f00:1", "fec0::1", "2001::1", "2001:db8::1", "3fff::1", "5f00::1", "192.0.0.192", "192.0.2.1",
        "198.18.0.1", "240.0.0.1", "168.63.129.16", "localhost", "no address", "",
    ],
)  # fmt: skip
def test_addresses_of_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


async def test_what_is_there_comes_as_base64_with_its_type(upstream: Upstream, local: None) -> None:
    fetched = await FETCHER.fetch(f"{upstream.url}/a.png?sig=x", "input[0]", uncounted)
    assert (fetched.media_type, base64.b64decode(fetched.data)) == ("image/png", b"\x89PNG")
    assert upstream.requests[0].target == b"/a.png?sig=x"
    assert not {name.lower() for name, _ in upstream.requests[0].headers} & {b"authorization", b"cookie"}


def wide(text: str) -> str:
    """Return `text` in full-width letters, digits and dots, which host names are normalised from."""
    return "".join(chr(ord(sign) + 0xFEE0) for sign in text)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LocalHost", "[::1]", "[::]", "0.0.0.0", "0x7f000001", "0x7f.1", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", wide("127.0.0.1"),
        "127\u30020\u30020\u30021", f"127{wide('.')}0.0.1", "127\uff610\uff610\uff611", wide("localhost"),
        "[::1%25lo]", "169.254.169.254", "[fd00:ec2::254]",
    ],
)  # fmt: skip
async def test_this_machine_is_never_asked_however_it_is_written(upstream: Upstream, host: str) -> None:
    message = await refused(f"http://{host}:{upstream.port}/secret?token=t")
    assert "not at a public address" in message and "token" not in message
    assert upstream.connections == []


@pytest.mark.parametrize(
    "host", ["127.1", "0177.0.0.1", "2130706433", "0", "a..b", "x" * 64 + ".com", "\u2488.com", ".", "x" * 300]
)
async def test_a_host_that_is_no_name_is_refused(upstream: Upstream, host: str) -> None:
    assert "invalid host name" in await refused(f"http://{host}:{upstream.port}/secret")
    assert upstream.connections == []


async def test_a_name_is_judged_by_the_address_that_is_connected_to(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [
            {"hostname": host, "host": each, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for each in ("127.0.0.1", "169.254.169.254", "localhost")
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    assert "not at a public address" in await refused(f"http://rebound.example:{upstream.port}/secret")
    assert upstream.connections == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x",
        "file:///etc/passwd",
        "//x",
        "",
        "http://",
        "http://u:p@1.1.1.1/",
        "http://[::1",
        "x",
        "http://1.1.1.1:0/",
        "http://1.1.1.1:99999/",
        "http://xn--a/",
        "http://\ud800.com/",
        "http://1.1.1.1\\@127.0.0.1/",
    ],
)
async def test_only_web_addresses_are_fetched(url: str) -> None:
    assert "not an http or https URL" in await refused(url)


async def test_redirects_are_followed_and_each_is_checked(upstream: Upstream, local: None) -> None:
    upstream.next(Reply(status=302, headers=(("Location", "/b"),)), Reply(headers=PNG, pieces=[b"b"]))
    assert (await FETCHER.fetch(f"{upstream.url}/a", "x", uncounted)).data == base64.b64encode(b"b").decode()

    upstream.next(Reply(status=302, headers=(("Location", "http://10.0.0.1/b"),)))
    assert "not at a public address" in await refused(f"{upstream.url}/a")
    for location in ("http://\u2460\u24ea.\u24ea.\u24ea.\u2460/b", "//[::ffff:10.0.0.1]/b", "http://0xa.1/b"):
        upstream.next(Reply(status=302, headers=(("Location", location),)))
        assert "not at a public address" in await refused(f"{upstream.url}/a")
    for location in ("http://[::1", "file:///etc/passwd"):
        upstream.next(Reply(status=302, headers=(("Location", location),)))
        assert await refused(f"{upstream.url}/a")

    upstream.next(*[Reply(status=307, headers=(("Location", "/again"),))] * 6)
    assert "redirects more than 5 times" in await refused(f"{upstream.url}/a")


async def test_what_is_too_large_is_refused_before_it_is_whole(upstream: Upstream, local: None) -> None:
    gate = Gate()
    upstream.next(Reply(headers=PNG, pieces=[b"x" * 2000, gate], framing="chunked"))
    assert "larger than 1000 bytes" in await refused(f"{upstream.url}/a")
    gate.open()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=404), "answered 404"),
        (Reply(headers=()), "has no Content-Type"),
        (Reply(headers=(("Content-Type", "nonsense"),)), "has no Content-Type"),
        (Reply(headers=PNG, pieces=[b"x"], length=5, end="cut"), "no answer"),
    ],
)
async def test_what_is_no_medium_is_refused(upstream: Upstream, local: None, reply: Reply, said: str) -> None:
    upstream.next(reply)
    told = await refused(f"{upstream.url}/a?sig=secret")
    assert said in told and "secret" not in told


async def test_a_server_that_is_silent_is_not_waited_for_without_end(upstream: Upstream, local: None) -> None:
    upstream.next(Reply(headers=PNG, pieces=[Gate()], framing="chunked"))
    assert "did not answer within 0.05 s" in await refused(f"{upstream.url}/a", MediaFetcher(1000, 0.05))


async def test_a_server_that_is_not_there_is_told(local: None) -> None:
    assert "no answer" in await refused("http://127.0.0.1:1/a")


async def test_what_comes_is_counted_while_it_comes(upstream: Upstream, local: None) -> None:
    """A request of a kilobyte may name a hundred files of 20 MB."""
    budget, asked = MemoryBudget(1600), ended()
    asked.budget = budget
    picture = Reply(headers=(("Content-Type", "image/png"),), pieces=[b"x" * 900])
    upstream.next(picture, picture)
    fetched = await FETCHER.fetch(f"{upstream.url}/a.png", "input[0]", asked.hold)
    assert budget.used_bytes == len(fetched.data) == 1200
    with pytest.raises(Overloaded):
        await FETCHER.fetch(f"{upstream.url}/a.png", "input[1]", asked.hold)

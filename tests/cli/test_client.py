from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator

import pytest

from llmproxy.cli import client as asking
from llmproxy.cli.client import (
    PageError,
    as_number,
    as_text,
    fetch_page,
    is_this_machine,
    object_at,
    objects_in,
    server_base_url,
)
from tests.support.provider import CERTIFICATES, Reply, Script, Upstream, drop, reset, silence


@pytest.fixture
def server() -> Iterator[Upstream]:
    """Anything that a URL can lead to; shows an empty object where a test says nothing."""
    with Upstream(Reply(pieces=[b"{}"])) as upstream:
        yield upstream


def error(status: int, code: str, message: str) -> Reply:
    return Reply(status=status, pieces=[json.dumps({"error": {"code": code, "message": message}}).encode()])


def refused(url: str, page: str = "/stats") -> str:
    with pytest.raises(PageError) as caught:
        fetch_page(url, page)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 200
    return message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("10.0.0.1", "http://10.0.0.1"),
        (" http://h:1/ ", "http://h:1"),
        ("https://h/llm/", "https://h/llm"),
        ("http://h:1/v1", "http://h:1"),
        ("http://h:1/stats", "http://h:1"),
        ("http://h:1/llm/sessions/", "http://h:1/llm"),
        ("http://user:pass@h:1", "http://h:1"),
        ("[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_what_people_copy_is_understood(given: str, meant: str) -> None:
    assert server_base_url(given) == meant


@pytest.mark.parametrize(
    "given", ["", "http://", "ftp://h", "http://h:x", "http://h:99999", "file:///etc/passwd", "http://[:1"]
)
def test_what_is_no_url_is_reported(given: str) -> None:
    with pytest.raises(PageError, match="is not"):
        server_base_url(given)


def test_the_page_is_asked_for_as_json(server: Upstream) -> None:
    server.next(Reply(pieces=[json.dumps({"a": 1}).encode()]))

    assert fetch_page(server.url, "/stats?by=client") == {"a": 1}
    assert server.only.target == b"/stats?by=client" and server.only.values("accept") == ["application/json"]


def test_a_change_carries_its_key(server: Upstream) -> None:
    assert fetch_page(server.url, "/cache", method="DELETE", key="k") == {}
    assert server.only.method == "DELETE" and server.only.values("authorization") == ["Bearer k"]


def test_a_key_is_not_shown_to_whom_a_server_sends_us(server: Upstream) -> None:
    server.next(Reply(status=302, headers=(("Location", f"{server.url}/else"),)))
    assert fetch_page(server.url, "/cache", key="k") == {}
    assert [request.values("authorization") for request in server.requests] == [["Bearer k"], []]


def test_an_error_is_reported_by_status_and_code(server: Upstream) -> None:
    server.next(error(403, "forbidden", "No"))
    with pytest.raises(PageError) as caught:
        fetch_page(server.url, "/cache", method="DELETE")
    assert (caught.value.status, caught.value.code) == (403, "forbidden")


def test_no_proxy_of_the_environment_stands_before_this_machine(
    server: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert fetch_page(server.url, "/stats") == {}
    assert fetch_page(server.url.replace("127.0.0.1", "localhost"), "/stats") == {}


def test_a_port_where_nobody_listens_says_so_and_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        assert refused(url) == (
            f"no server at {url}; start one with `llmproxy serve`, or pass another address with --url"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Reply(status=404, reason="Not Found", pieces=[b"{}"]), "/stats; not an llmproxy server, or an older version"),
        (Reply(status=401, reason="Unauthorized"), "denied (status 401)"),
        (Reply(status=500, reason="Oops"), "answered /stats with status 500"),
        (error(503, "store_fault", "The store is\x1b gone"), "with status 503: The store is\\x1b gone"),
        (error(404, "not_configured", "There are no sessions"), ": There are no sessions"),
        (error(404, "not_found", "Nothing"), "/stats; not an llmproxy server, or an older version"),
        (Reply(status=404, pieces=[b"{"], length=50, end="cut"), "/stats; not an llmproxy server"),
        (Reply(pieces=[b"<html>"]), "/stats: not an llmproxy server"),
        (Reply(pieces=[b"[" * 100_000]), "/stats: not an llmproxy server"),
        (Reply(pieces=[b"\xff"]), "/stats: not an llmproxy server"),
        (Reply(pieces=[b"[1]"]), "is not an llmproxy server: unexpected content at /stats"),
        (Reply(pieces=[b"{"], length=50, end="cut"), "or the answer was cut off"),
        (drop, "does not speak HTTP"),
        (reset, "does not speak HTTP"),
    ],
)
def test_what_is_no_page_of_ours_is_reported_in_one_line(
    server: Upstream, answer: Reply | Script, message: str
) -> None:
    server.next(answer)

    assert message in refused(server.url, "/stats?by=client")


def test_a_server_that_does_not_answer_is_given_up(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_TIMEOUT_S", 0.05)
    server.next(silence)

    assert refused(server.url) == f"{server.url} did not answer within 0.05 s"


@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_answers_without_end_is_given_up(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = itertools.count(0, 10)
    monkeypatch.setattr("time.perf_counter", lambda: next(passed))
    reply = Reply(status=status, pieces=[b'{"a"', *[b" " * 99] * 9], framing="chunked")
    expected = "did not answer within 5 s" if status == 200 else "with status 500$"
    with Upstream(reply) as upstream, pytest.raises(PageError, match=expected):
        fetch_page(upstream.url, "/stats")


def test_a_certificate_that_nobody_trusts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Upstream(Reply(pieces=[b"{}"]), tls=True) as upstream:
        assert "the certificate is not trusted" in refused(upstream.url)
        assert "for TLS, try https://" in refused(upstream.url.replace("https:", "http:"))
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
        assert fetch_page(upstream.url, "/stats") == {}


def test_a_host_that_is_not_known_is_reported() -> None:
    assert "unknown host" in refused("http://no-such-host.invalid")


@pytest.mark.parametrize("value", [None, 1, "x", [], {"a": None}, {"a": []}, {"a": {"b": 3}}])
def test_what_is_not_there_is_nothing(value: object) -> None:
    assert object_at(value, "a", "b") == {}


def test_only_values_of_the_right_kind_are_read() -> None:
    assert (as_number(1), as_number(0.5), as_number(True), as_number("1"), as_number(None)) == (
        1,
        0.5,
        None,
        None,
        None,
    )
    assert (as_text("a"), as_text(1)) == ("a", None)
    assert objects_in([{"a": 1}, 2, None]) == [{"a": 1}] and objects_in({"a": 1}) == []


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e308", "1" + "0" * 400, "-" + "9" * 30])
def test_numbers_in_which_nothing_is_measured_are_none(text: str) -> None:
    assert as_number(json.loads(text)) is None


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("a.localhost", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False), ("h", False)],
)
def test_this_machine_has_several_names(host: str, here: bool) -> None:
    assert is_this_machine(host) is here

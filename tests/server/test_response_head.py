"""Response heads and frames as bytes, and errors of ours in the client's dialect."""

from __future__ import annotations

import json
import re

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.dialects.catalog import find
from llmproxy.errors import BadRequest, Overloaded, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.server.response_head import TransferMode, chunk, error_answer, error_event, last_chunk, response_head
from llmproxy.server.secure_headers import SECURE_HEADERS
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces


def exchange(path: str = "/v1/chat/completions") -> Exchange:
    asked = new_exchange(path)
    asked.request_id = "the-id"
    return asked


def head(answer: Answer, *, http10: bool = False, keep_alive: bool = True) -> tuple[str, list[str], TransferMode]:
    """Status line, header lines without the times, and the transfer."""
    data, transfer = response_head(exchange(), answer, http10=http10, keep_alive=keep_alive)
    first, *lines, empty, end = data.decode("utf-8", "surrogateescape").split("\r\n")
    assert (empty, end) == ("", "")
    return first, [line for line in lines if not line.startswith(("Date: ", "server-timing: total;dur="))], transfer


def test_a_whole_answer_has_its_headers_our_id_and_a_length() -> None:
    headers = Headers([("Content-Type", "x/y"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])

    first, lines, transfer = head(Answer(status=200, headers=headers, body=b"four", length=99))

    assert first == "HTTP/1.1 200 OK"
    assert lines == [
        "Content-Type: x/y",
        "Set-Cookie: a",
        "Set-Cookie: b",
        "x-request-id: the-id",
        "Content-Length: 4",
    ]
    assert transfer == "length"


def test_an_empty_answer_says_so() -> None:
    assert "Content-Length: 0" in head(Answer(status=200, headers=Headers()))[1]


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (200, "", "200 OK"),
        (200, "Fine By Me", "200 Fine By Me"),
        (413, "", "413 "),
        (529, "", "529 "),
        (429, "", "429 Too Many Requests"),
    ],
)
def test_the_reason_is_the_providers_or_the_usual_one(status: int, reason: str, expected: str) -> None:
    first, _, _ = head(Answer(status=status, reason=reason, headers=Headers()))

    assert first.startswith(f"HTTP/1.1 {expected}")


def test_a_date_is_given_unless_the_provider_gave_one() -> None:
    ours, _ = response_head(exchange(), Answer(status=200, headers=Headers()), http10=False, keep_alive=True)
    theirs, _ = response_head(
        exchange(), Answer(status=200, headers=Headers({"date": "Monday"})), http10=False, keep_alive=True
    )

    assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", ours)
    assert theirs.lower().count(b"\r\ndate: ") == 1 and b"date: Monday" in theirs


def test_a_stream_of_known_length_is_framed_by_it() -> None:
    _, lines, transfer = head(Answer(status=200, headers=Headers(), body=b"ab", stream=Pieces(b"c"), length=3))

    assert transfer == "length" and "Content-Length: 3" in lines


def test_a_stream_of_unknown_length_comes_in_chunks() -> None:
    _, lines, transfer = head(Answer(status=200, headers=Headers(), body=b"ab", stream=Pieces(b"c")))

    assert transfer == "chunked" and lines[-1] == "Transfer-Encoding: chunked"
    assert not [line for line in lines if line.startswith("Content-Length")]


@pytest.mark.parametrize("keep_alive", [True, False])
def test_for_http_1_0_a_stream_of_unknown_length_ends_with_the_connection(keep_alive: bool) -> None:
    answer = Answer(status=200, headers=Headers(), stream=Pieces(b"c"))

    first, lines, transfer = head(answer, http10=True, keep_alive=keep_alive)

    assert (first, transfer) == ("HTTP/1.1 200 OK", "close")
    assert lines[-1] == "Connection: close" and "Transfer-Encoding: chunked" not in lines


@pytest.mark.parametrize(
    ("http10", "keep_alive", "line"),
    [(False, True, None), (False, False, "Connection: close"), (True, True, "Connection: keep-alive")],
)
def test_what_becomes_of_the_connection_is_told_where_it_is_not_the_rule(
    http10: bool, keep_alive: bool, line: str | None
) -> None:
    lines = head(Answer(status=200, headers=Headers()), http10=http10, keep_alive=keep_alive)[1]

    assert [each for each in lines if each.startswith("Connection")] == ([line] if line else [])


@pytest.mark.parametrize(("length", "line"), [(1234, ["Content-Length: 1234"]), (None, [])])
@pytest.mark.parametrize("http10", [True, False])
def test_an_answer_without_a_body_declares_what_the_provider_declared(
    length: int | None, line: list[str], http10: bool
) -> None:
    answer = Answer(status=304, headers=Headers(), bodiless=True, length=length)

    _, lines, transfer = head(answer, http10=http10)

    assert [each for each in lines if each.startswith(("Content-Length", "Transfer-Encoding"))] == line
    assert transfer == "length"


def test_204_has_no_length_at_all() -> None:
    answer = Answer(status=204, headers=Headers(), bodiless=True, length=0)

    assert not [line for line in head(answer)[1] if line.startswith(("Content-Length", "Transfer-Encoding"))]


def test_framing_and_ids_that_a_hook_set_do_not_stand_beside_ours() -> None:
    hooked = {"content-length": "7", "Transfer-Encoding": "gzip", "CONNECTION": "upgrade", "X-Request-Id": "other"}

    _, lines, _ = head(Answer(status=200, headers=Headers({**hooked, "X-Kept": "1"}), body=b"four"))

    assert lines == ["X-Kept: 1", "x-request-id: the-id", "Content-Length: 4"]


@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\0b"])
@pytest.mark.parametrize("place", ["value", "name", "reason"])
def test_nothing_can_break_out_of_its_line(evil: str, place: str) -> None:
    headers = {"value": [("X-Set", evil)], "name": [(evil, "1")], "reason": []}[place]

    with pytest.raises(ProxyError) as caught:
        head(Answer(status=200, reason=evil if place == "reason" else "", headers=Headers(headers)))

    assert (caught.value.status, caught.value.code) == (500, "invalid_header")


def test_raw_bytes_of_headers_survive() -> None:
    answer = Answer(status=200, headers=Headers({"X-Raw": "caf\udce9 ü"}))

    data, _ = response_head(exchange(), answer, http10=False, keep_alive=True)

    assert b"X-Raw: caf\xe9 \xc3\xbc\r\n" in data


@pytest.mark.parametrize(
    ("transfer", "framed", "last"),
    [
        ("length", b"x" * 16, b""),
        ("chunked", b"10\r\n" + b"x" * 16 + b"\r\n", b"0\r\n\r\n"),
        ("close", b"x" * 16, b""),
    ],
)
def test_data_is_framed(transfer: TransferMode, framed: bytes, last: bytes) -> None:
    assert (chunk(b"x" * 16, transfer), last_chunk(transfer)) == (framed, last)


def test_an_error_is_written_in_the_dialect_of_the_call() -> None:
    error = BadRequest("no such thing", status=404, code="not_found", param="model")

    chat, messages = (
        json.loads(error_answer(exchange(path), error).body) for path in ("/v1/responses", "/v1/messages")
    )

    assert (chat["error"]["message"], chat["error"]["code"], chat["error"]["param"]) == (
        "no such thing",
        "not_found",
        "model",
    )
    assert (messages["type"], messages["error"]["type"]) == ("error", "not_found_error")
    assert messages["request_id"] == "the-id"


def test_an_error_of_a_call_that_is_not_known_is_written_as_chat_writes_it() -> None:
    asked = exchange("/unheard/of")
    assert asked.endpoint is None

    assert json.loads(error_answer(asked, BadRequest("no")).body)["error"]["message"] == "no"


def test_an_error_answer_has_status_headers_and_the_error() -> None:
    error = Overloaded("full", retry_after_s=7)

    answer = error_answer(exchange(), error)

    assert (answer.status, answer.error) == (503, error)
    assert dict(answer.headers) == {"Retry-After": "7", "Content-Type": "application/json", **dict(SECURE_HEADERS)}


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("/v1/chat/completions", b"data: {"),
        ("/v1/messages", b"event: error\ndata: {"),
        ("/v1/responses", b"event: error\ndata: {"),
    ],
)
def test_an_error_event_is_a_whole_frame_of_the_dialect(path: str, begin: bytes) -> None:
    asked = exchange(path)
    assert asked.endpoint is find("POST", path)

    event = error_event(asked, Overloaded("full"))

    assert event.startswith(begin) and event.endswith(b"\n\n")
    assert b"full" in event

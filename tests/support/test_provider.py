"""The fakes themselves: the vendors' SDKs accept what they say, and misbehaviour is what the script asked for."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.support import vendors
from tests.support.provider import Gate, Reply, Upstream, drop
from tests.support.raw_http import Cut, RawClient


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


def client_of(upstream: Upstream) -> RawClient:
    return RawClient(("127.0.0.1", upstream.port))


def test_the_openai_sdk_takes_the_streams_for_real(upstream: Upstream) -> None:
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="sk", max_retries=0) as client:
        with client.responses.stream(model="m", input="hi") as stream:
            assert stream.get_final_response().output_text == vendors.TEXT
        with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as chat:
            assert chat.get_final_completion().choices[0].message.content == vendors.TEXT


def test_the_anthropic_sdk_takes_the_streams_for_real(upstream: Upstream) -> None:
    with anthropic.Anthropic(base_url=upstream.url, api_key="sk", max_retries=0) as client:
        with client.messages.stream(max_tokens=9, model="m", messages=[{"role": "user", "content": "hi"}]) as stream:
            final = stream.get_final_message()
        assert [block.text for block in final.content if block.type == "text"] == [vendors.TEXT]
        assert final.usage.output_tokens == vendors.OUT


def test_a_request_is_recorded_to_the_byte(upstream: Upstream) -> None:
    upstream.next(Reply(pieces=[b"{}"]))
    with client_of(upstream) as client:
        client.send(
            b"PoST /a%2Fb?c=%20&d HTTP/1.1\r\nhost: x\r\nX-Two: 1\r\nx-two: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.send(b"3;ext=1\r\nabc\r\n0\r\nTrailer: t\r\n\r\n")
        assert client.read_answer().body == b"{}"
    got = upstream.only
    assert (got.method, got.target, got.body, got.framing) == ("PoST", b"/a%2Fb?c=%20&d", b"abc", "chunked")
    assert got.values("x-two") == ["1", "2"]
    assert got.trailers == [(b"Trailer", b"t")]


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_cut_answer_is_no_whole_answer(upstream: Upstream, end: str) -> None:
    gate = Gate()
    upstream.next(Reply(pieces=[b"abc", gate], framing="chunked", end="cut" if end == "cut" else "reset"))
    with client_of(upstream) as client:
        client.request("GET", "/")
        client.read_head()
        assert client.read_chunk() == b"abc"
        gate.open()
        with pytest.raises(Cut, match="FIN" if end == "cut" else "RST"):
            client.read_chunk()


def test_the_test_itself_can_be_the_upstream(upstream: Upstream) -> None:
    upstream.hold()
    with client_of(upstream) as client:
        client.request("GET", "/")
        call = upstream.take()
        call.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        answer = client.read_answer()
        assert (answer.interim, answer.body) == ([103], b"hi")
    assert call.wait_left() >= 0


def test_an_idle_connection_is_closed_or_dropped_at_the_next_request(upstream: Upstream) -> None:
    with client_of(upstream) as first, client_of(upstream) as second:
        for client in (first, second):
            client.request("GET", "/v1/models")
            client.read_answer()
        upstream.next(drop)
        first.request("GET", "/v1/models")
        assert first.closed_by_peer()
        upstream.close_idle()
        assert second.closed_by_peer()

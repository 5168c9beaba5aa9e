from __future__ import annotations

import itertools

import pytest

from llmproxy.cli.check_live.live_client import LiveClient
from llmproxy.cli.client import PageError
from tests.support.provider import Gate, Reply, Upstream, silence


def test_answers_are_timed_and_errors_are_answers() -> None:
    with Upstream(Reply(status=404, pieces=[b'{"error": 1}']).but(("x-request-id", "r1"))) as upstream:
        answer = LiveClient(upstream.url, "k", 5).post("/v1/x", {"a": 1})
        request = upstream.only
    assert (answer.status, answer.json, answer.request_id) == (404, {"error": 1}, "r1")
    assert 0 < answer.first_ms <= answer.took_ms
    assert request.values("authorization") == ["Bearer k"] and request.body == b'{"a": 1}'


def test_the_first_piece_of_a_stream_is_timed() -> None:
    gate = Gate()
    with Upstream(Reply(pieces=[b"data: 1\n\n", gate, b"data: [DONE]\n\n"], framing="chunked")) as upstream:
        gate.open()
        answer = LiveClient(upstream.url, None, 5).post("/", b"x")
    assert answer.events == ["1", "[DONE]"] and answer.json is None
    assert not upstream.only.values("authorization")


def test_the_key_is_not_sent_to_where_a_server_redirects() -> None:
    with Upstream(Reply(pieces=[b"{}"])) as other:
        moved = Reply(status=302).but(("Location", f"{other.url}/health"))
        with Upstream(moved) as upstream:
            client = LiveClient(upstream.url, "k", 5)
            assert client.get("/health").status == client.post("/v1/x", {}, [("x-api-key", "k2")]).status == 200
            assert all(each.values("authorization") == ["Bearer k"] for each in upstream.requests)
        assert len(other.requests) == 2
        assert not any(each.values("authorization") or each.values("x-api-key") for each in other.requests)


@pytest.mark.parametrize("script", [silence, Reply(pieces=[b"half"], length=9, end="cut")])
def test_no_answer_is_one_line(script: Reply) -> None:
    with Upstream(script) as upstream, pytest.raises(PageError, match=upstream.url):
        LiveClient(upstream.url, None, 0.1).get("/")


def test_an_answer_that_comes_in_pieces_may_take_no_longer_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = itertools.count(0, 10)
    monkeypatch.setattr("time.perf_counter", lambda: next(passed))
    with Upstream(Reply(pieces=[b": still there\n\n"] * 9, framing="chunked")) as upstream:
        with pytest.raises(PageError, match="did not answer within 5 s"):
            LiveClient(upstream.url, None, 5).get("/")
        assert LiveClient(upstream.url, None, 600).get("/").body == b": still there\n\n" * 9

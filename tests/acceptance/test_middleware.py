"""A middleware of one's own, from a path: each of its five hooks, in a program that knows nothing else of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import Cut
from tests.support.waiting import until

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ASK: dict[str, object] = {"model": "gpt-x", "messages": []}

TAG = '''
import json
from pathlib import Path

import msgspec

from llmproxy.errors import ProxyError
from llmproxy.answer import Answer, Headers
from llmproxy.middleware.base import Middleware
from llmproxy.settings import Strict


class Tag(Middleware):
    """Does what the header x-do asks for, and writes down what it sees."""

    class Config(Strict):
        name: str
        record: str

    def write(self, exchange, **seen):
        with Path(self.config.record).open("a") as record:
            record.write(json.dumps({"name": self.config.name, "id": exchange.request_id, **seen}) + "\\n")

    async def start(self):
        Path(self.config.record + "." + self.config.name).write_text("started")

    async def close(self):
        Path(self.config.record + "." + self.config.name).write_text("closed")

    async def on_request(self, exchange):
        asked = exchange.headers.get("x-do", "")
        self.write(exchange, hook="on_request", model=exchange.model, path=exchange.path)
        exchange.headers.add("x-tag", self.config.name)
        if asked == f"answer by {self.config.name}":
            body = b"from " + self.config.name.encode()
            return Answer(status=203, headers=Headers({"Content-Type": "text/plain"}), body=body)
        if asked == "refuse":
            raise ProxyError("not today", status=451, code="refused", headers=(("Retry-After", "9"),))
        if asked == "crash":
            raise ZeroDivisionError("a secret detail")
        if asked == "temper":
            exchange.held.replace("temperature", b"0.25")
            exchange.held.remove("user")
        if asked == "rename":
            exchange.model = "gpt-renamed"

    async def around(self, exchange, proceed):
        if exchange.headers.get("x-do") == "twice":
            first = await proceed()
            first.close()
        answer = await proceed()
        self.write(exchange, hook="around", status=answer.status)
        return answer

    async def on_response(self, exchange, answer):
        answer.headers.add("x-seen-by", self.config.name)
        self.write(exchange, hook="on_response", status=answer.status)

    def on_chunk(self, exchange, data):
        self.write(exchange, hook="on_chunk", data=data.decode("latin-1"))
        if exchange.headers.get("x-do") == f"fail in chunk of {self.config.name}":
            raise RuntimeError("chunk trouble")

    def on_end(self, exchange):
        tokens = exchange.summary.usage and exchange.summary.usage.output
        self.write(exchange, hook="on_end", outcome=exchange.outcome, status=exchange.status, tokens=tokens)
        if exchange.headers.get("x-do") == "fail in end":
            raise RuntimeError("end trouble")
'''

Seen = list[dict[str, Any]]


class Tagged:
    """The program with two such middlewares, `outer` and `inner`, and what they wrote."""

    def __init__(self, program: Program, record: Path) -> None:
        self.program = program
        self.record = record

    def seen(self, request_id: str | None) -> Seen:
        """Return what was written about one exchange, once both have told of its end."""

        def read() -> Seen:
            lines = map(json.loads, self.record.read_text().splitlines())
            mine = [line for line in lines if line["id"] == request_id]
            return mine if sum(line["hook"] == "on_end" for line in mine) >= 2 else []

        return until(read, "on_end of both")


@pytest.fixture(scope="module")
def lasting_tagged(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tagged]:
    home = tmp_path_factory.mktemp("tagged")
    (home / "mine").mkdir()
    (home / "mine" / "tag.py").write_text(TAG)
    record = home / "record"
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", api_key: k}}
  - {{name: claude, type: anthropic, base_url: "{lasting_upstream.url}", api_key: k}}
middlewares:
  - {{type: "./mine/tag.py:Tag", config: {{name: outer, record: "{record}"}}}}
  - {{type: "mine/tag.py:Tag", config: {{name: inner, record: "{record}"}}}}
  - {{type: "./mine/tag.py:Tag", enabled: false, config: {{name: off, record: "{record}"}}}}
"""
    with Program(home, "serve", config=config) as program:
        program.expect_tracebacks("tag.py")
        yield Tagged(program, record)
    assert {path.name: path.read_text() for path in home.glob("record.*")} == {
        "record.outer": "closed",
        "record.inner": "closed",
    }


@pytest.fixture
def tagged(lasting_tagged: Tagged, upstream: Upstream) -> Tagged:
    return lasting_tagged


def _hooks(seen: Seen) -> list[tuple[str, str]]:
    return [(line["hook"], line["name"]) for line in seen if line["hook"] != "on_chunk"]


@pytest.mark.ledger("M1")
def test_requests_go_down_the_list_and_answers_come_back_up(tagged: Tagged, upstream: Upstream) -> None:
    answer = tagged.program.post(CHAT, ASK)
    assert answer.values("x-seen-by") == ["inner", "outer"]
    assert upstream.only.values("x-tag") == ["outer", "inner"]
    seen = tagged.seen(answer.value("x-request-id"))
    assert _hooks(seen) == [
        ("on_request", "outer"),
        ("on_request", "inner"),
        ("around", "inner"),
        ("around", "outer"),
        ("on_response", "inner"),
        ("on_response", "outer"),
        ("on_end", "inner"),
        ("on_end", "outer"),
    ]
    assert [(line["outcome"], line["status"], line["tokens"]) for line in seen if line["hook"] == "on_end"] == [
        ("complete", 200, vendors.OUT)
    ] * 2


@pytest.mark.ledger("M1")
def test_a_member_is_replaced_and_all_other_bytes_stay(tagged: Tagged, upstream: Upstream) -> None:
    body = b'{ "model":"gpt-x" ,"temperature" : 1.0,  "user":"me", "messages":[ 1E2 ]}'
    with tagged.program.client() as client:
        client.request("POST", CHAT, "x-do: temper", body=body)
        assert client.read_answer().status == 200
    got = upstream.only.body
    assert json.loads(got) == {"model": "gpt-x", "temperature": 0.25, "messages": [100.0]}
    assert got.startswith(b'{ "model":"gpt-x" ,"temperature" : 0.25,') and got.endswith(b'"messages":[ 1E2 ]}')


@pytest.mark.ledger("M1")
def test_another_model_routes_anew(tagged: Tagged, upstream: Upstream) -> None:
    assert tagged.program.post(CHAT, ASK, "x-do: rename").json["model"] == "gpt-renamed"
    assert upstream.only.body == b'{"model": "gpt-renamed", "messages": []}'


@pytest.mark.ledger("M1")
@pytest.mark.parametrize("who", ["outer", "inner"])
def test_a_middleware_may_answer_itself(tagged: Tagged, upstream: Upstream, who: str) -> None:
    answer = tagged.program.post(CHAT, ASK, f"x-do: answer by {who}")
    assert (answer.status, answer.body) == (203, b"from " + who.encode())
    assert answer.values("x-seen-by") == ["inner", "outer"]
    assert not upstream.requests
    assert ("on_end", "outer") in _hooks(tagged.seen(answer.value("x-request-id")))


@pytest.mark.ledger("M1")
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_middleware_may_refuse_in_the_clients_dialect(tagged: Tagged, upstream: Upstream, path: str) -> None:
    model = "claude-x" if path == MESSAGES else "gpt-x"
    answer = tagged.program.post(path, {"model": model}, "x-do: refuse")
    assert (answer.status, answer.value("retry-after")) == (451, "9")
    assert answer.json["error"]["message"] == "not today"
    assert ("type" in answer.json) is (path == MESSAGES)
    assert answer.values("x-seen-by") == ["inner", "outer"]
    assert not upstream.requests


@pytest.mark.ledger("H9")
def test_a_middleware_that_crashes_is_a_500_that_tells_nothing(tagged: Tagged, upstream: Upstream) -> None:
    answer = tagged.program.post(CHAT, ASK, "x-do: crash")
    assert answer.status == 500 and answer.json["error"]["message"]
    assert b"secret" not in answer.body and b"ZeroDivision" not in answer.body
    assert answer.value("x-request-id")
    until(lambda: "ZeroDivisionError" in tagged.program.err, "the log to tell")
    tagged.seen(answer.value("x-request-id"))


@pytest.mark.ledger("M1")
def test_around_may_make_the_call_twice(tagged: Tagged, upstream: Upstream) -> None:
    assert tagged.program.post(CHAT, ASK, "x-do: twice").status == 200
    assert len(upstream.requests) == 4, "both middlewares double it"


@pytest.mark.ledger("T2")
def test_on_chunk_sees_exactly_what_the_client_gets(tagged: Tagged, upstream: Upstream) -> None:
    frames = vendors.chat_frames("gpt-x", usage=True)
    answer = tagged.program.post(CHAT, ASK | {"stream": True, "stream_options": {"include_usage": True}})
    assert answer.body == b"".join(frames)
    seen = tagged.seen(answer.value("x-request-id"))
    for who in ("outer", "inner"):
        chunks = [line["data"] for line in seen if (line["hook"], line["name"]) == ("on_chunk", who)]
        assert "".join(chunks).encode("latin-1") == answer.body
    assert seen[-1]["tokens"] == vendors.OUT


@pytest.mark.ledger("T2")
def test_on_end_comes_once_when_the_client_left(tagged: Tagged, upstream: Upstream) -> None:
    upstream.hold()
    with tagged.program.client() as client:
        client.post(CHAT, ASK | {"stream": True}, "x-request-id: the-leaver")
        call = upstream.take()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
        client.read_head()
        client.reset()
    call.wait_left()
    seen = tagged.seen("the-leaver")
    assert [(line["name"], line["outcome"]) for line in seen if line["hook"] == "on_end"] == [
        ("inner", "cancelled"),
        ("outer", "cancelled"),
    ]


@pytest.mark.ledger("T2")
def test_on_end_tells_of_a_broken_stream(tagged: Tagged, upstream: Upstream) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=[b"data: {}\n\n", b"da"], framing="chunked", end="cut"))
    with tagged.program.client() as client, pytest.raises(Cut):
        client.post(CHAT, ASK | {"stream": True}, "x-request-id: the-broken")
        client.read_answer()
    assert {line["outcome"] for line in tagged.seen("the-broken") if line["hook"] == "on_end"} == {"broken"}


@pytest.mark.ledger("M1")
def test_watching_hooks_that_fail_are_muted_and_logged(tagged: Tagged, upstream: Upstream) -> None:
    ask = ASK | {"stream": True}
    answer = tagged.program.post(CHAT, ask, "x-do: fail in chunk of inner")
    assert answer.body == b"".join(vendors.chat_frames("gpt-x"))
    seen = tagged.seen(answer.value("x-request-id"))
    failed = [line for line in seen if (line["hook"], line["name"]) == ("on_chunk", "inner")]
    others = [line["data"] for line in seen if (line["hook"], line["name"]) == ("on_chunk", "outer")]
    assert len(failed) == 1 and "".join(others).encode("latin-1") == answer.body
    until(lambda: tagged.program.err.count("on_chunk of middleware") == 1, "the failure in the log")
    again = tagged.program.post(CHAT, ASK, "x-do: fail in end")
    assert again.status == 200
    assert len([hook for hook in _hooks(tagged.seen(again.value("x-request-id"))) if hook[0] == "on_end"]) == 2
    until(lambda: tagged.program.err.count("on_end of middleware") == 2, "both failures in the log")


def test_hooks_run_on_relayed_paths_too(tagged: Tagged, upstream: Upstream) -> None:
    answer = tagged.program.get("/openai/v1/files/f")
    assert upstream.only.values("x-tag") == ["outer", "inner"]
    assert _hooks(tagged.seen(answer.value("x-request-id")))[0] == ("on_request", "outer")


def test_the_sdk_sees_what_a_middleware_did(tagged: Tagged, upstream: Upstream) -> None:
    headers = {"x-do": "rename"}
    with openai.OpenAI(base_url=f"{tagged.program.url}/v1", api_key="k", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-x", messages=[], extra_headers=headers)
        assert raw.headers.get_list("x-seen-by", split_commas=True) == ["inner", "outer"]
        assert raw.parse().model == "gpt-renamed"

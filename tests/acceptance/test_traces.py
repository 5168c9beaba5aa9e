"""Trace files of the real program: whole, true to what was sent, valid by their schema, and without any secret."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import anthropic
import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import openai
import pytest

from llmproxy.records.record import record_schema
from llmproxy.records.trace_reader import TraceReader
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
KEY, CLAUDE_KEY = "sk-up-1f3b9d77aa52", "sk-ant-up-86e0c1d2f3"
VALIDATOR = jsonschema.Draft202012Validator(record_schema())
MASK = "**********"

Json = dict[str, Any]


class Traced:
    """A program that writes traces into `directory`, before a fake OpenAI and a fake Anthropic."""

    def __init__(self, home: Path, upstream: Upstream, settings: str = "") -> None:
        self.directory = home / "traces"
        self.program = Program(
            home,
            "serve",
            config=f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{upstream.url}", api_key: {CLAUDE_KEY}}}
middlewares:
  - {{type: trace, config: {{directory: ./traces, {settings}}}}}
""",
        )

    def files(self) -> list[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.is_file() and not path.name.startswith("."))

    def records(self) -> list[Json]:
        """Return what is written, by now; each is checked against the schema."""
        records: list[Json] = [json.loads(text) for text in self.texts()]
        for record in records:
            VALIDATOR.validate(record)
        return sorted(records, key=lambda record: record["started"])  # names of one millisecond sort by chance

    def texts(self) -> list[str]:
        """Return the texts of all records."""
        traces = TraceReader(str(self.directory))
        found = [text.decode() for text in traces.texts(traces.entries())]
        assert traces.faults == []
        return found

    def wait(self, count: int) -> list[Json]:
        """Return the records once there are `count`, and no more than that."""
        until(lambda: len(self.files()) >= count, f"{count} trace files")
        assert len(self.files()) == count
        return self.records()

    def state(self) -> Json:
        """Return what /health says of the middleware."""
        [state] = self.program.get("/health").json["middlewares"]
        assert isinstance(state, dict)
        return state

    def ask(self, *headers: str, **members: object) -> None:
        answer = self.program.post(CHAT, {"model": "gpt-x", "messages": [], **members}, *headers)
        assert answer.status == 200


@pytest.fixture
def traced(tmp_path: Path, upstream: Upstream) -> Iterator[Traced]:
    made = Traced(tmp_path, upstream)
    with made.program:
        yield made


@pytest.mark.ledger("M2")
def test_what_official_clients_ask_and_get_stands_in_a_file_each(traced: Traced) -> None:
    url = traced.program.url
    with openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "Grüß Gott, 你好"}]
        plain = client.chat.completions.create(model="gpt-x", messages=asked)
        stream = list(client.chat.completions.create(model="gpt-x", messages=asked, stream=True))
        responded = client.responses.create(model="gpt-x", input="Hi")
    with anthropic.Anthropic(base_url=url, api_key="dummy", max_retries=0) as claude:
        message = claude.messages.create(model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
        with claude.messages.stream(
            model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        ) as events:
            assert "".join(events.text_stream) == vendors.TEXT

    records = traced.wait(5)
    assert [record["path"] for record in records] == [CHAT, CHAT, "/v1/responses", "/v1/messages", "/v1/messages"]
    assert [record["dialect"] for record in records] == ["chat", "chat", "responses", "messages", "messages"]
    assert [record["provider"] for record in records] == ["main", "main", "main", "claude", "claude"]
    assert [record["stream"] for record in records] == [False, True, False, False, True]
    assert all((each["status"], each["outcome"], each["complete"]) == (200, "complete", True) for each in records)
    first, second, third, fourth, fifth = records
    assert first["request"]["body"] == {"model": "gpt-x", "messages": asked}
    assert openai.types.chat.ChatCompletion.model_validate(first["response"]["body"]) == plain
    assert third["response"]["body"]["id"] == responded.id
    assert fourth["response"]["body"] == message.model_dump(mode="json", exclude_unset=True)
    assert (first["usage"]["input"], first["usage"]["output"]) == (vendors.IN, vendors.OUT)
    assert first["request"]["headers"]["authorization"] == MASK
    text = "".join(chunk["text"] for chunk in second["response"]["chunks"])
    assert text.count("data: ") == len(stream) + 1
    assert text.endswith("data: [DONE]\n\n")
    assert len(text.encode()) == second["response"]["size"]
    times = [chunk["at_ms"] for chunk in fifth["response"]["chunks"]]
    assert times == sorted(times)
    assert fifth["first_byte_ms"] <= times[0] <= fifth["duration_ms"]


@pytest.mark.ledger("M2")
def test_lines_of_a_day_hold_the_same(tmp_path: Path, upstream: Upstream) -> None:
    traced = Traced(tmp_path, upstream, "format: jsonl")
    with traced.program:
        for number in range(5):
            traced.ask(user=f"u{number}", note="two\nlines")
        until(lambda: traced.files() and len(traced.records()) == 5, "five lines")
        [file] = traced.files()
    records = traced.records()
    assert file.name == records[0]["started"][:10] + ".jsonl"
    assert [record["request"]["body"]["user"] for record in records] == ["u0", "u1", "u2", "u3", "u4"]
    assert {record["request"]["body"]["note"] for record in records} == {"two\nlines"}


@pytest.mark.ledger("M2")
def test_refusals_and_failures_are_recorded_too(traced: Traced, upstream: Upstream) -> None:
    assert traced.program.post("/v1/nothing", {"model": "x"}).status == 404
    assert traced.program.post(CHAT, {"model": "unheard-of"}).status == 404
    upstream.next(vendors.failure(429, "Too Many Requests"))
    assert traced.program.post(CHAT, {"model": "gpt-x", "messages": []}).status == 429
    first, second, third = traced.wait(3)
    assert (first["error"]["code"], second["error"]["code"], third["error"]["code"]) == (
        "not_found",
        "model_not_found",
        "provider_error",
    )
    assert second["request"]["body"] == {"model": "unheard-of"}
    assert "unheard-of" in second["response"]["body"]["error"]["message"]
    assert third["response"]["body"]["error"]["message"] == "vendor says 429"
    assert [each["status"] for each in third["attempts"]] == [429]


@pytest.mark.ledger("M2")
def test_exchanges_of_the_same_millisecond_have_files_of_their_own(traced: Traced) -> None:
    def ask() -> None:
        with traced.program.client() as client:
            for _ in range(50):
                client.post(CHAT, {"model": "gpt-x", "messages": []})
                assert client.read_answer().status == 200

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = traced.wait(200)
    assert len({record["id"] for record in records}) == 200
    assert len({path.name[:10] for path in traced.files()}) < 200, "no two began in the same millisecond"
    assert traced.state()["lost"] == 0


# What the client sends with every request, by kind; and the kinds that go into Authorization, one after the other.
SENT = {
    "x-api-key": "xk-4e5f6071",
    "api-key": "azure-82a3b4c5",
    "x-goog-api-key": "AIza-d6e7f809",
    "cookie": "crumb-1a2b3c4d5e",
    "x-amz-security-token": "FwoGZXIvYXdz/6f70+8192==",
    "proxy-authorization": "pa55 word/+",
    "key in the query": "q/uery+key==a3b4",
    "signature of a URL": "b0855cfba65d672d79c15b13162d9279",
    "user of a URL": "urluser-1:urlpa55w0rd",
    "MCP token": "mcp-c5d6e7f8",
    "MCP header": "mcp-header-091a2b3c",
    "provider's key": KEY,
}
SIGNED = {"signature": "5d672d79c15b13162d9279b0855cfba6", "access key": "AKIDEXAMPLE7Q"}
AUTHORIZATIONS = {
    "Bearer sk-client-0a1b2c3d": {"bearer": "sk-client-0a1b2c3d"},
    f"AWS4-HMAC-SHA256 Credential={SIGNED['access key']}/20261121/us-east-1/bedrock/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={SIGNED['signature']}": SIGNED,
    "Basic bWFpbjpiYXNpYy1wYTU1": {"password": "basic-pa55", "encoded": "bWFpbjpiYXNpYy1wYTU1"},
}
HEADERS = (
    f"x-api-key: {SENT['x-api-key']}",
    f"api-key: {SENT['api-key']}",
    f"x-goog-api-key: {SENT['x-goog-api-key']}",
    f"Cookie: theme=dark; session={SENT['cookie']}",
    f"x-amz-security-token: {SENT['x-amz-security-token']}",
    "Proxy-Authorization: Basic bWFpbjpwYTU1IHdvcmQvKw==",  # main:pa55 word/+
    f"Referer: https://bucket.example/a.png?X-Amz-Signature={SENT['signature of a URL']}&X-Amz-Date=20261121",
    f"x-callback: https://{SENT['user of a URL']}@example.com/",
)
QUERY = "?key=q%2Fuery%2Bkey%3D%3Da3b4&max_tokens=7"
SET_COOKIE = "setcrumb-4d5e6f70"
BODY: Json = {
    "model": "gpt-x",
    "max_tokens": 4711,
    "tools": [
        {"parameters": {"properties": {"token": {"type": "string"}, "password": {"type": "string"}}}},
        {
            "type": "mcp",
            "authorization_token": SENT["MCP token"],
            "headers": {"Authorization": f"Bearer {SENT['MCP header']}"},
        },
    ],
}


def spelled(secrets: dict[str, str]) -> list[str]:
    """Return the secrets as they are, percent-encoded, and with escaped slashes."""
    plain = [*secrets.values()]
    return [*plain, *map(quote, plain), *(quote(each, safe="") for each in plain), *map(quote_plus, plain)]


def seen(secrets: dict[str, str], texts: list[str]) -> list[str]:
    """Return the secrets that stand in `texts`, in whatever spelling."""
    return [each for each in spelled(secrets) if any(each in text for text in texts)]


@pytest.mark.ledger("M2")
@pytest.mark.parametrize("format_", ["json", "jsonl", "sqlite"])
def test_secrets_of_every_kind_stand_nowhere(tmp_path: Path, upstream: Upstream, format_: str) -> None:
    traced = Traced(tmp_path, upstream, f"format: {format_}")
    with traced.program as program:
        for authorization, more in AUTHORIZATIONS.items():
            echo = " | ".join(spelled(SENT | more))
            refusal = json.dumps({"error": {"message": echo, "type": "x"}, "echo": echo}).replace("/", "\\/")
            cookie = ("Set-Cookie", f"sid={SET_COOKIE}; HttpOnly")
            headers = (*vendors.JSON, cookie, ("x-echo", SENT["x-api-key"]))
            upstream.next(Reply(status=401, reason="Unauthorized", headers=headers, pieces=[refusal.encode()]))
            upstream.next(vendors.streamed([f"data: {refusal}\n\n".encode(), b"data: [DONE]\n\n"]))
            body = {
                **BODY,
                "messages": [{"role": "user", "content": f"see https://{SENT['user of a URL']}@example.com/x"}],
            }
            with program.client() as client:
                client.post(CHAT + QUERY, body, f"Authorization: {authorization}", *HEADERS)
                assert client.read_answer().status == 401
                client.post(CHAT + QUERY, {**body, "user": echo}, f"Authorization: {authorization}", *HEADERS)
                assert client.read_answer().status == 200
        until(lambda: len(traced.records()) == 6, "six records")
        records = traced.records()
    for record in records:
        assert record["request"]["body"]["max_tokens"] == 4711
        assert record["request"]["body"]["tools"][0] == BODY["tools"][0]
        assert record["query"] == f"key={MASK}&max_tokens=7"
        assert record["request"]["headers"]["x-callback"] == f"https://{MASK}@example.com/"
    everything = {**SENT, "set-cookie": SET_COOKIE}
    for more in AUTHORIZATIONS.values():
        everything |= more
    texts = [text.replace("\\/", "/") for text in traced.texts()]
    assert seen(everything, [*texts, program.out, program.err]) == []


@pytest.mark.ledger("M2")
def test_a_secret_that_comes_in_two_pieces_is_not_shown_in_any(traced: Traced, upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    first, second = f'data: {{"x": "{KEY[:9]}'.encode(), f'{KEY[9:]} end"}}\n\n'.encode()
    begin = b"data: {}\n\n"
    upstream.hold()
    with traced.program.client() as client:
        client.post(CHAT, {"model": "gpt-x", "messages": [], "stream": True})
        held = upstream.take()
        held.send(head + b"%x\r\n%b\r\n" % (len(begin + first), begin + first))
        client.read_head()
        assert client.read_chunk().endswith(first)
        held.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(second), second))
        held.done()
        assert client.read_chunk() == second
    [record] = traced.wait(1)
    assert [chunk["text"] for chunk in record["response"]["chunks"]] == [
        f'data: {{}}\n\ndata: {{"x": "{MASK}',
        f'{MASK} end"}}\n\n',
    ]


@pytest.mark.ledger("M2")
def test_a_killed_program_leaves_whole_files_only(tmp_path: Path, upstream: Upstream) -> None:
    traced = Traced(tmp_path, upstream)
    program = traced.program.__enter__()

    def ask() -> None:
        with contextlib.suppress(OSError, AssertionError), program.client() as client:
            while True:
                client.post(CHAT, {"model": "gpt-x", "messages": [{"role": "user", "content": "x" * 100_000}]})
                client.read_answer()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(traced.files()) > 50, "some traces")
    program.signal(signal.SIGKILL)
    program.wait()
    for thread in threads:
        thread.join()
    assert len(traced.records()) > 50


@pytest.mark.ledger("M2")
@pytest.mark.parametrize("format_", ["json", "jsonl", "sqlite"])
def test_a_directory_that_goes_away_is_made_again(tmp_path: Path, upstream: Upstream, format_: str) -> None:
    traced = Traced(tmp_path, upstream, f"format: {format_}")
    with traced.program:
        for _ in range(3):
            traced.ask()
            until(lambda: traced.files() and len(traced.records()) == 1, "the record")
            shutil.rmtree(traced.directory)
        assert traced.state()["lost"] == 0


@pytest.mark.ledger("M2")
def test_traffic_goes_on_while_nothing_can_be_written(tmp_path: Path, upstream: Upstream) -> None:
    traced = Traced(tmp_path, upstream)
    with traced.program as program:
        traced.directory.rmdir()
        traced.directory.write_text("in the way")
        traced.ask()
        until(lambda: traced.state()["lost"] == 1, "the loss to be counted")
        traced.ask()
        until(lambda: traced.state()["lost"] == 2, "the next loss to be counted")
        assert "traces" in traced.state()["fault"]
        traced.directory.unlink()
        traced.ask()
        until(lambda: traced.state()["fault"] is None, "writing to work again")
        assert (traced.state()["lost"], len(traced.records())) == (2, 1)
    assert program.err.count("records are lost") == 1
    assert program.err.count("writing works again") == 1


@pytest.mark.ledger("M2")
@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of resources")
@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_a_full_disk_leaves_no_half_record(tmp_path: Path, upstream: Upstream, format_: str) -> None:
    import resource

    traced = Traced(tmp_path, upstream, f"format: {format_}")
    with traced.program as program:
        traced.ask(user="small")
        until(lambda: traced.files(), "the first record")
        _, hard = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (10_000, hard))
        traced.ask(user="large" * 5_000)
        until(lambda: traced.state()["lost"] == 1, "the loss to be counted")
        traced.ask(user="small")
        until(lambda: len(traced.records()) == 2, "a record that fits")
    assert [record["request"]["body"]["user"] for record in traced.records()] == ["small", "small"]
    assert [path for path in traced.directory.rglob(".*")] == []

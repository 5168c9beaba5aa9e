"""WebSockets: the SDKs' own clients and others through the whole program, to providers that answer as theirs do."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import types
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from llmproxy.wire.timestamp import format_timestamp
from tests.support.program import Program
from tests.support.provider import CERTIFICATES
from tests.support.raw_http import RawClient
from tests.support.socket_upstream import HANDSHAKE, SocketUpstream, open_socket
from tests.support.waiting import PATIENCE_S, until

REALTIME = "/v1/realtime?model=gpt-realtime"
USAGE = {
    "total_tokens": 12,
    "input_tokens": 5,
    "output_tokens": 7,
    "input_token_details": {"text_tokens": 3, "audio_tokens": 2, "cached_tokens": 1},
    "output_token_details": {"text_tokens": 7, "audio_tokens": 0},
}
KEY = "llmp_abcdefghijklmnopqrstuvwxyz0123456789"


async def talk(socket: ServerConnection) -> None:
    """Answer as the vendors do, by what the client sends."""
    async for message in socket:
        event = json.loads(message)
        if "setup" in event:
            await socket.send(json.dumps({"setupComplete": {}}).encode())
        elif "clientContent" in event or "client_content" in event:
            turn = {"modelTurn": {"parts": [{"text": "hi"}]}, "turnComplete": True}
            usage = {"promptTokenCount": 5, "responseTokenCount": 7, "totalTokenCount": 12, "thoughtsTokenCount": 3}
            await socket.send(json.dumps({"serverContent": turn, "usageMetadata": usage}).encode())
        elif event["type"] == "response.create" and "model" in event:
            usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
            response = {"id": "resp_1", "object": "response", "model": event["model"], "output": [], "usage": usage}
            await socket.send(json.dumps({"type": "response.completed", "sequence_number": 1, "response": response}))
        elif event["type"] == "response.create":
            await socket.send(json.dumps({"type": "response.done", "event_id": "e", "response": {"usage": USAGE}}))
        elif event["type"] == "close":
            await socket.close(event["code"], "as you say")
        else:
            await socket.send(message)


@pytest.fixture(scope="module")
def lasting() -> Iterator[SocketUpstream]:
    with SocketUpstream(talk) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def lasting_program(lasting: SocketUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
providers:
  - {{name: open, type: openai, base_url: "{lasting.url}/v1", api_key: sk-up-0123456789,
      dialects: [chat, responses, openai, responses-websocket]}}
  - {{name: azure, type: azure, base_url: "{lasting.url}", api_key: az-up, api_version: 2024-10-01, models: [az-*]}}
  - {{name: gemini, type: gemini, base_url: "{lasting.url}", api_key: gem-up}}
  - {{name: own, type: openai, base_url: "{lasting.url}/v1"}}
  - {{name: claude, type: anthropic, base_url: "{lasting.url}", api_key: sk-ant}}
models:
  - {{name: talk, targets: [{{provider: open, model: gpt-realtime}}]}}
middlewares:
  - {{type: trace, config: {{directory: ./traces, include_frames: true, redact: ["..secret"]}}}}
"""
    with Program(tmp_path_factory.mktemp("sockets"), config=config) as program:
        yield program


@pytest.fixture
def upstream(lasting: SocketUpstream) -> SocketUpstream:
    lasting.handshakes.clear()
    lasting.closed.clear()
    lasting.status = 0
    lasting.began = format_timestamp(time.time())
    return lasting


@pytest.fixture
def program(lasting_program: Program, upstream: SocketUpstream) -> Iterator[Program]:
    yield lasting_program
    until(lambda: lasting_program.metric("llmproxy_websockets") == 0, "all WebSockets to end")
    assert "Traceback" not in lasting_program.err, lasting_program.err


def record_of(program: Program, upstream: SocketUpstream) -> dict[str, Any]:
    """Return the trace record of this test, when it is there."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        files = (program.directory / "traces").rglob("*.json")
        found[:] = [each for each in map(json.loads, map(Path.read_bytes, files)) if each["started"] >= upstream.began]
        return len(found) == 1

    until(there, "the record")
    return found[0]


async def test_the_realtime_client_of_openai(program: Program, upstream: SocketUpstream) -> None:
    client = openai.AsyncOpenAI(base_url=f"{program.url}/v1", api_key="dummy")
    async with client.realtime.connect(model="talk") as connection:
        await connection.session.update(session={"type": "realtime", "instructions": "Be brief"})
        assert (await connection.recv()).type == "session.update"  # type: ignore[comparison-overlap]  # an echo
        for _ in range(2):
            await connection.response.create()
            assert (await connection.recv()).type == "response.done"
    assert upstream.last.path == "/v1/realtime?model=gpt-realtime"
    assert upstream.last.headers["Authorization"] == "Bearer sk-up-0123456789"
    record = await asyncio.to_thread(record_of, program, upstream)
    assert (record["status"], record["outcome"], record["provider"], record["route"]) == (
        101,
        "complete",
        "open",
        "talk",
    )
    assert (record["usage"]["input"], record["usage"]["output"], record["usage"]["cache_read"]) == (10, 14, 2)
    counts = record["websocket"]
    assert (counts["client_frames"], counts["provider_frames"]) == (4, 4), "three messages each and the Close frames"
    assert (counts["close_code"], counts["closed_by"]) == (1000, "client")
    assert [frame["sender"] for frame in record["frames"]] == ["client", "provider"] * 3
    assert record["frames"][0]["body"]["session"]["instructions"] == "Be brief"


async def test_the_realtime_client_of_azure(program: Program, upstream: SocketUpstream) -> None:
    client = openai.AsyncAzureOpenAI(
        azure_endpoint=program.url,
        websocket_base_url=f"ws://127.0.0.1:{program.port}/openai",
        api_key="dummy",
        api_version="2025-04-01-preview",
    )
    async with client.realtime.connect(model="az-talk") as connection:
        await connection.response.create()
        assert (await connection.recv()).type == "response.done"
    path, _, query = upstream.last.path.partition("?")
    assert path == "/openai/realtime"
    assert sorted(query.split("&")) == ["api-version=2025-04-01-preview", "deployment=az-talk"]
    assert upstream.last.headers["api-key"] == "az-up"
    async with client.realtime.connect(model="talk"):
        assert upstream.last.path == "/v1/realtime?model=gpt-realtime", "in the form of its provider"
    until(lambda: len(upstream.closed) == 2, "both to close")


async def test_the_responses_client_of_openai(program: Program, upstream: SocketUpstream) -> None:
    client = openai.AsyncOpenAI(base_url=f"{program.url}/open/v1", api_key="dummy")
    async with client.responses.connect() as connection:
        await connection.response.create(model="gpt-5.5", input="hi")
        event = await connection.recv()
        assert event.type == "response.completed" and event.response.model == "gpt-5.5"
    assert upstream.last.path == "/v1/responses"
    record = await asyncio.to_thread(record_of, program, upstream)
    assert (record["model"], record["usage"]["input"], record["usage"]["output"]) == ("gpt-5.5", 5, 7)


async def test_the_live_client_of_google_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with SocketUpstream(talk, ssl=context) as upstream:
        upstream.began = ""
        config = f"""
server: {{tls: {{certificate: "{CERTIFICATES / "server.pem"}", key: "{CERTIFICATES / "server.key"}"}}}}
providers:
  - {{name: gemini, type: gemini, base_url: "https://localhost:{upstream.port}", api_key: gem-up,
      ca_file: "{CERTIFICATES / "ca.pem"}"}}
middlewares: [{{type: trace, config: {{directory: ./traces}}}}]
"""
        with Program(tmp_path, config=config) as program:
            options = types.HttpOptions(base_url=f"https://localhost:{program.port}", api_version="v1beta")
            client = genai.Client(api_key="dummy", vertexai=False, http_options=options)
            async with client.aio.live.connect(model="gemini-live", config=types.LiveConnectConfig()) as session:
                await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="hi")]))
                answers = [answer async for answer in session.receive()]
                assert answers[-1].text == "hi"
            record = await asyncio.to_thread(record_of, program, upstream)
    assert upstream.last.path == LIVE
    assert upstream.last.headers.get_all("x-goog-api-key") == ["gem-up"]
    assert (record["model"], record["provider"], record["dialect"]) == ("gemini-live", "gemini", "gemini")
    assert (record["usage"]["input"], record["usage"]["output"], record["usage"]["reasoning"]) == (5, 10, 3)
    assert (record["outcome"], record["websocket"]["close_code"]) == ("complete", 1000)


LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
PLACES = [
    (REALTIME, {}, "/v1/realtime?model=gpt-realtime", ("authorization", "Bearer sk-up-0123456789")),
    ("/realtime?model=talk", {}, "/v1/realtime?model=gpt-realtime", ("authorization", "Bearer sk-up-0123456789")),
    ("/open/realtime?model=talk", {}, "/v1/realtime?model=talk", ("authorization", "Bearer sk-up-0123456789")),
    (
        "/openai/v1/realtime?deployment=gpt-m&x=%20",
        {},
        "/v1/realtime?model=gpt-m&x=%20",
        ("authorization", "Bearer sk-up-0123456789"),
    ),
    (
        "/v1/realtime?intent=transcription",
        {},
        "/v1/realtime?intent=transcription",
        ("authorization", "Bearer sk-up-0123456789"),
    ),
    ("/open/anything?a=1&b", {}, "/v1/anything?a=1&b", ("authorization", "Bearer sk-up-0123456789")),
    (
        "/azure/openai/realtime?deployment=d",
        {},
        "/openai/realtime?deployment=d&api-version=2024-10-01",
        ("api-key", "az-up"),
    ),
    (f"{LIVE}?key=dummy", {}, LIVE, ("x-goog-api-key", "gem-up")),
    (f"/gemini{LIVE}?key=dummy", {}, LIVE, ("x-goog-api-key", "gem-up")),
    ("/own/x?key=k", {"Authorization": "Bearer mine"}, "/v1/x?key=k", ("authorization", "Bearer mine")),
]


@pytest.mark.parametrize(("target", "headers", "asked", "credential"), PLACES)
async def test_paths_and_credentials_are_those_of_the_provider(
    program: Program,
    upstream: SocketUpstream,
    target: str,
    headers: dict[str, str],
    asked: str,
    credential: tuple[str, str],
) -> None:
    async with open_socket(program.port, target, headers=headers) as socket:
        await socket.send('{"type": "x"}')
        assert await socket.recv() == '{"type": "x"}'
    assert upstream.last.path == asked
    assert upstream.last.headers.get_all(credential[0]) == [credential[1]]
    assert "dummy" not in str(upstream.last)


async def test_the_key_of_a_browser_goes_to_nobody(program: Program, upstream: SocketUpstream) -> None:
    offered = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.sk-mine")]
    async with open_socket(program.port, REALTIME, subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"
    assert upstream.last.headers.get_all("Sec-WebSocket-Protocol") == ["realtime"]
    async with open_socket(program.port, "/own/realtime", subprotocols=offered):
        assert upstream.last.headers["Sec-WebSocket-Protocol"] == "realtime, openai-insecure-api-key.sk-mine"


@pytest.mark.parametrize("code", [1000, 1001, 4000])
async def test_close_codes_pass_from_both_sides(program: Program, upstream: SocketUpstream, code: int) -> None:
    async with open_socket(program.port, REALTIME) as socket:
        await socket.send(json.dumps({"type": "close", "code": code}))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == code
        assert closed.value.rcvd.reason == "as you say"
    record = await asyncio.to_thread(record_of, program, upstream)
    assert (record["websocket"]["close_code"], record["websocket"]["closed_by"]) == (code, "provider")
    async with open_socket(program.port, REALTIME) as socket:
        await socket.close(code)
    until(lambda: len(upstream.closed) == 2, "the provider to see both end")
    assert upstream.closed == [code, code]


async def test_pings_pass(program: Program, upstream: SocketUpstream) -> None:
    async with open_socket(program.port, REALTIME) as socket:
        waiting = await socket.ping(b"are you there")
        await asyncio.wait_for(waiting, PATIENCE_S)


@pytest.mark.parametrize("status", [401, 404, 426, 503])
async def test_a_refusal_of_the_provider_is_passed_on(program: Program, upstream: SocketUpstream, status: int) -> None:
    upstream.status = status
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(program.port, "/open/realtime"):
            pass
    response = refused.value.response
    assert (response.status_code, response.headers["X-Theirs"]) == (status, "1")
    assert response.body == b'{"error": {"code": "theirs"}}'
    record = await asyncio.to_thread(record_of, program, upstream)
    assert (record["status"], record["websocket"]) == (status, None)


@pytest.mark.parametrize(
    "target", ["/v1/responses", "/own/v1/responses", "/v1/chat/completions", "/claude/v1/responses"]
)
async def test_what_is_no_websocket_is_a_426(program: Program, upstream: SocketUpstream, target: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(program.port, target):
            pass
    assert refused.value.response.status_code == 426
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "upgrade_not_supported"
    assert not upstream.handshakes


async def test_a_named_provider_answers_responses(program: Program, upstream: SocketUpstream) -> None:
    async with open_socket(program.port, "/v1/responses", headers={"x-llmproxy-provider": "open"}) as socket:
        await socket.send('{"type": "x"}')
        await socket.recv()
    assert upstream.last.path == "/v1/responses"


async def test_secrets_in_frames_are_masked(program: Program, upstream: SocketUpstream) -> None:
    async with open_socket(program.port, REALTIME) as socket:
        await socket.send('{"type": "x", "secret": "hush", "text": "the key is sk-up-0123456789"}')
        await socket.recv()
    record = await asyncio.to_thread(record_of, program, upstream)
    assert [frame["body"]["secret"] for frame in record["frames"]] == ["**********"] * 2
    assert "sk-up-0123456789" not in json.dumps(record) and "hush" not in json.dumps(record)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Sec-WebSocket-Version: 8", *HANDSHAKE[:2], HANDSHAKE[3]), 426),
        (HANDSHAKE[:3], 400),
        ((*HANDSHAKE[:3], "Sec-WebSocket-Key: eA=="), 400),
        ((*HANDSHAKE[:3], "Sec-WebSocket-Key: *"), 400),
        ((*HANDSHAKE, HANDSHAKE[3]), 400),
        ((*HANDSHAKE, "Content-Length: 3"), 400),
        ((*HANDSHAKE, "Origin: https://evil.example"), 403),
        (HANDSHAKE[1:], 404),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"), 404),
    ],
)
def test_handshakes_that_are_none(
    program: Program, upstream: SocketUpstream, headers: tuple[str, ...], status: int
) -> None:
    with program.client() as client:
        client.request("GET", REALTIME, *headers)
        answer = client.read_answer("GET")
    assert answer.status == status
    if status == 426:
        assert (answer.value("sec-websocket-version"), answer.value("upgrade")) == ("13", "websocket")
    assert not upstream.handshakes


def test_http_1_0_has_no_websockets(program: Program, upstream: SocketUpstream) -> None:
    with program.client() as client:
        client.request("GET", REALTIME, *HANDSHAKE, version="1.0")
        assert client.read_answer("GET").status == 404
    assert not upstream.handshakes


async def test_open_websockets_are_shown(program: Program) -> None:
    async with open_socket(program.port, REALTIME):
        assert program.metric("llmproxy_websockets") == 1
        assert program.get("/health").json["websockets"] == 1
        stats = program.get("/stats").json
        assert (stats["requests"]["websockets"], stats["running"]["exchanges"][0]["path"]) == (1, "/v1/realtime")
    until(lambda: program.metric("llmproxy_websockets") == 0, "it to close")


async def test_keys_limits_and_restrictions(tmp_path: Path, upstream: SocketUpstream) -> None:
    config = f"""
providers:
  - {{name: open, type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-0123456789,
      dialects: [chat, responses, openai, responses-websocket]}}
server: {{admin_key: "admin-admin"}}
auth:
  keys:
    - {{name: all, key: {KEY}}}
    - {{name: some, key: {KEY}9, models: [gpt-mini]}}
limits: [{{match: {{key: all}}, concurrent: 1}}]
"""
    with Program(tmp_path, config=config) as program:

        async def refusal(target: str, **options: Any) -> int:
            with pytest.raises(InvalidStatus) as refused:
                async with open_socket(program.port, target, **options):
                    pass
            return refused.value.response.status_code

        assert await refusal(REALTIME) == 401
        some = {"Authorization": f"Bearer {KEY}9"}
        assert await refusal(REALTIME, headers=some) == 403
        assert await refusal("/v1/realtime", headers=some) == 403
        assert await refusal("/v1/responses", headers=some) == 426, "over HTTP each request is checked"
        async with open_socket(program.port, "/v1/realtime?model=gpt-mini", headers=some):
            pass
        protocols = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{KEY}")]
        async with open_socket(program.port, "/v1/responses", subprotocols=protocols, origin="https://a.example"):
            assert await refusal(REALTIME, headers={"api-key": KEY}) == 429, "it counts until it is closed"
        assert KEY not in str(upstream.handshakes)
        until(lambda: len(upstream.closed) == 2, "it to close")
        until(lambda: program.get("/health", "Authorization: Bearer admin-admin").json["websockets"] == 0, "its end")
        async with open_socket(program.port, f"{REALTIME}&key={KEY}"):
            assert upstream.last.path == "/v1/realtime?model=gpt-realtime"


async def test_a_route_fails_over_before_the_handshake(tmp_path: Path, upstream: SocketUpstream) -> None:
    with SocketUpstream(talk) as busy, SocketUpstream(talk) as down:
        busy.status, down.status = 429, 500
        config = f"""
providers:
  - {{name: none, type: openai, base_url: "http://127.0.0.1:9/v1", api_key: a}}
  - {{name: busy, type: openai, base_url: "{busy.url}/v1", api_key: b}}
  - {{name: down, type: openai, base_url: "{down.url}/v1", api_key: c}}
  - {{name: good, type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-0123456789}}
models:
  - name: talk
    strategy: priority
    targets: [{{provider: none, model: m1}}, {{provider: busy, model: m2}}, {{provider: down, model: m3}},
      {{provider: good, model: m4}}]
"""
        with Program(tmp_path, config=config) as program:
            async with open_socket(program.port, "/v1/realtime?model=talk") as socket:
                assert socket.response is not None
                assert socket.response.headers["x-llmproxy-attempts"] == "4"
        assert [each.last.path.partition("=")[2] for each in (busy, down, upstream)] == ["m2", "m3", "m4"]


def stop(program: Program) -> None:
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


async def test_the_end_of_the_program_closes_with_1001(tmp_path: Path, upstream: SocketUpstream) -> None:
    config = f'llm: {{type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-0123456789}}'
    program = Program(tmp_path, config=config)
    with program:
        async with open_socket(program.port, REALTIME) as socket:
            await socket.send('{"type": "x"}')
            await socket.recv()
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(stop, program))
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    until(lambda: upstream.closed == [1001], "the provider to be told")


def test_websockets_count_as_requests(tmp_path: Path, upstream: SocketUpstream) -> None:
    config = f"""
server: {{max_concurrent: 1, queue_timeout: 10ms}}
llm: {{type: openai, base_url: "{upstream.url}/v1", api_key: sk-up-0123456789}}
"""
    with Program(tmp_path, config=config) as program, RawClient(program.address) as client:
        client.request("GET", REALTIME, *HANDSHAKE)
        assert client.read_interim() == 101
        with program.client() as other:
            other.request("GET", REALTIME, *HANDSHAKE)
            assert other.read_answer("GET").status == 503

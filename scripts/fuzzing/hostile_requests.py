"""Two kinds of cases: JSON requests of every dialect, and bytes that are hardly HTTP.

Begin reading at `json_requests` and `raw_requests`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from random import Random

from scripts.fuzzing import mutation, seeds
from scripts.fuzzing.exchanges import Sent, ask, judge
from scripts.fuzzing.findings import Finding
from scripts.fuzzing.programs import PATIENCE_S, Programs

_PROGRAMS = ("plain", "watched", "watched", "disk", "stub")
_OTHER_PATHS = (
    *(
        "/v1/embeddings",
        "/v1/completions",
        "/v1/messages/count_tokens",
        "/v1/responses/input_tokens",
        "/v1/responses/compact",
    ),
    *(
        "/c/v1/chat/completions",
        "/m/v1/messages",
        "/r/v1/responses",
        "/v1/images/generations",
        "/openai-proxy/v1/responses",
    ),
    *(
        "/v1/responses/resp_1/cancel",
        "/v1/moderations",
        "/anthropic/v1/messages",
        "/v1/messages/batches",
        "/v1/nothing",
        "/v1beta/models/g%2Fx:countTokens",
        "/v1beta/models/c%2Fx:streamGenerateContent",
        "/model/b%2Fx/count-tokens",
        "/model/i%2Fanthropic.claude/invoke-with-response-stream",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m%2Fx:rawPredict",
        "/b/guardrail/g/version/1/apply",
        "/v1beta/interactions",
    ),
)
_TARGETS = (
    *(
        "/health",
        "/stats?by=client",
        "/metrics",
        "/sessions",
        "/sessions/x",
        "/cache?model=x",
        "/config",
        "/v1/models?limit=1",
    ),
    *(
        "/v1/models/c%2Fx",
        "/../etc/passwd",
        "//",
        "/%00",
        "/v1/%2e%2e/x",
        "*",
        "http://x/v1/models",
        "/c/../../x",
        "/v1/files",
    ),
    *("/v1/responses/resp_1", "/v1/responses/%0d%0a", "/?a=%ff&b", "/v1/chat/completions?x=\xff", "/" + "a" * 9000),
)
_METHODS = (
    "GET",
    "POST",
    "POST",
    "HEAD",
    "DELETE",
    "PUT",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PATCH",
    "G\x00T",
    "get",
    "PRI",
)
_FIELDS = (
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 1, 1"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"TE: trailers",
    ),
    *(b"Expect: 100-continue", b"Connection: Upgrade, close", b"Upgrade: websocket", b"Content-Encoding: gzip"),
    *(b"Content-Encoding: zstd", b"Content-Type: text/plain", b"Host: evil", b"Host: ", b"Origin: null", b"Cookie: a"),
    *(
        b"Authorization: Bearer \xff\x00",
        b"x-api-key: ",
        b"x-request-id: a\rb",
        b"X: " + b"y" * 9000,
        b" folded",
        b"nocolon",
    ),
    *(b"x-session-id: \xe2\x80\xae", b"Accept-Encoding: zstd;q=x", b"x-llmproxy-provider: nobody", b"Range: bytes=0-"),
    *(
        b"Cache-Control: max-age=x",
        b"x-llmproxy-cache-ttl: 1e999",
        b"x-llmproxy-cache-key: ",
        b"anthropic-version: \x01",
    ),
)
_CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"zz\r\n",
    b"5;x=y\r\nhel",
    b"-1\r\n",
    b"ffffffffffffffffff\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"5\nhello\n0\n\n",
)
RAW_AT_ONCE = 24
_QUIET_S = 0.3


def json_requests(rng: Random, programs: Programs, id_: str) -> None:
    """Send one request of a dialect."""
    served = programs[rng.choice(_PROGRAMS)]
    dialect, provider = rng.choice(seeds.NAMES), seeds.provider(rng)
    streamed = rng.random() < 0.5
    value = seeds.request(rng, dialect) | {"stream": streamed}
    if rng.random() < 0.1:
        value = seeds.request(rng, rng.choice(seeds.NAMES))  # of another dialect
    if rng.random() < 0.9:
        value = mutation.spoil(rng, value)
    if rng.random() < 0.95:
        value["model"] = seeds.model(rng, provider) if rng.random() < 0.95 else rng.choice(("any", "nobody", "c/", "/"))
    body = mutation.to_json(rng, value)
    fields: tuple[str, ...] = ()
    if rng.random() < 0.15:
        name, body = mutation.compress(rng, body)
        if rng.random() < 0.4:
            body = mutation.cut(rng, body) if rng.random() < 0.5 else mutation.flip_bytes(rng, body)
        fields = (f"Content-Encoding: {name}",)
    if rng.random() < 0.3:
        fields += (
            rng.choice(("x-session-id: a", "Cache-Control: no-cache", "x-llmproxy-cache-ttl: 1s", "x-api-key: k")),
        )
    own_path = seeds.path_of(dialect, value.get("model"), stream=streamed)
    path = own_path if rng.random() < 0.9 else rng.choice(_OTHER_PATHS)
    try:
        outcome = ask(served, path, body, *fields, id_=id_, reuse=rng.random() < 0.3)
        known = path == own_path and served.name != "stub"
        target = seeds.DIALECT_OF[provider] if known and str(value.get("model")).startswith(f"{provider}/") else dialect
        judge(dialect, target, outcome, Sent(), odd=True)
        served.upstream.check()
    finally:
        served.upstream.forget()


def raw_requests(rng: Random, programs: Programs, id_: str) -> None:
    """Open some connections at once, each with bytes that are hardly a request."""
    served = programs[rng.choice(_PROGRAMS)]
    sent = [_raw(rng) for _ in range(RAW_AT_ONCE)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in sent]
        for client, data in zip(clients, sent, strict=True):
            client.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
                if rng.random() < 0.2:
                    client.shutdown(socket.SHUT_WR)
        quiet_s = time.monotonic() + _QUIET_S
        answers = [_read(client, quiet_s) for client in clients]
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        end_s = time.monotonic() + PATIENCE_S
        for client, data, got in zip(clients, sent, answers, strict=True):
            rest = _read(client, end_s)
            if time.monotonic() > end_s:
                raise Finding("hang", f"the connection did not end after {data!r:.3000}")
            _check_raw(got + rest, data)
    try:
        served.upstream.check()
    except Exception as error:
        raise Finding("invalid", f"the upstream got no HTTP from {sent!r:.3000}: {error!r}") from error
    finally:
        served.upstream.forget()


def _raw(rng: Random) -> bytes:
    """Return the bytes of one connection: one to three requests."""
    data = b"".join(_request(rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    if rng.random() < 0.6:
        data = mutation.flip_bytes(rng, data)
    return mutation.cut(rng, data) if rng.random() < 0.15 else data


def _request(rng: Random) -> bytes:
    dialect, model = rng.choice(seeds.NAMES), seeds.model(rng, seeds.provider(rng))
    body = json.dumps(seeds.request(rng, dialect) | {"model": model}).encode()
    own_path = seeds.path_of(dialect, model, stream=rng.random() < 0.5)
    target = own_path if rng.random() < 0.6 else rng.choice((*_TARGETS, *_OTHER_PATHS))
    method = "POST" if rng.random() < 0.7 else rng.choice(_METHODS)
    fields = [
        b"Host: localhost",
        b"Content-Type: application/json",
        *rng.choices(_FIELDS, k=rng.choice((0, 0, 1, 1, 2))),
    ]
    rng.shuffle(fields)
    if rng.random() < 0.3:
        fields.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if rng.random() < 0.5 else rng.choice(_CHUNKS)
    else:
        fields.append(b"Content-Length: %d" % max(0, len(body) + rng.choice((0, 0, 0, 0, -1, 1, 50))))
    line = f"{method} {target} HTTP/{rng.choice(('1.1',) * 8 + ('1.0', '0.9', '2.0', '9'))}\r\n"
    return line.encode("latin-1", "replace") + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def _read(client: socket.socket, end_s: float) -> bytes:
    """Return what comes up to the end of the connection, or the monotonic time `end_s`."""
    got = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while True:
            client.settimeout(max(0.001, end_s - time.monotonic()))
            more = client.recv(65536)
            if not more:
                break
            got += more
    return got


def _check_raw(got: bytes, data: bytes) -> None:
    if got and not re.match(rb"HTTP/1\.[01] \d{3} ", got):
        raise Finding("invalid", f"{got!r:.500} after {data!r:.3000}")
    if b"Internal Server Error" in got:
        raise Finding("500", f"{got!r:.500} after {data!r:.3000}")

"""More requests and connections than the program serves at the same time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def lasting_program(tmp_path_factory: pytest.TempPathFactory, lasting_upstream: Upstream) -> Iterator[Program]:
    url = lasting_upstream.url
    config = f"""
providers: [{{name: main, type: openai, base_url: "{url}/v1", api_key: k}}]
server: {{max_concurrent: 1, queue_timeout: 5m, max_connections: 20}}
"""
    with Program(tmp_path_factory.mktemp("busy"), config=config) as program:
        yield program


@pytest.fixture(scope="module")
def lasting_hasty(tmp_path_factory: pytest.TempPathFactory, lasting_upstream: Upstream) -> Iterator[Program]:
    """Yield a program where nobody waits for long."""
    url = lasting_upstream.url
    config = f"""
providers: [{{name: main, type: openai, base_url: "{url}/v1", api_key: k}}]
server: {{max_concurrent: 1, queue_timeout: 200ms}}
"""
    with Program(tmp_path_factory.mktemp("hasty"), config=config) as program:
        yield program


@pytest.mark.usefixtures("upstream")
def test_one_more_request_waits_for_its_turn_and_pages_do_not(lasting_program: Program, upstream: Upstream) -> None:
    upstream.hold()
    with lasting_program.client() as first, lasting_program.client() as second:
        first.post(CHAT, ASK)
        held = upstream.take()
        second.post(CHAT, ASK)
        until(lambda: lasting_program.metric("llmproxy_waiting_requests") == 1, "the second request to wait")
        assert lasting_program.get("/health").status == 200
        held.send(REPLY)
        held.done()
        assert [each.read_answer().status for each in (first, second)] == [200, 200]
    assert lasting_program.metric("llmproxy_waiting_requests") == 0


@pytest.mark.parametrize(("path", "shape"), [(CHAT, "error"), ("/v1/messages", "type")])
def test_one_that_waits_too_long_gets_503_in_the_shape_of_its_api(
    lasting_hasty: Program, upstream: Upstream, path: str, shape: str
) -> None:
    upstream.hold()
    with lasting_hasty.client() as first:
        first.post(CHAT, ASK)
        held = upstream.take()
        began_s = time.monotonic()
        refused = lasting_hasty.post(path, {**ASK, "max_tokens": 5})
        assert time.monotonic() - began_s > 0.15
        assert (refused.status, refused.value("retry-after")) == (503, "1") and shape in refused.json
        held.send(REPLY)
        held.done()
        assert first.read_answer().status == 200


def test_one_connection_too_many_is_refused(lasting_program: Program, upstream: Upstream) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(lasting_program.client()) for _ in range(20)]
        for each in clients:
            each.request("GET", "/health")
            assert each.read_answer("GET").status == 200
        refused = lasting_program.get("/health")
        assert (refused.status, refused.value("retry-after")) == (503, "1")
        assert "server.max_connections" in refused.json["error"]["message"]
    until(lambda: lasting_program.get("/health").status == 200, "the connections to be closed")


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files to raise")
def test_ten_thousand_idle_connections_cost_what_their_sockets_cost(tmp_path: Path) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 10_500:
        pytest.skip("this machine allows too few open files")
    with Program(tmp_path, config="providers: [{name: s, type: stub}]\n") as program, contextlib.ExitStack() as stack:
        before = program.memory_bytes()
        clients: list[RawClient] = []
        for _ in range(10_000):
            clients.append(stack.enter_context(program.client()))
            clients[-1].request("GET", "/livez")
        assert all(each.read_answer("GET").status == 200 for each in clients)
        per_connection = (program.memory_bytes() - before) / len(clients)
        began_s = time.monotonic()
        assert program.post(CHAT, {"model": "stub", "messages": []}).status == 200
        assert time.monotonic() - began_s < 1
        assert per_connection < 20_000, per_connection
        print(f"{per_connection:.0f} bytes for each idle connection")

"""The upstream and the programs that the acceptance tests share: started once a session, the records new for each test.

A test that needs other settings starts a `Program` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.waiting import until

KEY = "sk-up-5e7c"
CLAUDE_KEY = "sk-ant-up-91fd"


@pytest.fixture(scope="session")
def lasting_upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
def upstream(lasting_upstream: Upstream) -> Iterator[Upstream]:
    """The fake provider behind the program, without memory of other tests."""
    lasting_upstream.forget()
    yield lasting_upstream
    lasting_upstream.check()


@pytest.fixture(scope="session")
def lasting_relay(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    base = f"{lasting_upstream.url}/v1"
    home = tmp_path_factory.mktemp("relay")
    with Program(home, "serve", "--base-url", base, "--type", "openai", "--api-key", KEY) as program:
        yield program


@pytest.fixture
def relay(lasting_relay: Program, upstream: Upstream) -> Iterator[Program]:
    """The program as one command line starts it for one OpenAI-like upstream."""
    yield from _without_complaint(lasting_relay)


@pytest.fixture(scope="session")
def lasting_both(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", api_key: {KEY}, models: ["gpt-*", "text-*"]}}
  - {{name: claude, type: anthropic, base_url: "{lasting_upstream.url}", api_key: {CLAUDE_KEY}}}
"""
    with Program(tmp_path_factory.mktemp("both"), "serve", config=config) as program:
        yield program


@pytest.fixture
def both(lasting_both: Program, upstream: Upstream) -> Iterator[Program]:
    """The program with an OpenAI provider `main` and an Anthropic provider `claude`, as a file configures them."""
    yield from _without_complaint(lasting_both)


@pytest.fixture(scope="session")
def lasting_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("stub")) as program:
        yield program


@pytest.fixture
def stub(lasting_stub: Program) -> Iterator[Program]:
    """The program with nothing said at all."""
    yield from _without_complaint(lasting_stub)


def _without_complaint(program: Program) -> Iterator[Program]:
    """Blames the test that made the program log a traceback, or left something running in it."""
    running, seen = program.metric("llmproxy_in_flight_requests"), len(program.err)
    yield program
    until(lambda: program.metric("llmproxy_in_flight_requests") <= running, "everything to end that this test began")
    assert not program.ended, program.err
    assert "Traceback" not in program.err[seen:], program.err[seen:]

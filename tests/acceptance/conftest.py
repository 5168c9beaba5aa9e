"""The upstream and the programs that the acceptance tests share: started once a session, the records new for each test.

A test that needs other settings starts a `Program` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import six_program, vendors
from tests.support.internet import Internet
from tests.support.internet import internet as run_internet
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.six_vendors import SixVendors
from tests.support.team import GPT, team_config
from tests.support.waiting import until

KEY = "sk-up-5e7c"
CLAUDE_KEY = "sk-ant-up-91fd"


@pytest.fixture(scope="session")
def lasting_upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
def upstream(lasting_upstream: Upstream) -> Iterator[Upstream]:
    """Yield the fake provider behind the program, without memory of other tests."""
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
    """Yield the program as one command line starts it for one OpenAI-like upstream."""
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
    """Yield the program with an OpenAI provider `main` and an Anthropic provider `claude`, configured by a file."""
    yield from _without_complaint(lasting_both)


@pytest.fixture(scope="session")
def lasting_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("stub")) as program:
        yield program


@pytest.fixture
def stub(lasting_stub: Program) -> Iterator[Program]:
    """Yield the program with nothing said at all."""
    yield from _without_complaint(lasting_stub)


@pytest.fixture(scope="session")
def lasting_six() -> Iterator[tuple[SixVendors, Upstream]]:
    vendors = SixVendors(six_program.play)
    with Upstream(vendors) as upstream:
        yield vendors, upstream


@pytest.fixture
def six(lasting_six: tuple[SixVendors, Upstream]) -> Iterator[SixVendors]:
    """Yield the six vendors behind `clouds`, without memory of other tests. They have refused nothing."""
    vendors, upstream = lasting_six
    vendors.forget()
    upstream.forget()
    yield vendors
    upstream.check()
    assert vendors.faults == []
    assert not [each.head for each in upstream.requests if b"dummy" in each.head.lower()]


@pytest.fixture(scope="session")
def lasting_clouds(
    lasting_six: tuple[SixVendors, Upstream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("six")
    with Program(folder, "serve", config=six_program.configuration(folder, lasting_six[1].url)) as program:
        yield program


@pytest.fixture
def clouds(lasting_clouds: Program, six: SixVendors) -> Iterator[Program]:
    """Yield the program with a provider of each kind."""
    yield from _without_complaint(lasting_clouds)


@pytest.fixture(scope="session")
def lasting_team(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("team")
    (home / "keys.yaml").write_text("keys: []\n")
    config = team_config(lasting_upstream.url)
    with Program(home, "serve", config=config, extra={"GPT_KEY": GPT}) as program:
        yield program


@pytest.fixture
def team(lasting_team: Program, upstream: Upstream) -> Program:
    """Return the program with client keys."""
    return lasting_team


@pytest.fixture(scope="session")
def lasting_internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with run_internet(tmp_path_factory.mktemp("internet")) as internet:
        yield internet


@pytest.fixture
def internet(lasting_internet: Internet) -> Iterator[Internet]:
    """Yield all vendors at their own addresses, without memory of other tests."""
    lasting_internet.forget()
    yield lasting_internet
    lasting_internet.cloud.check()


def _without_complaint(program: Program) -> Iterator[Program]:
    """Blames the test that made the program log a traceback, or left something running in it."""
    running, seen = program.metric("llmproxy_in_flight_requests"), len(program.err)
    yield program
    until(lambda: program.metric("llmproxy_in_flight_requests") <= running, "everything to end that this test began")
    assert not program.ended, program.err
    assert "Traceback" not in program.err[seen:], program.err[seen:]

"""What every test gets: a clean environment, and a failure when llmproxy blocks the event loop."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import blocking
from tests.support.compiled_tests import import_backwards, keep_compiled
from tests.support.draws import LONG_PROFILE

# Whatever would change what llmproxy does, or what its console output looks like, on a developer's machine or in CI.
_FOREIGN = re.compile(
    r"(LLM|LLMPROXY|OPENAI|ANTHROPIC|AZURE|AWS|GEMINI|GOOGLE|PROXY_API|OTEL|RATE_LIMIT)_.*|.*_API_(KEY|TOKEN)|.*_BASE_URL|.*_PROXY"
    r"|MODEL_PROVIDER_MAP|LOG_LEVEL|LOG_REQUESTS|CORS_ALLOW_ORIGINS|MAX_REQUEST_BYTES|ENABLE_TELEMETRY|PROMETHEUS_PORT"
    r"|SSL_CERT_(FILE|DIR)|GITHUB_ACTIONS|FORCE_COLOR|PY_COLORS|NO_COLOR|COLUMNS|LINES|PYTHONIOENCODING|PYTHONUTF8",
    re.IGNORECASE,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes as well")


# A slow machine is no failure. What is drawn is the same in every run, but in long ones, which look for what is new.
settings.register_profile("llmproxy", deadline=None, derandomize=True, max_examples=40)
settings.register_profile(LONG_PROFILE, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(LONG_PROFILE if config.getoption("--long") else "llmproxy")
    gc.disable()  # what is collected stays: looking through it again and again takes a quarter of the time
    keep_compiled()
    # `scripts/test &` would have the programs that tests interrupt ignore it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if _FOREIGN.fullmatch(name)]:
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and int(worker.removeprefix("gw")) % 2:
        import_backwards(session.config.args)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; runs with --long"))


@pytest.fixture(autouse=True, scope="session")
def nothing_announced_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers in the tests' own process announce themselves where nobody else looks."""
    directory = str(tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", directory)
        patch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", directory)
        yield


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Fails a test in which a line of llmproxy opened a file, looked up a name, slept or the like on a running loop."""
    blocking.listen()
    blocking.found.clear()
    yield
    assert not blocking.found, "the event loop was blocked:\n" + "\n".join(blocking.found)

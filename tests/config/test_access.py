"""What decides who may come in is made as the configuration says, and a keys file is read again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy.access.admission import Admission, Audience
from llmproxy.client_key import ClientKey
from llmproxy.config.access import build_access
from llmproxy.config.load import load
from llmproxy.errors import ProxyError
from llmproxy.server.file_watch import FileWatch
from tests.support.exchanges import new_exchange
from tests.support.tokens import ISSUER, SECRET, token
from tests.support.waiting import until_async

STUB = "providers: [{name: stub, type: stub}]\n"


def access(tmp_path: Path, text: str) -> tuple[Admission, list[object]]:
    (tmp_path / "llmproxy.yaml").write_text(text + STUB)
    loaded = load(directory=tmp_path, environ={})
    assert loaded.problems == []
    built = build_access(loaded, ())
    return built.admission, [component.part for component in built.components]


def client(admission: Admission, key: str, *headers: tuple[str, str]) -> ClientKey | None:
    exchange = new_exchange("/v1/chat/completions", ("x-api-key", key), *headers, body={})
    assert admission.admit(exchange) is None
    return exchange.client.key


def test_without_auth_everybody_comes_in(tmp_path: Path) -> None:
    admission, parts = access(tmp_path, "")
    assert client(admission, "any") is None and parts == []


def test_a_key_has_what_its_entry_says(tmp_path: Path) -> None:
    admission, parts = access(
        tmp_path,
        """
auth:
  keys:
    - name: ci
      key: key-of-ci
      id: abc
      team: build
      models: ["gpt-*"]
      providers: [stub]
      relay: true
      expires: 2099-01-01
      tags: {cost: "7"}
      limits: [{requests: 5, per: 1m}]
      budgets: [{max_cost: 5, per: day}, {max_cost: 1, per: session}, {max_cost: 9, per: day, scope: team}]
""",
    )
    key = client(admission, "key-of-ci")
    assert key is not None and parts == []
    assert (key.id, key.name, key.tenant, key.team) == ("abc", "ci", "key:ci", "build")
    assert (key.models, key.providers, key.relay, key.tags) == (("gpt-*",), ("stub",), True, (("cost", "7"),))
    assert key.expires_s == 4070908800.0
    assert [(limit.kind, limit.amount, limit.scope) for limit in key.limits] == [("requests", 5, "key")]
    assert [(budget.max_cost, budget.scope) for budget in key.budgets] == [(5, "key"), (1, "session"), (9, "team")]


def test_tokens_and_keys_may_both_be_on(tmp_path: Path) -> None:
    jwt = f'{{secret: "{SECRET}", issuer: "{ISSUER}", audience: llmproxy, claims: {{limits: limits}}, models: [gpt-*]}}'
    admission, _ = access(tmp_path, f"auth: {{keys: [{{name: a, key: key-of-a}}], jwt: {jwt}}}\n")
    assert client(admission, "key-of-a") is not None
    found = client(admission, token(SECRET, limits=[{"requests": 7}]))
    assert found is not None
    assert (found.name, found.models, found.limits[0].amount) == ("ada", ("gpt-*",), 7)
    with pytest.raises(ProxyError):
        client(admission, token(SECRET, limits=[{"request": 7}]))


def test_our_own_pages_are_for_operators(tmp_path: Path) -> None:
    text = "server: {admin_key: an-admin-key}\nauth: {keys: [{name: a, key: key-of-a}]}\n"
    admission, _ = access(tmp_path, text)
    for headers, status in (([], 401), ([("Authorization", "Bearer key-of-a")], 401)):
        with pytest.raises(ProxyError) as caught:
            admission.admit(new_exchange("/stats", *headers, method="GET"), Audience.OPERATORS)
        assert caught.value.status == status
    admission.admit(new_exchange("/stats", ("Authorization", "Bearer an-admin-key"), method="GET"), Audience.OPERATORS)
    admission.admit(new_exchange("/health", method="GET"), Audience.EVERYBODY)
    with pytest.raises(ProxyError):
        client(admission, "an-admin-key")


def test_without_an_admin_key_nobody_sees_our_own_pages(tmp_path: Path) -> None:
    admission, _ = access(tmp_path, "auth: {keys: [{name: a, key: key-of-a}]}\n")
    with pytest.raises(ProxyError, match=r"server\.admin_key"):
        admission.admit(new_exchange("/stats", method="GET"), Audience.OPERATORS)


def test_addresses_of_clients_come_from_trusted_proxies(tmp_path: Path) -> None:
    admission, _ = access(tmp_path, "server: {trusted_proxies: [127.0.0.0/8]}\n")
    exchange = new_exchange("/v1/files", ("X-Forwarded-For", "6.6.6.6, 1.2.3.4"), method="GET")
    admission.admit(exchange)
    assert exchange.client.address == "1.2.3.4"


def test_a_changed_keys_file_counts_and_a_bad_one_does_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("keys: [{name: a, key: key-of-a}]")
    admission, (watch,) = access(tmp_path, "auth: {keys_file: keys.yaml, keys: [{name: b, key: key-of-b}]}\n")
    assert isinstance(watch, FileWatch)
    assert client(admission, "key-of-a") and client(admission, "key-of-b")
    with caplog.at_level(logging.INFO):
        file.write_text("keys: [{name: c")
        asyncio.run(watch._changed())
        assert "the known keys stay: keys.yaml:1:" in caplog.text
        assert client(admission, "key-of-a")
        file.write_text("keys: [{name: c, key: key-of-c}]")
        asyncio.run(watch._changed())
    assert client(admission, "key-of-c") and client(admission, "key-of-b")
    with pytest.raises(ProxyError):
        client(admission, "key-of-a")


async def test_a_keys_file_that_changes_before_the_start_is_read_again(tmp_path: Path) -> None:
    """As one does that is replaced together with the configuration."""
    file = tmp_path / "keys.yaml"
    file.write_text("keys: [{name: a, key: key-of-a}]")
    admission, (watch,) = await asyncio.to_thread(access, tmp_path, "auth: {keys_file: keys.yaml}\n")
    assert isinstance(watch, FileWatch)
    file.write_text("keys: [{name: new, key: key-of-new}]")
    await watch.start()
    key = await until_async(lambda: _known(admission, "key-of-new"), "the new key")
    assert key is not None and key.name == "new"
    await watch.close()


def _known(admission: Admission, key: str) -> ClientKey | None:
    with contextlib.suppress(ProxyError):
        return client(admission, key)
    return None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{name: b, key: key-of-c}", "the name 'b' is already used by auth.keys[0]"),
        ("{name: c, key: key-of-c, providers: [stup]}", "unknown provider: 'stup'; did you mean 'stub'?"),
        (
            "{name: c, key: key-of-c, budgets: [{max_cost: 1, per: day, on_exceeded: {route: cheap}}]}",
            "there is no model 'cheap'",
        ),
    ],
)
def test_a_changed_keys_file_is_checked_against_the_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: str, problem: str
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("keys: []")
    admission, (watch,) = access(tmp_path, "auth: {keys_file: keys.yaml, keys: [{name: b, key: key-of-b}]}\n")
    assert isinstance(watch, FileWatch)
    file.write_text(f"keys: [{entry}]")
    asyncio.run(watch._changed())

    assert problem in caplog.text
    with pytest.raises(ProxyError):
        client(admission, "key-of-c")


def test_tokens_cost_nothing_where_there_are_none() -> None:
    code = "import sys, llmproxy.app; sys.exit('jwt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

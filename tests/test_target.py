from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import Client, ClientRequest
from llmproxy.exchange import Exchange
from llmproxy.target import Origin, Provider, Target, UpstreamRequest, is_pattern


class Named(Provider):
    """A provider that prepares nothing and answers nothing."""

    def __init__(self) -> None:
        self.name, self.type, self.priority = "mine", "own", 1
        self.speaks, self.patterns, self.models = frozenset(("messages", "chat")), ("a*",), ("a1",)
        self.sole_catch_all = False

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest | None:
        return None


@pytest.mark.parametrize(
    ("scheme", "host", "port", "authority"),
    [
        ("https", "api.example.com", 443, "api.example.com"),
        ("http", "api.example.com", 80, "api.example.com"),
        ("http", "api.example.com", 443, "api.example.com:443"),
        ("https", "api.example.com", 8443, "api.example.com:8443"),
        ("http", "::1", 11434, "[::1]:11434"),
        ("https", "fe80::1", 443, "[fe80::1]"),
    ],
)
def test_the_authority_is_what_belongs_into_the_host_header(scheme: str, host: str, port: int, authority: str) -> None:
    assert Origin(scheme=scheme, host=host, port=port).authority == authority


def test_two_origins_at_one_address_keep_their_own_connections() -> None:
    first, second = (Origin(scheme="https", host="x", port=443) for _ in range(2))

    assert first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("gpt-*", True), ("o[0-9]*", True), ("gpt-?", True), ("*", True), ("gpt-4o", False), ("org/model:free", False)],
)
def test_a_name_with_wildcards_is_a_pattern(name: str, pattern: bool) -> None:
    assert is_pattern(name) is pattern


async def test_a_provider_that_neither_prepares_nor_answers_says_which_one_it_is() -> None:
    asked = Exchange(
        id="1",
        method="POST",
        full_path="/",
        path="/",
        query="",
        headers=Headers(),
        client=Client(address=""),
        started_s=0.0,
        began_s=0.0,
    )
    with pytest.raises(NotImplementedError, match="'mine'"):
        answer: Answer = await Named().answer(asked, Target(provider=Named()))
        assert answer is None


def test_a_provider_describes_itself_in_an_order_that_stays() -> None:
    assert Named().describe() == {"name": "mine", "type": "own", "dialects": ["chat", "messages"], "models": ["a*"]}

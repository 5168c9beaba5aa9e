"""The six vendors refuse what the real ones refuse, each in its own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.provider import Upstream
from tests.support.raw_http import RawAnswer, RawClient
from tests.support.six_program import GEMINI, play
from tests.support.six_vendors import KEYS, SixVendors

HI: list[Any] = [{"role": "user", "content": "Hi"}]
CONTENTS: list[Any] = [{"role": "user", "parts": [{"text": "Hi"}]}]
CHAT = {"model": "gpt-5.1", "messages": HI}
CLAUDE = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": HI}
GENERATE = f"/v1beta/models/{GEMINI}:generateContent"
BEARER, GOOGLE = f"Authorization: Bearer {KEYS['openai']}", f"x-goog-api-key: {KEYS['gemini']}"
ANTHROPIC, AZURE = f"x-api-key: {KEYS['anthropic']}", f"api-key: {KEYS['azure']}"
VERSION = "anthropic-version: 2023-06-01"
Case = tuple[str, dict[str, Any], list[str]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(SixVendors(play)) as upstream:
        yield upstream


def post(upstream: Upstream, path: str, body: object, *headers: str) -> RawAnswer:
    with RawClient(("127.0.0.1", upstream.port)) as client:
        client.post(path, body, *headers)
        return client.read_answer()


GOOD: list[Case] = [
    ("/v1/chat/completions", CHAT, [BEARER]),
    ("/v1/messages", CLAUDE, [ANTHROPIC, VERSION]),
    (GENERATE, {"contents": CONTENTS}, [GOOGLE]),
    ("/openai/deployments/d/chat/completions?api-version=2024-10-21", CHAT, [AZURE]),
]
WRONG: list[tuple[Case, str]] = [
    (("/v1/chat/completions", CHAT, [AZURE]), "invalid credentials"),
    (("/v1/chat/completions", CHAT, [BEARER, AZURE]), "invalid credentials"),
    (("/v1/chat/completions?api-version=1", CHAT, [BEARER]), "query is"),
    (("/v1/chat/completions", {**CHAT, "max_tokens": 9}, [BEARER]), "max_completion_tokens"),
    (("/v1/messages", CLAUDE, [ANTHROPIC]), "anthropic-version: header is required"),
    ((f"{GENERATE}?key=k", {"contents": CONTENTS}, [GOOGLE]), "Cannot bind query parameter"),
    ((GENERATE, {"contents": CONTENTS, "model": GEMINI}, [GOOGLE]), "unknown"),
    (("/openai/deployments/d/chat/completions", CHAT, [AZURE]), "query is"),
    (("/openai/responses?api-version=2024-10-21", {"model": "d", "input": "Hi"}, [AZURE]), "2025-03-01-preview"),
    (
        ("/model/m/converse", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, [BEARER]),
        "MissingAuthenticationToken",
    ),
    (("/v2/chat/completions", CHAT, [BEARER]), "no such path"),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case[0])
def test_a_good_call_is_answered(upstream: Upstream, case: Case) -> None:
    path, body, headers = case
    assert post(upstream, path, body, *headers).status == 200


@pytest.mark.parametrize(("case", "words"), WRONG)
def test_a_wrong_call_is_refused(upstream: Upstream, case: Case, words: str) -> None:
    path, body, headers = case
    answer = post(upstream, path, body, *headers)
    assert answer.status in (400, 404) and words in answer.body.decode()


@pytest.mark.parametrize("change", ["", "missing", "moved", "foreign"])
def test_a_signature_must_come_back_with_its_own_call(upstream: Upstream, change: str) -> None:
    tools = [{"functionDeclarations": [{"name": "weather"}, {"name": "clock"}]}]
    first = post(upstream, GENERATE, {"contents": CONTENTS, "tools": tools}, GOOGLE).json
    said = first["candidates"][0]["content"]
    calls = [part for part in said["parts"] if "functionCall" in part]
    if change:
        signature = calls[0].pop("thoughtSignature")
    if change == "moved":
        calls[1]["thoughtSignature"] = signature
    if change == "foreign":
        calls[0]["thoughtSignature"] = "Zm9yZWlnbg=="
    given = [
        {"functionResponse": {"id": part["functionCall"]["id"], "name": part["functionCall"]["name"], "response": {}}}
        for part in calls
    ]
    contents = [*CONTENTS, said, {"role": "user", "parts": given}]
    answer = post(upstream, GENERATE, {"contents": contents, "tools": tools}, GOOGLE)
    assert answer.status == (400 if change else 200), answer
    assert not change or "signature" in json.dumps(answer.json)

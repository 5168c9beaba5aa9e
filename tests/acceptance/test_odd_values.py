"""Names and numbers that nobody means: they cost no answer, no page and no record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Upstream

NAMES = ("\ud800", "half \udc00", "\x00", "\r\nx: y", "\u202e", "x" * 2000, '"', "{", "*", " ", "%0a", "\x1b[2J")
NUMBERS: tuple[Any, ...] = (2**53, 2**63, 2**64, 10**400, -1, 1e308, 0.5, "5", True, None, [], {"a": 1})
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PAGES = ("/health", "/stats?by=client,session", "/metrics", "/metrics/json", "/sessions", "/cache", "/providers")


@pytest.fixture
def watched(upstream: Upstream, tmp_path: Path) -> Iterator[Program]:
    config = f"""
providers: [{{name: up, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [chat], api_key: k}}]
middlewares:
  - {{type: trace, config: {{format: jsonl, redact: ["..secret"]}}}}
  - {{type: audit}}
  - {{type: printer, config: {{log_body: true}}}}
  - {{type: sessions, config: {{store: disk}}}}
  - {{type: cache, config: {{when: always, store: disk}}}}
"""
    with Program(tmp_path, "serve", config=config) as program:
        yield program
        _check_pages(program)
    for pattern in ("traces/*.jsonl", "audit.jsonl"):
        [file] = tmp_path.glob(pattern)
        ids = [json.loads(line)["request_id"] for line in file.read_bytes().splitlines()]
        assert ids == [f"r-{number}" for number in range(len(ids))] and ids, pattern


def _check_pages(program: Program) -> None:
    for page in PAGES:
        assert program.get(page).status == 200, page
    assert program.get("/health").json["status"] == "ok"


def test_any_name_of_a_model_is_relayed_translated_recorded_and_shown(watched: Program, upstream: Upstream) -> None:
    number = 0
    for name in NAMES:
        for path in (CHAT, MESSAGES):
            ask = {"model": f"up/{name}", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
            answer = watched.post(path, ask, f"x-request-id: r-{number}")
            number += 1
            if answer.status == 200:
                assert json.loads(upstream.last.body)["model"] in (name, "".join(_whole(name)))
            else:
                assert answer.status == 400 and path == MESSAGES, (name, answer)


def _whole(name: str) -> Iterator[str]:
    return ("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in name)


@pytest.mark.parametrize("stream", [False, True])
def test_any_count_of_tokens_is_one_or_unknown(watched: Program, upstream: Upstream, stream: bool) -> None:
    for number, tokens in enumerate(NUMBERS):
        odd = {name: tokens for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        usage = {**odd, "prompt_tokens_details": {"cached_tokens": tokens, "cache_write_tokens": tokens}}
        path = (CHAT, MESSAGES)[number % 2]
        frames = vendors.chat_frames("m", False, True)
        chunk = json.loads(frames[-2].removeprefix(b"data: ")) | {"usage": usage}
        whole = vendors.chat("m") | {"usage": usage}
        upstream.next(
            vendors.streamed([*frames[:-2], vendors.data_frame(chunk), frames[-1]]) if stream else vendors.plain(whole)
        )
        ask = {
            "model": "up/m",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": f"{number}"}],
            "stream": stream,
        }
        answer = watched.post(path, ask, f"x-request-id: r-{number}")
        assert answer.status == 200 and (b"error" not in answer.body), answer
        _check_pages(watched)

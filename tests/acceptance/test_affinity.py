"""What an account made is asked of that account again: by provider, and by key where a provider has several.

Begin at `Accounts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import types

from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.connection import Received
from tests.support.program import Program
from tests.support.provider import Call, Reply, Upstream
from tests.support.strict_gemini import chunk

KEYS = ("key-a", "key-b", "key-c")


class Accounts:
    """A vendor with an account for each key, which knows what it made alone: ids have the name of the key in them.

    Keys in `limited` are answered 429, those in `revoked` 401; `compressed` answers are in gzip.
    """

    def __init__(self) -> None:
        self.made = 0
        self.used: list[str] = []
        self.limited: set[str] = set()
        self.revoked: set[str] = set()
        self.compressed = False

    async def __call__(self, call: Call) -> None:
        request = call.request
        key = (request.value("authorization") or request.value("x-goog-api-key") or "").removeprefix("Bearer ")
        self.used.append(key)
        if key in self.limited:
            await call.give(vendors.failure(429, "Too Many Requests"))
        elif key in self.revoked:
            await call.give(vendors.failure(401, "Unauthorized"))
        else:
            reply = self._answer(key, request)
            await call.give(_compressed(reply) if self.compressed else reply)

    def _answer(self, key: str, request: Received) -> Reply:
        path, body = request.path, request.body.decode(errors="replace")
        named = [word for word in f'{path}"{body}'.split('"') if "made-by" in word]
        if not all(f"made-by-{key}" in name for name in named):
            return vendors.failure(404, "Not Found")
        self.made += 1
        made = f"{self.made}-made-by-{key}"
        if "generateContent" in path:
            return vendors.plain(chunk("gemini-x", {"text": key}, finish="STOP"))
        if path.endswith("/cachedContents"):
            return vendors.plain({"name": f"cachedContents/{made}", "model": "models/gemini-x"})
        if not path.endswith("/responses"):
            kind = path.removeprefix("/v1/").partition("/")[0]
            return vendors.plain({"id": f"{kind}-{made}", "object": kind})
        reply = vendors.reply_to(request)
        identity = f"resp_{made}".encode()
        pieces = [piece.replace(b"resp_fake", identity) for piece in reply.pieces if isinstance(piece, bytes)]
        return replace(reply, pieces=pieces)


def _compressed(reply: Reply) -> Reply:
    whole = compress(b"".join(piece for piece in reply.pieces if isinstance(piece, bytes)), "gzip")
    pieces = [whole[at : at + 20] for at in range(0, len(whole), 20)]
    return replace(reply, headers=(*reply.headers, ("Content-Encoding", "gzip")), pieces=pieces, framing="chunked")


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def program(tmp_path: Path, accounts: Accounts) -> Iterator[Program]:
    """Yield one provider of OpenAI's with three keys; two with one key each, in turn; and two of Google's."""
    with Upstream(accounts) as upstream:
        openai_ = f'type: openai, base_url: "{upstream.url}/v1", models: []'
        config = f"""
providers:
  - {{name: several, {openai_}, api_keys: [{", ".join(KEYS)}]}}
  - {{name: east, {openai_}, api_key: east}}
  - {{name: west, {openai_}, api_key: west}}
  - {{name: google, type: gemini, base_url: "{upstream.url}", api_key: google, models: []}}
  - {{name: cloud, type: gemini, base_url: "{upstream.url}", api_key: cloud, models: []}}
routing: {{retries: 0}}
models:
  - {{name: team, strategy: round_robin, targets: [east, west]}}
  - {{name: gems, strategy: round_robin, targets: [google, cloud]}}
  - {{name: keys, targets: [several]}}
"""
        with Program(tmp_path, config=config) as program:
            yield program


@pytest.fixture
def client(program: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


@pytest.mark.ledger("H4")
def test_what_one_of_several_keys_made_goes_back_to_that_key(client: openai.OpenAI, accounts: Accounts) -> None:
    files = [client.files.create(file=b"{}", purpose="batch").id for _ in range(3)]
    assert sorted(accounts.used) == sorted(KEYS)
    for name in (*files, *reversed(files)):
        assert client.files.retrieve(name).id
    for name in files:
        batch = client.batches.create(input_file_id=name, endpoint="/v1/responses", completion_window="24h")
        assert batch.id.partition("made-by-")[2] == name.partition("made-by-")[2]
    previous: str | None = None
    for turn in range(4):
        if turn % 2:
            with client.responses.stream(model="keys", input="a", previous_response_id=previous or "") as events:
                previous = events.until_done().get_final_response().id
        else:
            more: Any = {} if previous is None else {"previous_response_id": previous}
            previous = client.responses.create(model="keys", input="a", **more).id


def test_a_key_at_its_limit_is_waited_for_and_a_revoked_one_is_not(client: openai.OpenAI, accounts: Accounts) -> None:
    name = client.files.create(file=b"{}", purpose="batch").id
    key = name.partition("made-by-")[2]
    accounts.used.clear()
    accounts.limited = {key}
    with pytest.raises(openai.RateLimitError):  # another account would say that there is no such file
        client.files.retrieve(name)
    assert accounts.used == [key]
    accounts.limited, accounts.revoked = set(), {key}
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(name)
    assert len(accounts.used) > 2


def test_vector_stores_and_what_uses_them_go_to_who_made_them(client: openai.OpenAI, accounts: Accounts) -> None:
    west = client.with_options(default_headers={"x-llmproxy-provider": "west"})
    store = west.vector_stores.create(name="papers").id
    file = west.files.create(file=b"{}", purpose="assistants").id
    accounts.used.clear()
    assert client.vector_stores.retrieve(store).id
    assert client.vector_stores.files.create(store, file_id=file).id
    for _ in range(3):
        client.responses.create(model="team", input="a", tools=[{"type": "file_search", "vector_store_ids": [store]}])
    assert accounts.used == ["west"] * 5


def test_cached_contents_go_to_who_made_them(program: Program, accounts: Accounts) -> None:
    for owner in ("cloud", "google"):
        options: Any = {"base_url": program.url, "headers": {"x-llmproxy-provider": owner}}
        made = genai.Client(api_key="dummy", http_options=options)
        made_cache = made.caches.create(model="gemini-x", config={"contents": "A long text"})
        made.close()
        assert made_cache.name is not None and made_cache.name.endswith(owner)
        google = genai.Client(api_key="dummy", http_options={"base_url": program.url})
        config = types.GenerateContentConfig(cached_content=made_cache.name)
        answers = [google.models.generate_content(model="gems", contents="a", config=config).text for _ in range(3)]
        google.close()
        assert answers == [owner] * 3


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_compressed_answers_are_read_too(client: openai.OpenAI, accounts: Accounts, stream: bool) -> None:
    accounts.compressed = True
    previous: Any = openai.omit
    for _ in range(4):
        if stream:
            events = list(client.responses.create(model="team", input="a", previous_response_id=previous, stream=True))
            previous = events[0].response.id  # type: ignore[union-attr]  # the first one has it
        else:
            previous = client.responses.create(model="team", input="a", previous_response_id=previous).id
    assert len(set(accounts.used)) == 1

"""What clients say about the cache, and what is configured for a route."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from llmproxy.caching.write_behind import WriteBehind
from llmproxy.middleware.cache import Cache
from tests.support import vendors
from tests.support.cached import ASK, BASE, Cached, cached
from tests.support.provider import Upstream
from tests.support.proxy import CHAT, Listening, provider


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/messages"])
def test_a_wrong_directive_is_refused_in_the_dialects_form(here: Cached, upstream: Upstream, path: str) -> None:
    value = ASK | {"input": "hi", "max_tokens": 5}
    for member, named in (({"no-cache": 1}, "cache.no-cache"), ({"ttl": 5, "no-store": "x"}, "cache.no-store")):
        answer = here.ask(value | {"cache": member}, path=path)
        error = answer.json["error"]
        assert answer.status == 400 and error["message"].startswith(f"{named} ")
        assert (answer.json.get("type") == "error") == (path == "/v1/messages")
    assert here.raw(BASE + b',"cache":{"ttl":%b}}' % (b"9" * 400)).status == 400
    assert here.raw(BASE + b',"cache":{},"cache":{}}').status == 400


def test_the_directives_never_reach_the_provider_and_other_bytes_stay(here: Cached, upstream: Upstream) -> None:
    here.raw(b'{ "temperature" :0.0 ,"cache": {"ttl": 5} , "messages":[ ], "model":"gpt-x","x":1e2}')
    assert upstream.last.body == b'{ "temperature" :0.0 ,"messages":[ ], "model":"gpt-x","x":1e2}'
    here.raw(gzip.compress(BASE + b',"cache":{"no-store":true}}'), "Content-Encoding: gzip")
    assert upstream.last.body == BASE + b"}" and upstream.last.value("content-encoding") is None
    here.server.wait_ended(2)


@pytest.mark.parametrize("path", [CHAT, "/main/v1/chat/completions", "/v1/embeddings", "/v1/moderations"])
@pytest.mark.parametrize("with_cache", [True, False])
def test_with_and_without_a_cache_only_our_settings_are_kept_from_the_provider(
    upstream: Upstream, with_cache: bool, path: str
) -> None:
    theirs = [b'{ "type":"ephemeral" ,"ttl":"5m"}', b'"x"', b"null", b'{"no-cache":true,"id":1}', b'{"\\ud800":1}']
    with cached(provider(upstream)) if with_cache else Listening(provider(upstream)) as made:
        server = made.server if isinstance(made, Cached) else made
        for member, arrives in [(b'{"no-cache": true}', b""), (b'{"no-store":true,"ttl":5}', b"")] + [
            (each, b',"cache":' + each) for each in theirs
        ]:
            with server.client() as client:
                body = b'{"model":"gpt-x","cache":%b,"input":"a"}' % member
                client.request("POST", path, "Content-Type: application/json", body=body)
                client.read_answer()
            assert upstream.last.body == b'{"model":"gpt-x"%b,"input":"a"}' % arrives
        server.wait_ended(7)


def test_without_a_cache_they_are_no_part_of_a_translated_request(upstream: Upstream) -> None:
    with Listening(provider(upstream)) as server:
        assert server.post(ASK | {"max_tokens": 5, "cache": {"no-cache": True}}, path="/v1/messages").status == 200
        assert server.post(ASK | {"cache": {"no-cache": 1}}).status == 400
    assert b"cache" not in upstream.only.body


def test_directives_do_what_they_say(here: Cached, upstream: Upstream) -> None:
    for said in ({"value": ASK | {"cache": {"no-store": True}}}, {"value": ASK, "header": "no-store"}):
        assert here.missed(said["value"], f"Cache-Control: {said.get('header', '')}")
    assert here.figures()["stored"] == 0
    assert here.ask(ASK | {"cache": {"no-cache": True}}).value("x-cache") == "bypass"
    assert here.ask(ASK | {"cache": {"no-store": True}}).value("x-cache") == "hit"
    count = len(upstream.requests)
    assert here.ask(ASK, "Cache-Control: no-cache").value("x-cache") == "bypass"
    assert here.ask(ASK, "Cache-Control: max-age=0").value("x-cache") == "miss"
    assert here.ask(ASK, "Cache-Control: max-age=1000, only-if-cached").value("x-cache") == "hit"
    assert len(upstream.requests) == count + 2


def test_no_cache_puts_a_new_answer_in_the_place_of_the_old(here: Cached, upstream: Upstream) -> None:
    here.ask()
    upstream.next(vendors.plain(vendors.chat("gpt-x") | {"id": "new"}))
    assert here.ask(ASK | {"cache": {"no-cache": True}}).json["id"] == "new"
    assert here.ask().json["id"] == "new"


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/messages"])
def test_only_if_cached_never_asks_the_provider(here: Cached, upstream: Upstream, path: str) -> None:
    value = ASK | {"input": "hi", "max_tokens": 5}
    for each in (value, value | {"temperature": 1}, value | {"cache": {"no-cache": True}}, value | {"stream": True}):
        answer = here.ask(each, "Cache-Control: only-if-cached", path=path)
        assert answer.status == 504 and "only-if-cached" in answer.json["error"]["message"]
        assert (answer.json.get("type") == "error") == (path == "/v1/messages")
    assert upstream.requests == []
    here.ask(value, path=path)
    assert here.ask(value, "Cache-Control: only-if-cached", path=path).status == 200


def test_a_ttl_of_a_request_ends_its_answer(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    with cached(provider(upstream), ttl="1h") as here:
        told: list[float] = []

        def save(write_behind: WriteBehind, key: str, value: bytes, ttl_s: float) -> None:
            told.append(ttl_s)

        monkeypatch.setattr(WriteBehind, "save", save)
        here.ask(ASK | {"cache": {"ttl": 0.5}})
        here.ask(ASK | {"cache": {"ttl": 1e300, "no-cache": True}})
        here.ask(ASK | {"cache": {"no-cache": True}})
        assert told == [0.5, 1e300, 3600]


@pytest.mark.parametrize(
    ("mode", "stores", "answers"),
    [("on", True, True), ("off", False, False), ("read_only", False, True), ("write_only", True, False)],
)
def test_each_mode_of_a_route(upstream: Upstream, mode: Any, stores: bool, answers: bool) -> None:
    with cached(provider(upstream), routes={"gpt-x*": mode}, mode="on") as here:
        assert here.missed() and here.missed() != (stores and answers)
        assert here.figures()["stored"] == (0 if not stores else 1 if answers else 2)
        assert here.ask(ASK | {"model": "gpt-y"}).value("x-cache") == "miss"
        off = here.ask(ASK | {"cache": {"no-cache": True}})
        assert off.status == 200 and b"cache" not in upstream.last.body
        assert off.value("x-cache") == (None if mode == "off" else "bypass")


def test_yaml_says_on_and_off_as_it_likes() -> None:
    config = Cache.Config.model_validate({"mode": False, "routes": {"a": True, "b": "read_only"}})
    assert (config.mode, config.routes) == ("off", {"a": "on", "b": "read_only"})

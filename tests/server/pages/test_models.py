from __future__ import annotations

import asyncio
import json
import logging

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import Client, ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.model_list import ListedModel
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.providers.openai import OpenAI
from llmproxy.route import Route
from llmproxy.routing.router import Router
from llmproxy.server.pages.models import ModelList
from llmproxy.target import Origin, Provider, Target, UpstreamRequest
from llmproxy.wire.compression import compress
from tests.support.waiting import until_async


class Place(Provider):
    """A provider that is asked for its models at a host of its own name; with `key` None the client's key goes on."""

    def __init__(
        self,
        name: str,
        *patterns: str,
        models: tuple[str, ...] = (),
        speaks: str = "chat",
        key: str | None = "ours",
        priority: int = 1,
        asked: bool = True,
    ) -> None:
        self.name, self.type, self.priority = name, "place", priority
        self.patterns, self.models = (*models, *patterns), models
        self.speaks = frozenset((speaks,))
        self.sole_catch_all = not self.patterns
        self._key = key
        self._asked = asked

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest | None:
        if not self._asked:
            return None
        origin = Origin(scheme="http", host=self.name, port=80)
        return UpstreamRequest(origin=origin, method="GET", target=request.path, headers=Headers(), body=None)

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest | None:
        key = self._key or (request.headers.get("Authorization") if request else None)
        headers = Headers({"Authorization": key} if key else {})
        origin = Origin(scheme="http", host=self.name, port=80)
        return (
            UpstreamRequest(origin=origin, method="GET", target="/", headers=headers, body=None)
            if self._asked
            else None
        )


class Upstreams:
    """What the providers answer, by name: ids, bytes, an Answer, an error, or an Event to wait for."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.requests: list[UpstreamRequest] = []

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        """Return who was asked, with which key."""
        return [(request.origin.host, request.headers.get("Authorization")) for request in self.requests]

    async def ask(self, request: UpstreamRequest) -> Answer:
        self.requests.append(request)
        answer = self.answers[request.origin.host]
        if "/models/" in request.target and isinstance(answer, list):
            return Answer(status=404, headers=Headers(), body=b"{}")
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = ["late"]
        if isinstance(answer, ProxyError):
            raise answer
        if isinstance(answer, Answer):
            return answer
        body = answer if isinstance(answer, bytes) else json.dumps({"data": [_entry(each) for each in _items(answer)]})
        return Answer(status=200, headers=Headers(), body=body if isinstance(body, bytes) else body.encode())


def _items(answer: object) -> list[object]:
    assert isinstance(answer, list)
    return answer


def _entry(each: object) -> object:
    return {"id": each, "object": "model", "created": 7, "owned_by": "them"} if isinstance(each, str) else each


def asking(authorization: str | None = None) -> Exchange:
    return Exchange(
        id="1",
        method="GET",
        full_path="/v1/models",
        path="/v1/models",
        query="",
        headers=Headers({"Authorization": authorization} if authorization else {}),
        client=Client(address="127.0.0.1"),
        started_s=0.0,
        began_s=0.0,
    )


def models_of(upstreams: Upstreams, *providers: Provider, routes: tuple[Route, ...] = ()) -> ModelList:
    return ModelList(Router(providers, routes), providers, upstreams.ask)


async def found(models: ModelList, name: str) -> ListedModel:
    """Return the model as it is read, in chat; an answer that is passed on as it is must be an error."""
    exchange = asking()
    exchange.full_path = f"/v1/models/{name}"
    model = await models.relay_model(exchange, catalog.default(), name)
    if isinstance(model, Answer):
        raise ProxyError("passed on", status=model.status, code="model_not_found")
    return model


async def names(models: ModelList, exchange: Exchange | None = None, dialect: str = "chat") -> list[str]:
    return [model.id for model in (await models.all(exchange or asking(), dialect)).models]


async def test_a_model_is_listed_under_the_name_by_which_it_is_called() -> None:
    upstreams = Upstreams(vendor=["gpt-4o", "dall-e-3"], local=["llama3", "gpt-oss"])
    models = models_of(upstreams, Place("vendor", "gpt-*"), Place("local", "llama*", priority=2))

    # gpt-oss by itself would reach the vendor.
    assert await names(models) == ["vendor/dall-e-3", "gpt-4o", "local/gpt-oss", "llama3"]


async def test_a_service_without_patterns_lists_its_models_below_its_name() -> None:
    models = models_of(Upstreams(vendor=["gpt-4o"], hub=["org/m"]), Place("vendor", "gpt-*"), Place("hub"))

    assert await names(models) == ["gpt-4o", "hub/org/m"]


async def test_a_service_that_stands_alone_lists_them_as_they_are() -> None:
    assert await names(models_of(Upstreams(hub=["b", "org/a"]), Place("hub"))) == ["b", "org/a"]


async def test_names_of_the_configuration_come_first_and_patterns_are_no_names() -> None:
    vendor = Place("vendor", "gpt-*", models=("exact",))
    routes = tuple(Route(name=name, targets=(Target(provider=vendor, model="gpt-4o"),)) for name in ("smart", "x-*"))

    assert await names(models_of(Upstreams(vendor=["gpt-4o"]), vendor, routes=routes)) == ["smart", "exact", "gpt-4o"]


async def test_no_name_is_listed_twice() -> None:
    upstreams = Upstreams(vendor=["exact", "gpt-4o", "gpt-4o"], backup=["gpt-4o"])
    models = models_of(upstreams, Place("vendor", "gpt-*", models=("exact",)), Place("backup", "gpt-*", priority=2))

    assert await names(models) == ["exact", "gpt-4o", "backup/gpt-4o"]


async def test_what_a_provider_tells_of_a_configured_name_is_shown_with_it() -> None:
    models = models_of(Upstreams(vendor=[{"id": "exact", "context": 8}]), Place("vendor", models=("exact",)))

    (model,), missing = await models.all(asking(), "chat")
    assert not missing
    assert model.members == {"id": "exact", "context": 8}


@pytest.mark.parametrize(
    "answer",
    [
        UpstreamError("http://down could not be reached"),
        Answer(status=401, headers=Headers(), body=b'{"data": [{"id": "x"}]}'),
        b"<html>",
        b'{"list": []}',
        b'{"data": {"id": "x"}}',
        Answer(status=200, headers=Headers({"Content-Encoding": "gzip"}), body=b"no gzip"),
    ],
    ids=["unreachable", "refused", "no json", "no list", "list of another shape", "broken encoding"],
)
async def test_a_provider_that_fails_is_left_out_and_named_in_the_log(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    models = models_of(Upstreams(down=answer, up=["a"]), Place("down", "x*"), Place("up", "a*"))

    with caplog.at_level(logging.WARNING):
        (model,), missing = await models.all(asking(), "chat")
    assert (model.id, missing) == ("a", ["down"])
    assert len(caplog.records) == 1 and "'down'" in caplog.text


async def test_a_provider_that_is_slow_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    providers = (Place("slow", "x*"), Place("up", "a*"))
    upstreams = Upstreams(slow=asyncio.Event(), up=["a"])

    assert await names(ModelList(Router(providers), providers, upstreams.ask, timeout_s=0.01)) == ["a"]
    assert "'slow'" in caplog.text and "longer than 0.01 s" in caplog.text


async def test_a_slow_provider_delays_nobody_and_is_there_for_the_next_client() -> None:
    providers, arrives = (Place("slow", "x*"), Place("up", "a*")), asyncio.Event()
    upstreams = Upstreams(slow=["x"], up=["a"])

    async def ask(request: UpstreamRequest) -> Answer:
        if request.origin.host == "slow":
            await arrives.wait()
        return await upstreams.ask(request)

    models = ModelList(Router(providers), providers, ask, timeout_s=60.0, patience_s=0.01)
    listing = await models.all(asking(), "chat")
    assert ([each.id for each in listing.models], listing.missing) == (["a"], ["slow"])
    arrives.set()
    await until_async(lambda: upstreams.asked.count(("slow", "ours")) == 1, "the list to be fetched")
    assert await names(models) == ["x", "a"]
    assert upstreams.asked.count(("slow", "ours")) == 1, "it was fetched once"
    await models.close()


async def test_closed_it_gives_up_what_it_fetches() -> None:
    providers = (Place("slow", "x*"), Place("up", "a*"))
    models = ModelList(Router(providers), providers, Upstreams(slow=asyncio.Event(), up=["a"]).ask, patience_s=0.01)
    await models.start()
    assert await names(models) == ["a"]
    await models.close()
    assert len(asyncio.all_tasks()) == 1, "nothing of it is left"


async def test_providers_are_asked_at_the_same_time() -> None:
    both = asyncio.Barrier(2)
    upstreams = Upstreams(a=["a"], b=["b"])

    async def ask(request: UpstreamRequest) -> Answer:
        await both.wait()
        return await upstreams.ask(request)

    providers = (Place("a", "a*"), Place("b", "b*"))
    assert await names(ModelList(Router(providers), providers, ask)) == ["a", "b"]


async def test_when_nobody_could_be_asked_that_is_said_rather_than_an_empty_list() -> None:
    models = models_of(Upstreams(down=UpstreamError("gone")), Place("down", "x*"))

    with pytest.raises(UpstreamError, match="down"):
        await models.all(asking(), "chat")


async def test_providers_without_models_make_an_empty_list() -> None:
    assert await names(models_of(Upstreams(vendor=[]), Place("vendor", "x*"))) == []


async def test_a_provider_that_nobody_can_ask_lists_what_it_knows_by_itself() -> None:
    assert await names(models_of(Upstreams(), Place("stub", models=("canned",), asked=False))) == ["canned"]


async def test_a_list_is_kept_for_the_next_client() -> None:
    upstreams = Upstreams(vendor=["gpt-4o"])
    models = models_of(upstreams, Place("vendor", "gpt-*"))

    await names(models)
    await names(models, asking("Bearer theirs"))
    assert upstreams.asked == [("vendor", "ours")]


async def test_clients_that_ask_together_make_one_call() -> None:
    upstreams = Upstreams(vendor=["gpt-4o"])
    models = models_of(upstreams, Place("vendor", "gpt-*"))

    assert await asyncio.gather(*(names(models) for _ in range(5))) == [["gpt-4o"]] * 5
    assert len(upstreams.asked) == 1


async def test_a_failure_is_kept_too_so_that_a_dead_provider_does_not_slow_every_call() -> None:
    upstreams = Upstreams(down=UpstreamError("gone"), up=["a"])
    models = models_of(upstreams, Place("down", "x*"), Place("up", "a*"))

    await names(models)
    await names(models)
    assert [name for name, _ in upstreams.asked].count("down") == 1


async def test_after_a_minute_providers_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    upstreams = Upstreams(vendor=["gpt-4o"])
    models = models_of(upstreams, Place("vendor", "gpt-*"))
    now_s = 1000.0
    monkeypatch.setattr("llmproxy.server.pages.models.time.monotonic", lambda: now_s)
    await names(models)

    upstreams.answers["vendor"] = ["gpt-5"]
    now_s = 1059.0
    assert await names(models) == ["gpt-4o"]
    now_s = 1061.0
    assert await names(models) == ["gpt-5"]


async def test_a_list_that_one_clients_key_got_is_for_that_client_alone() -> None:
    upstreams = Upstreams(vendor=["gpt-4o"])
    models = models_of(upstreams, Place("vendor", "gpt-*", key=None))

    await names(models, asking("Bearer one"))
    await names(models, asking("Bearer two"))
    await names(models)
    assert upstreams.asked == [("vendor", "Bearer one"), ("vendor", "Bearer two"), ("vendor", None)]


@pytest.mark.parametrize("name", ["x-api-key", "Cookie", "x-portkey-api-key", "cf-aig-authorization"])
async def test_so_is_one_that_any_other_credential_got(name: str) -> None:
    upstreams = Upstreams(gateway=["a"])
    keys = {"name": "gateway", "type": "openai", "base_url": "http://gateway/v1", "proxy": None}
    models = models_of(upstreams, OpenAI(OpenAI.Config.model_validate(keys)))
    for value in ("first-key", "second-key"):
        exchange = asking()
        exchange.headers[name] = value
        await names(models, exchange)
    assert [request.headers.get(name) for request in upstreams.requests] == ["first-key", "second-key"]


async def test_a_clients_key_is_shown_to_one_provider_that_speaks_its_dialect_and_to_nobody_else() -> None:
    upstreams = Upstreams(claude=["c"], vendor=["gpt-4o"], other=["o"])
    providers = (
        Place("claude", "c*", speaks="messages", key=None),
        Place("vendor", "gpt-*", key=None),
        Place("other", "o*", key=None),
    )

    await names(models_of(upstreams, *providers), asking("Bearer mine"), "chat")
    assert sorted(upstreams.asked) == [("claude", None), ("other", None), ("vendor", "Bearer mine")]

    upstreams.requests.clear()
    await names(models_of(upstreams, *providers), asking("Bearer mine"), "messages")
    assert sorted(upstreams.asked) == [("claude", "Bearer mine"), ("other", None), ("vendor", None)]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_compressed_list_is_read(encoding: str) -> None:
    body = compress(b'{"data": [{"id": "a"}]}', encoding)
    answer = Answer(status=200, headers=Headers({"Content-Encoding": encoding}), body=body)

    assert await names(models_of(Upstreams(vendor=answer), Place("vendor"))) == ["a"]


async def test_a_bare_list_is_read_and_entries_without_a_name_are_passed_over() -> None:
    assert await names(models_of(Upstreams(hub=b'[{"id": "a"}, {"id": 7}, {}, "b", null]'), Place("hub"))) == ["a"]


async def test_one_model_is_found_by_each_name_that_reaches_it() -> None:
    upstreams = Upstreams(vendor=["gpt-4o"], hub=["org/m"])
    models = models_of(upstreams, Place("vendor", "gpt-*", models=("exact",)), Place("hub"))

    for name in ("gpt-4o", "vendor/gpt-4o", "hub/org/m", "exact", "vendor/exact"):
        assert (await found(models, name)).id == name


@pytest.mark.parametrize("name", ["gpt-5", "vendor/gpt-5", "org/m", "hub/", "", "x" * 500])
async def test_a_model_that_nobody_has_is_a_404(name: str) -> None:
    models = models_of(Upstreams(vendor=["gpt-4o"], hub=["org/m"]), Place("vendor", "gpt-*"), Place("hub"))

    with pytest.raises(ProxyError) as caught:
        await found(models, name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_a_model_of_a_provider_that_could_not_be_asked_is_not_denied() -> None:
    upstreams = Upstreams(down=UpstreamError("gone"), up=["a"])
    models = models_of(upstreams, Place("down", "x*", models=("known",)), Place("up", "a*"))

    with pytest.raises(UpstreamError, match="gone"):
        await found(models, "x1")
    assert (await found(models, "a")).owner == "up"
    assert (await found(models, "known")).owner == "down"


async def test_a_model_of_a_provider_that_answers_by_itself_needs_no_call() -> None:
    upstreams = Upstreams()
    models = models_of(upstreams, Place("self", "x*", asked=False), Place("other", "y*", asked=False))

    assert (await found(models, "x1")).owner == (await found(models, "self/anything")).owner == "self"
    assert upstreams.requests == []


async def test_a_description_in_another_dialect_is_read_and_anything_else_is_an_error() -> None:
    claude = Answer(status=200, headers=Headers(), body=b'{"id": "theirs", "display_name": "C"}')
    models = models_of(
        Upstreams(claude=claude, main=[]), Place("claude", "claude-*", speaks="messages"), Place("main", "gpt-*")
    )
    model = await found(models, "claude-x")
    assert (model.id, model.members["display_name"]) == ("claude-x", "C")

    for status, body in [(500, b"{}"), (200, b"[]"), (200, b"<html>")]:
        claude.status, claude.body = status, body
        with pytest.raises(UpstreamError, match="'claude'"):
            await found(models, "claude-x")


async def test_the_only_provider_is_not_asked_for_its_list_first() -> None:
    shown = Answer(status=200, headers=Headers(), body=b'{"id":"m"}')
    upstreams = Upstreams(hub=shown)
    models = models_of(upstreams, Place("hub"))

    assert await models.relay_model(asking(), catalog.default(), "m") is shown
    assert await models.relay_list(asking(), catalog.default()) is shown
    assert [request.target for request in upstreams.requests] == ["/v1/models", "/v1/models"]


@pytest.mark.parametrize(
    "places",
    [
        (Place("hub"), Place("vendor", "gpt-*")),
        (Place("hub", "gpt-*"),),
        (Place("hub", "*", models=("own",)),),
        (Place("hub", speaks="messages"),),
        (Place("hub", asked=False),),
    ],
    ids=["another provider", "some models", "a name of the configuration", "another dialect", "no list"],
)
async def test_what_is_to_be_merged_is_not_relayed(places: tuple[Place, ...]) -> None:
    models = models_of(Upstreams(), *places)
    assert await models.relay_list(asking(), catalog.default()) is None

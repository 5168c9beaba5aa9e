"""What clients with limits and budgets get, and what is counted however their requests end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

import pytest

from llmproxy.client_key import ClientKey
from llmproxy.errors import ProxyError
from llmproxy.limit import Budget, Limit, LimitMatch
from llmproxy.middleware.cache import Cache
from llmproxy.middleware.limits import ClientLimits, QuotasConfig
from llmproxy.route import Route
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.open_stores import OpenStore, Stores
from llmproxy.stores.quotas import Quota, QuotaStore, Settlement, Taken
from llmproxy.target import Target
from tests.support import vendors
from tests.support.exchanges import NamedProvider, new_exchange
from tests.support.limited import EasyPrices, limited
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Scripted, provider
from tests.support.raw_http import Cut
from tests.support.waiting import until

REQUESTS = Limit(kind="requests", amount=2, per_s=60)
TOKENS = Limit(kind="tokens", amount=100_000, per_s=60)
ONE = Limit(kind="concurrent", amount=1)
DAY = Budget(max_cost=100_000, period="day")
SMALL = ASK | {"max_tokens": 1}
USED = 248  # tokens of the fake vendor's answer
STREAM = ASK | {"stream": True, "stream_options": {"include_usage": True}}


def test_a_request_beyond_a_limit_is_refused_before_any_upstream_work(upstream: Upstream) -> None:
    with limited(REQUESTS, providers=[provider(upstream)]) as here:
        answers = [here.server.post() for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.value("x-ratelimit-remaining-requests") for answer in answers] == ["1", "0", "0"]
    assert len(upstream.requests) == 2
    refused = answers[2]
    assert json.loads(refused.body)["error"]["code"] == "rate_limit_exceeded"
    assert 59 <= int(refused.value("retry-after") or 0) <= 61
    assert refused.value("x-llmproxy-error") == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("path", "header", "kind"),
    [
        (CHAT, "x-ratelimit-limit-requests", "rate_limit_error"),
        ("/v1/responses", "x-ratelimit-limit-requests", "rate_limit_error"),
        ("/v1/messages", "anthropic-ratelimit-requests-limit", "rate_limit_error"),
        ("/v1beta/models/m:generateContent", "x-ratelimit-limit-requests", "RESOURCE_EXHAUSTED"),
        ("/model/m/converse", "x-ratelimit-limit-requests", "ThrottlingException"),
    ],
)
def test_the_answer_is_in_the_clients_dialect(path: str, header: str, kind: str) -> None:
    with limited(Limit(kind="requests", amount=1, per_s=1), providers=[Scripted("s", ProxyError("x"))]) as here:
        here.server.post(path=path)
        refused = here.server.post(path=path)

    assert (refused.status, refused.value(header)) == (429, "1")
    assert kind in (refused.body.decode() + (refused.value("x-amzn-errortype") or ""))


def test_the_reported_tokens_count_in_place_of_the_estimate(upstream: Upstream) -> None:
    with limited(TOKENS, DAY, providers=[provider(upstream)]) as here:
        for body in (ASK, STREAM):
            first = here.server.post(body)
            assert int(first.value("x-ratelimit-remaining-tokens") or 0) < 100_000 - 500
        here.server.wait_ended(2)

        assert (here.used("tokens"), here.used("budget")) == (2 * USED, 2 * USED)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_failed_call_counts_as_a_request_and_costs_nothing(upstream: Upstream, status: int) -> None:
    upstream.next(vendors.failure(status, "No"))
    with limited(REQUESTS, TOKENS, DAY, providers=[provider(upstream)]) as here:
        assert here.server.post().status == status
        here.server.wait_ended()

        assert (here.used("requests"), here.used("tokens"), here.used("budget")) == (1, 0, 0)


def test_a_cached_answer_counts_as_a_request_and_costs_nothing(upstream: Upstream) -> None:
    body = ASK | {"temperature": 0}
    cache = Cache(Cache.Config())
    rules = Limit(kind="requests", amount=9, per_s=60), TOKENS, DAY
    with limited(*rules, providers=[provider(upstream)], inner=[cache]) as here:
        assert here.server.post(body).value("x-cache") == "miss"
        here.server.wait_ended()
        assert here.server.post(body).value("x-cache") == "hit"
        here.server.wait_ended(2)

        assert (here.used("requests"), here.used("tokens"), here.used("budget")) == (2, USED, USED)


def test_usage_that_never_comes_is_counted_as_estimated_and_listed(upstream: Upstream) -> None:
    upstream.next(vendors.plain({**vendors.chat("gpt-x"), "usage": None}))
    with limited(TOKENS, providers=[provider(upstream)]) as here:
        here.server.post(SMALL)
        here.server.wait_ended()

        assert here.used("tokens") == len(json.dumps(SMALL)) // 4 + 2
        assert here.stats()["rules"][0]["estimated"] == 1


def test_a_model_without_a_price_costs_nothing_and_is_listed(upstream: Upstream) -> None:
    with limited(DAY, providers=[provider(upstream, models=["*"])]) as here:
        here.server.post(ASK | {"model": "free-1"})
        here.server.wait_ended()

        assert here.used("budget") == 0
        assert here.stats()["rules"][0]["unpriced"] == 1


def test_a_larger_request_than_the_limit_passes_when_nothing_else_counts(upstream: Upstream) -> None:
    with limited(Limit(kind="tokens", amount=10, per_s=60), providers=[provider(upstream)]) as here:
        statuses = []
        for count in (1, 2):
            statuses.append(here.server.post().status)
            here.server.wait_ended(count)

    assert statuses == [200, 429]


def test_calls_without_tokens_pass_when_tokens_are_used_up(upstream: Upstream) -> None:
    with limited(Limit(kind="tokens", amount=10, per_s=60), providers=[provider(upstream)]) as here:
        here.server.post()
        here.server.wait_ended()
        counted = here.server.post(ASK, path="/v1/messages/count_tokens")

    assert counted.status != 429


ENDS = {
    "answer": vendors.plain(vendors.chat("gpt-x")),
    "stream": vendors.streamed(vendors.chat_frames("gpt-x")),
    "error": vendors.failure(500, "No"),
    "reset": Reply(end="reset", framing="none"),
    "cut answer": Reply(pieces=[b"{"], length=100, end="cut"),
    "cut stream": vendors.streamed(vendors.chat_frames("gpt-x")[:2]).but(end="reset"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_runs_is_released_however_it_ends(upstream: Upstream, end: str) -> None:
    upstream.next(ENDS[end])
    with limited(ONE, providers=[provider(upstream)]) as here:
        with here.server.client() as client:
            client.post(CHAT, STREAM if "stream" in end else ASK)
            with contextlib.suppress(Cut):
                client.read_answer()
        here.server.wait_ended()
        assert here.used("concurrent") == 0
        assert here.server.post().status == 200


def test_what_runs_is_released_when_the_client_leaves(upstream: Upstream) -> None:
    upstream.hold()
    with limited(ONE, DAY, providers=[provider(upstream)]) as here:
        with here.server.client() as client:
            client.post(CHAT, ASK)
            until(lambda: len(upstream.requests) == 1, "the request to arrive")
            refused = here.server.post()
        until(lambda: len(here.server.ended) == 2, "the exchanges to end")
        assert (here.used("concurrent"), here.used("budget")) == (0, 0)
        assert here.server.post().status == 200

    assert refused.status == 429
    assert refused.value("retry-after") == "1"
    assert "requests at a time" in refused.body.decode()


def test_clients_that_share_a_call_are_released_and_one_pays(upstream: Upstream) -> None:
    upstream.hold()
    body = ASK | {"temperature": 0}
    rules = Limit(kind="concurrent", amount=2), TOKENS, DAY
    with limited(*rules, providers=[provider(upstream)], inner=[Cache(Cache.Config())]) as here:
        with here.server.client() as one, here.server.client() as two:
            one.post(CHAT, body)
            call = upstream.take()
            two.post(CHAT, body)
            until(lambda: here.used("concurrent") == 2, "both to run")
            call.give(vendors.plain(vendors.chat("gpt-x")))
            assert [client.read_answer().status for client in (one, two)] == [200, 200]
        here.server.wait_ended(2)

        assert (here.used("concurrent"), here.used("tokens"), here.used("budget")) == (0, USED, USED)
    assert len(upstream.requests) == 1


def test_a_stream_that_the_client_leaves_is_charged_for_what_it_got(upstream: Upstream) -> None:
    upstream.hold()
    with limited(TOKENS, DAY, providers=[provider(upstream)]) as here:
        with here.server.client() as client:
            client.post(CHAT, STREAM)
            call = upstream.take()
            frames = vendors.chat_frames("gpt-x")[:3]
            call.give(Reply(headers=vendors.SSE, pieces=frames, framing="chunked", end="cut"))
            client.read_head()
            client.read_body_until(b"data:")
        here.server.wait_ended()
        used = here.used("tokens")

        assert 20 < float(str(used)) < 100
        assert here.used("budget") == used


def test_a_budget_that_is_used_up_refuses_for_good(upstream: Upstream) -> None:
    with limited(Budget(max_cost=20, period="month", warn_at=None), providers=[provider(upstream)]) as here:
        assert here.server.post(SMALL).status == 200
        here.server.wait_ended()
        refused = here.server.post(SMALL)
        row = here.stats()["budgets"][0]

    assert refused.status == 429
    assert json.loads(refused.body)["error"]["code"] == refused.value("x-llmproxy-error") == "budget_exceeded"
    assert refused.value("x-should-retry") == "false"
    assert int(refused.value("retry-after") or 0) > 0
    assert (row["used"], row["left"]) == (USED, 0)


def test_a_budget_that_is_reserved_may_be_free_again_soon(upstream: Upstream) -> None:
    upstream.hold()
    with limited(Budget(max_cost=600, period="day"), providers=[provider(upstream)]) as here:
        with here.server.client() as client:
            client.post(CHAT, ASK)
            until(lambda: len(upstream.requests) == 1, "the request to arrive")
            refused = here.server.post()
        until(lambda: len(here.server.ended) == 2, "the exchanges to end")

    assert (refused.status, refused.value("x-llmproxy-error")) == (429, "rate_limit_exceeded")
    assert refused.value("retry-after") == "1"


def test_a_budget_warns_once(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    with limited(Budget(max_cost=300, period="day", warn_at=0.8), providers=[provider(upstream)]) as here:
        warnings = []
        for count in (1, 2, 3):
            warnings.append(here.server.post(SMALL).value("x-llmproxy-budget-warning"))
            here.server.wait_ended(count)
        metrics = here.server.begin(here.limits.metrics()).result()

    assert warnings[0] is None
    assert [each for each in warnings if each] == ["80% of 300 USD per day used for all clients together"]
    assert caplog.messages == ["budget: 80% of 300 USD per day used for all clients together"]
    assert {sample.name: sample.value for sample in metrics}["llmproxy_budget_warnings"] == 1


def test_a_budget_that_is_used_up_sends_requests_to_another_model(upstream: Upstream) -> None:
    budget = Budget(max_cost=20, period="day", route="gpt-cheap")
    with limited(budget, providers=[provider(upstream)]) as here:
        assert here.server.post().value("x-llmproxy-budget-route") is None
        here.server.wait_ended()
        rerouted = [here.server.post(ASK | {"model": model}) for model in ("gpt-x", "gpt-cheap")]
        last = here.server.wait_ended(3)
        models = [json.loads(request.body)["model"] for request in upstream.requests]

    assert models == ["gpt-x", "gpt-cheap", "gpt-cheap"]
    assert [answer.value("x-llmproxy-budget-route") for answer in rerouted] == ["gpt-cheap", None]
    assert here.server.ended[1].rerouted_from == "gpt-x"
    assert last.rerouted_from is None


CHEAP = LimitMatch(models=("gpt-cheap",))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (Limit(kind="requests", amount=1, per_s=60, match=CHEAP), "rate_limit_exceeded"),
        (Budget(max_cost=20, period="day", match=CHEAP), "budget_exceeded"),
        (Budget(max_cost=20, period="day", match=CHEAP, route="gpt-x"), "budget_exceeded"),
    ],
)
def test_what_limits_the_other_model_counts_what_a_budget_sends_there(
    upstream: Upstream, rule: Limit | Budget, code: str
) -> None:
    budget = Budget(max_cost=20, period="day", route="gpt-cheap", match=LimitMatch(models=("gpt-x",)))
    with limited(budget, rule, providers=[provider(upstream)]) as here:
        for ended in (1, 2):
            assert here.server.post().status == 200
            here.server.wait_ended(ended)
        refused = here.server.post()

    assert (refused.status, refused.value("x-llmproxy-error")) == (429, code)
    assert [json.loads(request.body)["model"] for request in upstream.requests] == ["gpt-x", "gpt-cheap"]


def test_a_budget_of_the_other_model_may_send_requests_further(upstream: Upstream) -> None:
    first = Budget(max_cost=20, period="day", route="gpt-cheap", match=LimitMatch(models=("gpt-x",)))
    second = Budget(max_cost=20, period="day", route="gpt-free", match=CHEAP)
    with limited(first, second, ONE, providers=[provider(upstream)]) as here:
        for ended in (1, 2, 3):
            answer = here.server.post()
            last = here.server.wait_ended(ended)
        running = here.used("concurrent")

    assert [json.loads(request.body)["model"] for request in upstream.requests] == ["gpt-x", "gpt-cheap", "gpt-free"]
    assert (answer.value("x-llmproxy-budget-route"), last.rerouted_from) == ("gpt-free", "gpt-x")
    assert running == 0


async def test_a_client_that_may_not_use_the_other_model_is_refused() -> None:
    budget = Budget(max_cost=1, period="day", route="cheap", scope="key")
    limits = ClientLimits(QuotasConfig(), [budget], EasyPrices())
    limits.use_stores(Stores())
    first, second = (new_exchange(body=ASK) for _ in range(2))
    for exchange in (first, second):
        exchange.client.key = ClientKey(id="a", name="anna", tenant="a", models=("gpt-*",))
        exchange.route = Route(name="m", targets=(Target(provider=NamedProvider("main"), model="gpt-x"),))
    await limits.on_request(first)
    with pytest.raises(ProxyError) as refused:
        await limits.on_request(second)

    assert refused.value.code == "budget_exceeded"


class _Broken(QuotaStore):
    """A store that does not answer until `works`."""

    works = False

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        if not self.works:
            raise StoreFault("it is gone")
        return Taken(used=[0.0] * len(quotas), slots=[0] * len(quotas))

    def settle(self, settlements: Sequence[Settlement]) -> None:
        return


class _BrokenStores(Stores):
    def open(self, name: str = "default") -> OpenStore:
        store = super().open(name)
        store.quotas = lambda max_counters: _Broken()  # type: ignore[method-assign]
        return store


def test_this_process_counts_alone_while_the_store_does_not_answer(upstream: Upstream) -> None:
    with limited(REQUESTS, providers=[provider(upstream)], stores=_BrokenStores()) as here:
        statuses = [here.server.post().status for _ in range(3)]
        used = here.used("requests")

    assert statuses == [200, 200, 429]
    assert used == 2


def test_requests_can_be_refused_while_the_store_does_not_answer(upstream: Upstream) -> None:
    with limited(REQUESTS, providers=[provider(upstream)], stores=_BrokenStores(), denies=True) as here:
        refused = here.server.post()

    assert (refused.status, refused.value("retry-after")) == (503, "1")
    assert json.loads(refused.body)["error"]["code"] == "limits_unavailable"

from __future__ import annotations

from dataclasses import replace

from llmproxy.client_key import ClientKey
from llmproxy.limit import Budget, Limit, LimitMatch
from llmproxy.limiting.plan import MAX_SEEN, Planner
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.exchanges import NamedProvider, new_exchange

BODY = {"model": "gpt-4o", "messages": []}
PER_KEY = Limit(kind="requests", amount=10, per_s=60)
TOKENS = Limit(kind="tokens", amount=10, per_s=60, scope="global")
DAY = Budget(max_cost=1, period="day")
CI = ClientKey(id="ci", name="ci", tenant="ci")


def test_a_request_that_no_rule_counts_needs_nothing() -> None:
    assert Planner([]).plan(new_exchange(body=BODY)) is None
    nobody = replace(PER_KEY, match=LimitMatch(models=("claude-*",)))
    assert Planner([nobody]).plan(new_exchange(body=BODY)) is None


def test_a_request_needs_something_of_every_rule_that_counts_it() -> None:
    demand = Planner([PER_KEY, TOKENS, DAY]).plan(new_exchange(body=BODY))

    assert demand is not None
    amounts = dict(zip((rule.kind for rule in demand.rules), demand.amounts, strict=True))
    assert amounts == {"requests": 1, "tokens": 0, "budget": 0}
    assert [demand.rules[place].kind for place in (*demand.tokens, *demand.costs)] == ["tokens", "budget"]


def test_requests_that_are_alike_share_a_plan() -> None:
    planner = Planner([TOKENS, replace(TOKENS, scope="model")])

    assert planner.plan(new_exchange(body=BODY)) is planner.plan(new_exchange(body=BODY))
    other = planner.plan(new_exchange(body={"model": "other"}))
    assert other is not planner.plan(new_exchange(body=BODY))


def test_clients_without_a_key_are_counted_by_their_address() -> None:
    planner = Planner([PER_KEY])
    exchanges = [new_exchange(body=BODY) for _ in range(3)]
    exchanges[2].client.address = "10.0.0.1"
    keys = [demand.quotas[0].key for each in exchanges if (demand := planner.plan(each))]

    assert keys[0] == keys[1] != keys[2]


def test_a_key_has_its_own_rules_beside_those_of_the_configuration() -> None:
    planner = Planner([TOKENS])
    exchange = new_exchange(body=BODY)
    exchange.client.key = replace(CI, limits=(PER_KEY,), budgets=(DAY,))
    demand = planner.plan(exchange)

    assert demand is not None
    assert [rule.kind for rule in demand.rules] == ["requests", "budget", "tokens"]
    assert all("ci" in quota.key for quota in demand.quotas[:2])
    assert len(planner.all_rules()) == 3


def test_a_key_that_changed_has_its_new_rules() -> None:
    planner = Planner([])
    exchange = new_exchange(body=BODY)
    exchange.client.key = replace(CI, limits=(PER_KEY,))
    before = planner.plan(exchange)
    exchange.client.key = replace(CI, limits=(replace(PER_KEY, amount=99),))
    after = planner.plan(exchange)

    assert before is not None and after is not None
    assert (before.rules[0].limit, after.rules[0].limit) == (10, 99)
    assert before.quotas[0].key == after.quotas[0].key


def test_two_keys_of_one_client_share_its_rules() -> None:
    planner, exchange = Planner([]), new_exchange(body=BODY)
    demands = []
    for key in (CI, replace(CI, id="new", expires_s=1.0), CI):
        exchange.client.key = replace(key, limits=(PER_KEY,))
        demands.append(planner.plan(exchange))

    assert demands[0] is demands[1] is demands[2] is not None


def test_the_provider_of_a_rule_is_the_first_that_the_request_would_go_to() -> None:
    planner = Planner([replace(PER_KEY, match=LimitMatch(providers=("azure",)))])
    exchange = new_exchange(body=BODY)
    assert planner.plan(exchange) is None
    targets = tuple(Target(provider=NamedProvider(name), model=None) for name in ("azure", "openai"))
    exchange.route = Route(name="r", targets=targets)
    assert planner.plan(exchange) is not None
    exchange.route = Route(name="r", targets=targets[::-1])
    assert planner.plan(exchange) is None


def test_a_model_is_counted_by_its_name_with_and_without_the_provider() -> None:
    of_model = [replace(TOKENS, match=LimitMatch(models=("gpt-4o",))), replace(TOKENS, scope="model")]
    planner = Planner(of_model)
    usual, named = new_exchange(body=BODY), new_exchange(body={"model": "azure/gpt-4o"})
    planner.plan(named)  # without a route nobody knows that it names a provider
    target = Target(provider=NamedProvider("azure"), model="gpt-4o")
    named.route = Route(name="azure/*", targets=(target,))
    demands = [planner.plan(each) for each in (usual, named)]

    assert demands[0] is not None and demands[1] is not None
    assert [each.key for each in demands[0].quotas] == [each.key for each in demands[1].quotas]
    assert len(demands[0].quotas) == 2


def test_a_new_period_begins_a_new_counter() -> None:
    planner = Planner([DAY])
    keys = set()
    for day in (0, 1, 1, 0):
        exchange = new_exchange(body=BODY)
        exchange.began_s += day * 86400
        demand = planner.plan(exchange)
        assert demand is not None
        keys.add(demand.quotas[0].key)

    assert len(keys) == 2


def test_counters_that_clients_choose_push_out_no_others() -> None:
    planner = Planner([PER_KEY, TOKENS])
    for number in range(MAX_SEEN + 5):
        exchange = new_exchange(body=BODY)
        exchange.client.address = f"10.0.{number // 256}.{number % 256}"
        planner.plan(exchange)
    listed = planner.seen.listed()

    assert len(listed) == MAX_SEEN + 1
    assert listed[0].rule.kind == "tokens"


def test_a_call_without_tokens_needs_nothing_of_what_measures_them() -> None:
    demand = Planner([PER_KEY, TOKENS, DAY]).plan(new_exchange(body=BODY))
    assert demand is not None
    left = demand.without_measured()
    only_measured = Planner([TOKENS, DAY]).plan(new_exchange(body=BODY))

    assert left is not None
    assert [rule.kind for rule in left.rules] == ["requests"]
    assert only_measured is not None
    assert only_measured.without_measured() is None

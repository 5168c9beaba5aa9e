from __future__ import annotations

import math

import pytest

from llmproxy.client_key import ClientKey
from llmproxy.limit import Budget, Limit, LimitMatch
from llmproxy.limiting.rules import Rule, make_rules
from tests.support.exchanges import new_exchange

BODY = {"model": "gpt-4o", "messages": []}
CI = ClientKey(id="ci", name="ci", tenant="ci", team="search")


@pytest.mark.parametrize(
    ("match", "counted"),
    [
        (LimitMatch(), True),
        (LimitMatch(models=("gpt-*",)), True),
        (LimitMatch(models=("claude-*", "gpt-4o")), True),
        (LimitMatch(models=("claude-*",)), False),
        (LimitMatch(keys=("c*",), teams=("search",)), True),
        (LimitMatch(keys=("c*",), teams=("sales",)), False),
        (LimitMatch(paths=("/v1/chat/*",)), True),
        (LimitMatch(paths=("/v1/embeddings",)), False),
        (LimitMatch(providers=("open*",)), True),
        (LimitMatch(providers=("azure",)), False),
    ],
)
def test_a_rule_counts_the_requests_that_fit_all_its_patterns(match: LimitMatch, counted: bool) -> None:
    exchange = new_exchange(body=BODY)
    exchange.client.key = CI

    assert Rule(Limit(kind="requests", amount=1, per_s=60, match=match)).counts(exchange, "openai") is counted


def test_patterns_of_keys_never_fit_a_client_without_one() -> None:
    rule = Rule(Limit(kind="requests", amount=1, per_s=60, match=LimitMatch(keys=("*",))))

    assert not rule.counts(new_exchange(body=BODY), "openai")


@pytest.mark.parametrize(
    ("scope", "subject", "without_key"),
    [
        ("key", "ci", "127.0.0.1"),
        ("team", "search", None),
        ("address", "127.0.0.1", "127.0.0.1"),
        ("model", "gpt-4o", "gpt-4o"),
        ("session", "s1", "s1"),
        ("global", "", ""),
    ],
)
def test_the_scope_says_what_has_a_counter(scope: str, subject: str, without_key: str | None) -> None:
    rule = Rule(Limit(kind="requests", amount=1, per_s=60, scope=scope))  # type: ignore[arg-type]
    exchange = new_exchange("/v1/chat/completions", ("x-session-id", "s1"), body=BODY)
    without = rule.subject(exchange)
    exchange.client.key = CI

    assert (rule.subject(exchange), without) == (subject, without_key)


def test_operators_learn_whose_counter_it_is() -> None:
    exchange = new_exchange(body={"model": "gpt-4o"})
    day = Budget(max_cost=1, period="day", scope="key")
    everybody = Budget(max_cost=1, period="day")
    assert Rule(day).counter_of(exchange) == f"address {exchange.client.address!r}"
    exchange.client.key = ClientKey(id="x", name="ci", tenant="ci")
    assert Rule(day).counter_of(exchange) == "key 'ci'"
    assert Rule(everybody).counter_of(exchange) == "all clients together"
    assert Rule(everybody, "key ci").counter_of(exchange) == "key ci"


def test_an_address_cannot_pass_for_a_key() -> None:
    rule = Rule(Limit(kind="requests", amount=1, per_s=60))
    exchange, keyed = new_exchange(body=BODY), new_exchange(body=BODY)
    keyed.client.key = ClientKey(id="x", name="127.0.0.1", tenant="x")
    quotas = [rule.quota_for(each, rule.subject(each) or "") for each in (exchange, keyed)]

    assert quotas[0].key != quotas[1].key
    assert [quota.chosen for quota in quotas] == [True, False]


def test_a_session_is_counted_for_its_client_alone() -> None:
    rule = Rule(Budget(max_cost=1, period="session", scope="session"))
    one, other = (new_exchange("/v1/chat/completions", ("x-session-id", "s"), body=BODY) for _ in range(2))
    other.client.address = "10.0.0.1"

    assert rule.quota_for(one, "s").key != rule.quota_for(other, "s").key
    assert rule.quota_for(one, "s").chosen


@pytest.mark.parametrize("model", ["m" * 1_000_000, "a\nb", "\udcff"])
def test_what_clients_send_makes_short_names_of_counters(model: str) -> None:
    rule = Rule(Limit(kind="requests", amount=1, per_s=60, scope="model"))
    key = rule.quota_for(new_exchange(body=BODY), model).key

    assert len(key) < 200
    assert key.encode().isascii()


def test_counters_go_on_when_only_the_amount_changes() -> None:
    before, after = (Rule(Limit(kind="tokens", amount=amount, per_s=60)) for amount in (10, 20))
    other = Rule(Limit(kind="tokens", amount=10, per_s=90))

    assert before.name == after.name != other.name


def test_two_rules_that_count_the_same_have_counters_of_their_own() -> None:
    rules = make_rules([Limit(kind="requests", amount=amount, per_s=60) for amount in (5, 10, 20)])

    assert len({rule.name for rule in rules}) == 3


def test_a_budget_is_counted_in_its_period() -> None:
    rule = Rule(Budget(max_cost=100, period="day", warn_at=0.5))
    first, following = rule.quota("", 1_700_000_000), rule.quota("", 1_700_086_400)

    assert first.key != following.key
    assert (first.kind, first.limit, first.warn_at) == ("total", 100, 50)
    assert first.ends_s == 1_700_006_400
    assert Rule(Budget(max_cost=1, period="total", warn_at=None)).quota("", 0).warn_at == math.inf


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Limit(kind="requests", amount=6000, per_s=60), "6,000 requests per minute"),
        (Limit(kind="tokens", amount=10, per_s=90), "10 tokens per 90s"),
        (Limit(kind="concurrent", amount=5), "5 requests at a time"),
        (Limit(kind="cost", amount=0.5, per_s=3600), "0.5 USD per hour"),
        (Budget(max_cost=2.5, period="session"), "2.5 USD per session"),
        (Budget(max_cost=1000, period="total"), "1,000 USD in total"),
    ],
)
def test_a_rule_says_what_it_allows(rule: Limit | Budget, text: str) -> None:
    assert Rule(rule).text == text

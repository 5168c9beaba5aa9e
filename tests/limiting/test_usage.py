from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.limiting.usage import USUAL_OUTPUT, expected_tokens, used_cost, used_tokens
from llmproxy.pricing.prices import Prices
from llmproxy.target import Target
from llmproxy.wire.sse import SSE
from tests.support.exchanges import ended, new_exchange

EXPECTED = (100, 50)


class DollarATokenPrices(Prices):
    """A dollar for each token."""

    def __init__(self) -> None:
        return

    def cost(self, target: Target, model: str | None, usage: Usage | None, *more: object, **options: object) -> float:
        assert usage is not None
        return float((usage.input or 0) + (usage.output or 0))


class UnknownPrices(DollarATokenPrices):
    """No price."""

    def cost(  # type: ignore[override]  # None too
        self, target: Target, model: str | None, usage: Usage | None, *more: object, **options: object
    ) -> float | None:
        return None


def without_usage(**changes: object) -> Exchange:
    return ended(summary=Summary(), **changes)


def streamed(**changes: object) -> Exchange:
    answer = Answer(status=200, headers=Headers(), framing=SSE)
    return ended(answer=answer, **changes)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({"model": "m", "messages": []}, USUAL_OUTPUT),
        ({"model": "m", "max_tokens": 32_000}, USUAL_OUTPUT),
        ({"model": "m", "max_tokens": 7}, 7),
    ],
)
def test_the_output_is_expected_to_be_usual_unless_less_is_allowed(body: object, output: int) -> None:
    assert expected_tokens(new_exchange(body=body))[1] == output


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/files", "/v1/unknown"])
def test_other_calls_are_expected_to_have_no_tokens(path: str) -> None:
    assert expected_tokens(new_exchange(path, body={"model": "m"})) == (0, 0)


def test_the_usage_that_the_provider_reports_counts() -> None:
    assert used_tokens(ended(), EXPECTED) == (1285, False)


@pytest.mark.parametrize("status", [400, 500, None])
def test_a_failed_call_counts_nothing(status: int | None) -> None:
    assert used_tokens(without_usage(status=status, outcome="error", sent_bytes=0), EXPECTED) == (0, False)


def test_an_answer_without_a_call_counts_nothing() -> None:
    assert used_tokens(ended(calls=[], cache="hit"), EXPECTED) == (0, False)


def test_a_whole_answer_without_usage_counts_as_expected() -> None:
    assert used_tokens(without_usage(), EXPECTED) == (150, True)


def test_an_answer_that_does_not_report_its_input_counts_the_expected_one() -> None:
    exchange = ended(summary=Summary(usage=Usage(output=7)))
    exchange.cost_usd = None
    tokens = used_tokens(exchange, EXPECTED)
    assert tokens == (107, True)
    assert used_cost(exchange, DollarATokenPrices(), tokens, EXPECTED) == (107, True, False)
    assert used_tokens(exchange, (0, 0)) == (7, False)


@pytest.mark.parametrize("outcome", ["cancelled", "broken", "incomplete"])
def test_a_stream_that_ends_early_counts_with_what_was_sent(outcome: str) -> None:
    exchange = streamed(outcome=outcome, sent_bytes=1280)
    exchange.summary = Summary()
    assert used_tokens(exchange, EXPECTED) == (110, True)
    exchange.summary = Summary(usage=Usage(input=90, output=1))
    assert used_tokens(exchange, EXPECTED) == (100, True)
    exchange.summary = Summary(usage=Usage(input=90, output=30))
    assert used_tokens(exchange, EXPECTED) == (120, False)


def test_a_call_that_expects_no_tokens_has_those_that_are_reported() -> None:
    assert used_tokens(ended(), (0, 0)) == (1285, False)
    assert used_tokens(without_usage(), (0, 0)) == (0, False)


def test_the_cost_is_that_of_the_exchange_where_it_is_known() -> None:
    assert used_cost(ended(cost_usd=0.25), DollarATokenPrices(), (10, False), EXPECTED) == (0.25, False, False)


def test_a_cost_that_is_not_known_is_estimated_from_the_tokens() -> None:
    assert used_cost(ended(), DollarATokenPrices(), (110, True), EXPECTED) == (110, True, False)


def test_what_has_no_price_counts_nothing_and_is_said() -> None:
    assert used_cost(ended(), UnknownPrices(), (110, False), EXPECTED) == (0, False, True)
    assert used_cost(ended(calls=[]), UnknownPrices(), (0, False), EXPECTED) == (0, False, False)


def test_a_stream_that_ended_early_costs_what_of_it_was_sent_too() -> None:
    assert used_cost(ended(cost_usd=91), DollarATokenPrices(), (130, True), EXPECTED) == (130, True, False)
    assert used_cost(ended(cost_usd=91), UnknownPrices(), (130, True), EXPECTED) == (91, False, False)

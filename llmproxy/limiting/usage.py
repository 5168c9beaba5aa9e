"""Estimate the use of a request before its call, and read the real one after its end.

Tokens and cost that a provider did not report are estimated from what went through: then it is said that they are.
Begin reading at `used_tokens`.
"""

from __future__ import annotations

from llmproxy.body import Body
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.pricing.prices import Prices
from llmproxy.translation.token_estimate import estimate_body_tokens, stated_output_tokens

USUAL_OUTPUT = 512
"""The output tokens that are reserved at most: agents allow 32,000 and get 500, and would refuse each other."""

_STREAM_BYTES = 128  # of an event for a token, about: 110 to 350, and some events carry several
_PLAIN_BYTES = 4


def expected_tokens(exchange: Exchange) -> tuple[int, int]:
    """Return the input and output tokens that a request may have; (0, 0) for calls that answer with none."""
    endpoint, body = exchange.endpoint, exchange.body
    if endpoint is None or not isinstance(body, Body) or endpoint.path not in endpoint.dialect.paths:
        return 0, 0
    counts = endpoint.dialect.token_count
    if counts is not None and endpoint.path == counts.path:
        return 0, 0
    try:
        stated = stated_output_tokens(body.members)
    except BadRequest:  # it cannot be decoded: for the provider to judge
        return 0, 0
    return estimate_body_tokens(body.decoded), USUAL_OUTPUT if stated is None else min(stated, USUAL_OUTPUT)


def used_tokens(exchange: Exchange, expected: tuple[int, int]) -> tuple[int, bool]:
    """Return the tokens that an exchange used, and whether that is an estimate.

    An answer that broke off counts with what of it was sent. One without usage, or without the input in it, counts as
    it was expected; failed calls, and answers for which no call was made, count nothing.
    """
    if not exchange.calls:
        return 0, False
    usage = exchange.summary.usage
    known = usage is not None and (usage.input is not None or usage.output is not None)
    whole = exchange.outcome == "complete"
    if usage is not None and known:
        input_tokens, guessed = (expected[0], expected[0] > 0) if usage.input is None else (usage.input, False)
        output, produced = usage.output or 0, 0 if whole else _produced(exchange)
        return input_tokens + max(output, produced), guessed or output < produced
    if not sum(expected) or not 200 <= (exchange.status or 0) < 300 or (whole and exchange.summary.error):
        return 0, False
    return (sum(expected), True) if whole else (expected[0] + _produced(exchange), True)


def used_cost(
    exchange: Exchange, prices: Prices, tokens: tuple[int, bool], expected: tuple[int, int]
) -> tuple[float, bool, bool]:
    """Return what an exchange cost in USD, whether that is an estimate, and whether its price is unknown. `tokens` are
    those that it used, and whether they are estimated: then the cost may be more than what is known of it."""
    known = exchange.cost_usd
    if known is not None and not tokens[1]:
        return known, False, False
    call = exchange.calls[-1] if exchange.calls else None
    if call is None or not tokens[0]:
        return known or 0.0, False, False
    usage = exchange.summary.usage
    input_tokens = min(expected[0] if usage is None or usage.input is None else usage.input, tokens[0])
    cost = prices.cost(call.target, call.model, Usage(input=input_tokens, output=tokens[0] - input_tokens))
    if cost is None:
        return known or 0.0, False, known is None
    return max(cost, known or 0.0), True, False


def _produced(exchange: Exchange) -> int:
    """Return how many tokens are in what was sent, about; 0 for a WebSocket, which carries sound and much else."""
    if exchange.websocket is not None:
        return 0
    answer = exchange.answer
    streamed = answer is not None and answer.framing is not None
    return -(-exchange.sent_bytes // (_STREAM_BYTES if streamed else _PLAIN_BYTES))

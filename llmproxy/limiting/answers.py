"""Tell clients of their limits: by headers of answers, and by the errors that refuse a request.

Begin reading at `limit_refusal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Pairs
from llmproxy.dialects.limit_headers import LimitStatus
from llmproxy.errors import BUDGET_EXCEEDED, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.limiting.plan import Demand
from llmproxy.limiting.rules import Rule
from llmproxy.stores.quotas import Quota, Taken
from llmproxy.wire.timestamp import format_timestamp

ERROR_HEADER = "x-llmproxy-error"
"""The header with the code of a refusal, also where the dialect's errors have none."""

_LONGEST_RETRY_S = 60.0  # SDKs that are to wait longer try again at once
_SOON_S = 1.0
_SMALLEST_COST = 1e-6


def limit_headers(exchange: Exchange, demand: Demand, taken: Taken) -> Pairs:
    """Return what is left of the requests and tokens, as the client's dialect says it: of the limit with the least
    left."""
    if not demand.in_headers:
        return ()
    statuses = []
    for kind, places in demand.in_headers.items():
        place = places[0]
        if len(places) > 1:
            place = min(places, key=lambda each: demand.rules[each].limit - taken.used[each])
        rule = demand.rules[place]
        remaining = int(rule.limit - taken.used[place])
        statuses.append(LimitStatus(kind, int(rule.limit), max(remaining, 0), rule.per_s))
    dialect = catalog.default() if exchange.endpoint is None else exchange.endpoint.dialect
    return dialect.limit_headers(statuses, exchange.began_s)


def limit_refusal(
    exchange: Exchange, demand: Demand, amounts: Sequence[float], taken: Taken, more_headers: Sequence[tuple[str, str]]
) -> ProxyError:
    """Return the error for a request that needs `amounts` and that one of its rules refuses."""
    rule, quota = demand.rules[taken.refused], demand.quotas[taken.refused]
    key = exchange.client.key
    whose = rule.whose(rule.subject(exchange) or "", keyed=key is not None)
    headers = (*limit_headers(exchange, demand, taken), *more_headers)
    if rule.kind == "budget":
        if taken.settled < rule.limit and taken.settled + amounts[taken.refused] <= rule.limit:
            message = f"The rest of the budget of {rule.text} {whose} is reserved by running requests. Try again soon"
            return too_many(message, _SOON_S, headers)
        return budget_exceeded(rule, whose, quota, exchange.began_s, headers, left=rule.limit - taken.settled)
    if rule.kind == "concurrent":
        message = f"Too many requests at a time {whose}: the limit is {rule.text}. Try again when one has ended"
        return too_many(message, _SOON_S, headers)
    wait_s = min(taken.wait_s, rule.per_s)
    message = f"Rate limit reached {whose}: {rule.text}. Try again in {_words(wait_s)}"
    return too_many(message, wait_s, headers)


def _words(seconds: float) -> str:
    return f"{max(math.ceil(seconds), 1)} s"


def too_many(message: str, wait_s: float, headers: Pairs = ()) -> ProxyError:
    """Return the error for a request that may be made again in `wait_s` seconds."""
    wait_s = max(wait_s, 0.001)
    more = (
        ("Retry-After", str(math.ceil(wait_s))),
        ("retry-after-ms", str(math.ceil(wait_s * 1000))),
        *((("x-should-retry", "false"),) if wait_s > _LONGEST_RETRY_S else ()),
        (ERROR_HEADER, "rate_limit_exceeded"),
    )
    return ProxyError(message, status=429, code="rate_limit_exceeded", headers=(*headers, *more))


def budget_exceeded(
    rule: Rule, whose: str, quota: Quota, now_s: float, headers: Pairs = (), left: float = 0.0
) -> ProxyError:
    """Return the error for a request beyond a budget, which SDKs do not repeat. `left` is the rest of the budget
    in USD, which is less than the request may cost."""
    ends_s = quota.ends_s
    less = f"; {left:.4g} USD is left, and this request may cost more" if left >= _SMALLEST_COST else ""
    again = "" if ends_s == math.inf else f". The next period begins at {format_timestamp(ends_s)[:19]}Z"
    wait = () if ends_s == math.inf else (("Retry-After", str(max(math.ceil(ends_s - now_s), 1))),)
    return ProxyError(
        f"Budget exceeded {whose}: {rule.text}{less}{again}",
        status=429,
        code=BUDGET_EXCEEDED,
        headers=(*headers, *wait, ("x-should-retry", "false"), (ERROR_HEADER, BUDGET_EXCEEDED)),
    )

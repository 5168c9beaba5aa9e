from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict

from llmproxy.answer import Answer
from llmproxy.call import Call
from llmproxy.client_request import Client, ClientRequest
from llmproxy.dialects.catalog import find
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BrokenStream, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import CallLabels, Metrics, RequestLabels
from llmproxy.metrics.provider_json import providers_json
from llmproxy.target import Provider, Target, UpstreamRequest
from tests.support.exchanges import new_call


class _Place(Provider):
    """A provider with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = self.type = name

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest | None:
        return None

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        raise NotImplementedError


def _call(path: str) -> Endpoint:
    found = find("POST", path)
    assert found is not None
    return found


CHAT, FILES, IMAGES, COUNT = map(
    _call, ("/chat/completions", "/files", "/images/generations", "/messages/count_tokens")
)
OPENAI = Target(provider=_Place("openai"))


def ended(*, target: Target | None = OPENAI, first_byte_s: float | None = 100.125, **changes: Any) -> Exchange:
    """Return a chat completion that took a quarter of a second and went well, but for `changes`."""
    calls = [] if target is None else [Call(target=target, model="gpt-4o", status=200, first_byte_s=first_byte_s)]
    exchange = Exchange(
        id="1",
        method="POST",
        full_path="/v1/chat/completions",
        path="/v1/chat/completions",
        query="",
        headers=CIMultiDict(),
        client=Client(address="127.0.0.1"),
        started_s=100.0,
        began_s=1.7e9,
        endpoint=CHAT,
        template="/v1/chat/completions",
        model="gpt-4o",
        calls=calls,
        status=200,
        outcome="complete",
        ended_s=100.25,
    )
    return replace(exchange, **changes)


def recorded(*exchanges: Exchange) -> Metrics:
    metrics = Metrics()
    for exchange in exchanges:
        metrics.begin()
        metrics.record(exchange)
    return metrics


def figures(metrics: Metrics, provider: str = "openai") -> dict[str, Any]:
    found = providers_json(metrics)[provider]
    assert isinstance(found, dict)
    return found


def only_call(metrics: Metrics) -> CallLabels:
    (labels,) = metrics.calls
    return labels


def test_each_exchange_is_counted_once_by_method_template_and_status() -> None:
    metrics = recorded(ended(), ended(), ended(status=400))

    assert {labels: sum(each.durations.counts) for labels, each in metrics.requests.items()} == {
        RequestLabels("POST", "/v1/chat/completions", "200"): 2,
        RequestLabels("POST", "/v1/chat/completions", "400"): 1,
    }


def test_an_own_page_counts_as_a_request_and_as_no_call() -> None:
    metrics = recorded(ended(method="GET", template="/health", target=None, model=None, endpoint=None))

    assert list(metrics.requests) == [RequestLabels("GET", "/health", "200")]
    assert not metrics.calls


def test_a_path_without_a_template_and_a_method_nobody_knows_share_one_label_each() -> None:
    metrics = recorded(*(ended(method=f"X{n}", template="", target=None, status=404) for n in range(3)))

    assert list(metrics.requests) == [RequestLabels("other", "unmatched", "404")]


def test_a_client_that_left_before_an_answer_counts_as_499_and_as_cancelled() -> None:
    metrics = recorded(ended(status=None, outcome="cancelled", first_byte_s=None))

    labels = RequestLabels("POST", "/v1/chat/completions", "499")
    assert metrics.requests[labels].cancelled == 1
    assert only_call(metrics).outcome == "cancelled"


def test_a_client_that_left_within_an_answer_keeps_its_status_and_counts_as_cancelled() -> None:
    metrics = recorded(ended(stream=True, outcome="cancelled"))

    assert metrics.requests[RequestLabels("POST", "/v1/chat/completions", "200")].cancelled == 1


def test_tokens_are_added_up_where_they_were_reported() -> None:
    usage = Usage(input=120, output=42, cache_read=0)
    metrics = recorded(*(ended(summary=Summary(usage=usage)) for _ in range(3)))

    assert figures(metrics)["tokens"] == {
        "input": 360,
        "output": 126,
        "cache_read": 0,
        "cache_write": None,
        "reasoning": None,
    }
    assert figures(metrics)["usage_unknown"] == 0


def test_a_good_answer_without_usage_is_counted_as_unknown_and_adds_no_tokens() -> None:
    metrics = recorded(ended(), ended(summary=Summary(usage=Usage())), ended(stream=True, outcome="cancelled"))

    assert figures(metrics)["usage_unknown"] == 3
    assert set(figures(metrics)["tokens"].values()) == {None}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 429},
        {"status": 502, "outcome": "error", "error": UpstreamError("gone")},
        {"endpoint": FILES, "template": "/v1/files"},
        {"endpoint": IMAGES, "template": "/v1/images/generations"},
        {"endpoint": COUNT, "template": "/v1/messages/count_tokens"},
        {"endpoint": None, "template": "/openai/{path}"},
    ],
    ids=["refused", "failed", "no model", "no dialect", "only counted", "relayed blindly"],
)
def test_where_no_usage_can_be_reported_none_is_missed(changes: dict[str, Any]) -> None:
    assert figures(recorded(ended(**changes)))["usage_unknown"] == 0


@pytest.mark.parametrize(
    ("changes", "outcome", "kind"),
    [
        ({}, "success", ""),
        ({"status": 429}, "error", "http_429"),
        ({"status": 504, "outcome": "error", "error": UpstreamError("slow", status=504)}, "error", "timeout"),
        ({"status": 502, "outcome": "error", "error": UpstreamError("gone")}, "error", "upstream_error"),
        ({"outcome": "broken", "error": BrokenStream("cut")}, "broken", "upstream_stream_broken"),
        ({"outcome": "broken"}, "broken", "broken"),
        ({"stream": True, "outcome": "incomplete"}, "incomplete", "incomplete"),
        ({"stream": True, "outcome": "incomplete", "summary": Summary(error="overloaded")}, "error", "stream_error"),
        ({"stream": True, "summary": Summary(error="overloaded")}, "error", "stream_error"),
        ({"summary": Summary(error="overloaded")}, "error", "reply_error"),
        ({"outcome": "cancelled", "status": None}, "cancelled", ""),
    ],
)
def test_the_outcome_and_the_kind_of_error_are_reported_apart(changes: dict[str, Any], outcome: str, kind: str) -> None:
    labels = only_call(recorded(ended(**changes)))

    assert (labels.outcome, labels.kind) == (outcome, kind)


@pytest.mark.parametrize("code", ["\ud83d", "a\nb", 'x"y', "Überlast", "x" * 500, "Too Many"])
def test_a_code_of_a_provider_that_is_no_name_is_any_error(code: str) -> None:
    metrics = recorded(ended(status=502, outcome="error", error=UpstreamError("odd", code=code)))

    assert only_call(metrics).kind == "error"


def test_providers_invent_only_so_many_kinds_of_errors() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.begin()
        metrics.record(ended(status=502, outcome="error", error=UpstreamError("odd", code=f"code_{number}")))

    assert len(metrics.calls) <= 201
    assert sum(calls.count for calls in metrics.calls.values()) == 1000


def test_the_model_is_the_one_that_the_provider_was_asked_for() -> None:
    metrics = recorded(ended(model="smart", target=Target(provider=OPENAI.provider, model="gpt-6")))

    assert only_call(metrics).model == "gpt-6"


def test_beyond_two_hundred_models_new_names_count_as_other_and_old_ones_still_count() -> None:
    metrics = recorded(*(ended(model=f"m{n}") for n in range(205)), ended(model="m0"))

    by_model = {labels.model: calls.count for labels, calls in metrics.calls.items()}
    assert len(by_model) == 201
    assert (by_model["m0"], by_model["m199"], by_model["other"]) == (2, 1, 5)


def test_a_name_that_the_provider_does_not_know_takes_no_place_among_the_models() -> None:
    metrics = recorded(ended(model="gpt-40", status=404), ended(model="gpt-4o"), ended(model="gpt-4o", status=404))

    assert [(labels.model, labels.status) for labels in metrics.calls] == [
        ("other", "404"),
        ("gpt-4o", "200"),
        ("gpt-4o", "404"),
    ]


@pytest.mark.parametrize("model", ["x" * 201, "\ud800"], ids=["long", "lone surrogate"])
def test_a_name_that_is_no_label_counts_as_other(model: str) -> None:
    assert only_call(recorded(ended(model=model))).model == "other"


def test_a_call_without_a_model_has_an_empty_label() -> None:
    assert only_call(recorded(ended(model=None, endpoint=FILES, template="/v1/files"))).model == ""


def test_label_sets_stay_bounded_whatever_clients_and_providers_send() -> None:
    metrics = recorded(*(ended(model=f"m{n % 900}", status=200 + n // 900) for n in range(900 * 13)))

    assert sum(calls.count for calls in metrics.calls.values()) == 900 * 13
    assert len(metrics.calls) < 10_100


def test_failed_attempts_are_counted_for_their_own_providers() -> None:
    attempts = [
        new_call(provider="eu", model="a", status=429, started_s=0.0, ended_s=0.05),
        new_call(provider="us", model="b", error="upstream_error", started_s=0.05, ended_s=0.1),
        new_call(provider="openai", model="gpt-4o", status=200, started_s=0.125),
    ]
    metrics = recorded(ended(calls=attempts))

    everything = providers_json(metrics)
    assert list(everything) == ["eu", "openai", "us"]
    assert figures(metrics, "eu")["error_counts"] == {"http_429": 1}
    assert figures(metrics, "eu")["avg_response_time"] == 0.05
    assert figures(metrics, "us")["error_counts"] == {"upstream_error": 1}
    assert figures(metrics)["total_requests"] == 1
    assert sum(sum(each.durations.counts) for each in metrics.requests.values()) == 1


def test_after_failed_attempts_the_last_call_is_timed_from_its_own_beginning() -> None:
    attempts = [
        new_call(provider="eu", model="a", status=500, started_s=0.0, ended_s=0.1),
        new_call(provider="openai", model="gpt-4o", status=200, started_s=0.125, first_byte_s=100.125),
    ]
    metrics = recorded(ended(calls=attempts, first_token_s=100.1875))

    assert figures(metrics)["avg_response_time"] == 0.125
    assert figures(metrics)["avg_first_byte_time"] == 0.0
    assert figures(metrics)["avg_first_token_time"] == 0.0625


def test_an_attempt_that_failed_in_words_counts_as_error_so_that_labels_stay_few() -> None:
    attempts = [
        new_call(provider="eu", model="a", error="Cannot connect to 10.0.0.7"),
        new_call(provider="x", model="a"),
    ]

    assert figures(recorded(ended(calls=attempts)), "eu")["error_counts"] == {"error": 1}


def test_in_flight_rises_at_the_beginning_and_falls_at_the_end() -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.begin()
    assert metrics.in_flight == 2

    metrics.record(ended())
    assert metrics.in_flight == 1


def test_an_exchange_without_an_end_is_timed_to_now() -> None:
    metrics = recorded(ended(ended_s=None, started_s=0.0))

    (requests,) = metrics.requests.values()
    assert requests.durations.sum_s > 0


def test_what_translation_left_behind_is_counted_by_member_and_bounded() -> None:
    metrics = Metrics()
    for path in ("temperature", "messages[0].name", "messages[17].name", 'tools[0].{"weird": "ünïcode"}'):
        exchange = ended()
        exchange.call = new_call(dropped=[path])
        metrics.begin()
        metrics.record(exchange)
    assert metrics.dropped == {
        ("chat", "openai", "temperature"): 1,
        ("chat", "openai", "messages[].name"): 2,
        ("chat", "openai", "other"): 1,
    }
    for number in range(1000):
        exchange = ended()
        exchange.call = new_call(dropped=[f"member_{number}"])
        metrics.begin()
        metrics.record(exchange)
    assert len(metrics.dropped) <= 501 and sum(metrics.dropped.values()) == 1004


def test_a_name_that_the_configuration_gives_has_its_label_though_nobody_answered() -> None:
    attempts = [
        new_call(provider="first", model="configured-1", status=503, ended_s=0.1),
        new_call(provider="openai", model="configured-2", status=404, started_s=0.1),
    ]

    metrics = recorded(ended(model="smart", calls=attempts, status=404))

    assert {labels.model for labels in metrics.calls} == {"configured-1", "configured-2"}


def test_an_attempt_that_another_replaced_is_reported_from_one_whose_failure_the_client_saw() -> None:
    attempts = [
        new_call(provider="openai", model="gpt-4o", status=503, ended_s=0.1),
        new_call(provider="openai", model="gpt-4o", status=503, started_s=0.1),
    ]
    metrics = recorded(ended(calls=attempts, status=503))

    assert sum(calls.count for calls in metrics.calls.values()) == 2
    assert sum(calls.replaced for calls in metrics.calls.values()) == 1

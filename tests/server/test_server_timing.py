from __future__ import annotations

from llmproxy.call import Call
from llmproxy.server.server_timing import server_timing
from tests.metrics.test_counters import OPENAI, ended


def test_the_time_is_that_of_waiting_translation_providers_and_all_together() -> None:
    first = Call(target=OPENAI, model="m", started_s=0.030, ended_s=0.050)
    second = Call(target=OPENAI, model="m", started_s=0.060, ended_s=0.100, translate_s=0.010)
    exchange = ended(calls=[first, second], received_s=100.020)
    assert server_timing(exchange, 100.105) == (
        "queue;dur=10.00, translate;dur=10.00, upstream;dur=50.00, total;dur=105.00"
    )


def test_an_answer_without_a_provider_has_a_total() -> None:
    assert server_timing(ended(target=None), 100.0015) == "total;dur=1.50"

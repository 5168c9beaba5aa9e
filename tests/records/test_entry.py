from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.dialects.summary import Summary
from llmproxy.errors import UpstreamError
from llmproxy.records.entry import AttemptEntry, Entry, entry_of
from llmproxy.redaction.secrets import mask_text
from llmproxy.route import Route
from llmproxy.wire.text import replace_surrogates
from tests.support.exchanges import BEGAN, ended, new_call

NOTHING_SAID = Summary()


def test_an_exchange_in_short() -> None:
    entry = entry_of(ended())
    assert (entry.started, entry.duration_ms, entry.first_byte_ms, entry.first_token_ms) == (BEGAN, 250.0, 125.0, None)
    assert (entry.id, entry.request_id, entry.version) == ("5f" * 12, "asked-1", 1)
    assert (entry.client.address, entry.client.agent, entry.client.name) == ("10.0.0.9", "sdk/1", None)
    assert (entry.dialect, entry.model, entry.served_model, entry.provider) == ("chat", "gpt-4o", "gpt-4o", "openai")
    assert entry.attempts == [
        AttemptEntry(provider="openai", model="gpt-4o", url="https://h/v1/c", status=200, ended_ms=200.0)
    ]
    assert (entry.status, entry.outcome, entry.complete, entry.error) == (200, "complete", True, None)
    assert entry.usage is not None and (entry.usage.input, entry.usage.cache_read) == (1200, None)


def test_all_who_ask_get_the_same_entry() -> None:
    exchange = ended()
    assert entry_of(exchange) is entry_of(exchange)
    assert entry_of(ended()) is not entry_of(exchange)


@pytest.mark.parametrize(
    ("began_s", "expected"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1.9999999, "1970-01-01T00:00:02.000000Z"),
        (1_700_000_000.000001, "2023-11-14T22:13:20.000001Z"),
        (1_700_000_000.999999, "2023-11-14T22:13:20.999999Z"),
    ],
)
def test_the_start_is_utc_to_the_microsecond(began_s: float, expected: str) -> None:
    assert entry_of(ended(began_s=began_s)).started == expected


def test_the_last_attempt_names_the_provider_and_the_model_where_nobody_else_does() -> None:
    attempts = [
        new_call(provider="a", model="m-1", error="upstream_timeout", started_s=0.001, ended_s=0.05),
        new_call(provider="b", model="m-2", status=200, started_s=0.06, ended_s=0.2),
    ]
    entry = entry_of(ended(calls=attempts, summary=NOTHING_SAID))
    assert (entry.provider, entry.served_model, entry.usage) == ("b", "m-2", None)
    assert [(each.started_ms, each.ended_ms, each.error) for each in entry.attempts] == [
        (1.0, 50.0, "upstream_timeout"),
        (60.0, 200.0, None),
    ]


def test_an_exchange_that_reached_no_provider() -> None:
    entry = entry_of(ended(endpoint=None, model=None, calls=[], status=404, summary=NOTHING_SAID, outcome="error"))
    assert (entry.dialect, entry.provider, entry.served_model, entry.route) == (None, None, None, None)


def test_errors_are_ours_or_what_the_provider_reported() -> None:
    ours = entry_of(ended(error=UpstreamError("no answer", code="upstream_timeout"))).error
    theirs = entry_of(ended(summary=Summary(error="quota"))).error
    assert ours is not None and (ours.code, ours.message) == ("upstream_timeout", "no answer")
    assert theirs is not None and (theirs.code, theirs.message) == ("provider_error", "quota")


def test_secrets_in_queries_and_errors_are_masked() -> None:
    headers = Headers({"Authorization": "Bearer sk-very-secret"})
    message = Summary(error="Incorrect API key provided: sk-very-secret")
    entry = entry_of(ended(headers=headers, query="key=sk-other&max_tokens=5", summary=message))
    assert entry.error is not None and entry.error.message == "Incorrect API key provided: **********"
    assert entry.query == "key=**********&max_tokens=5"


@given(
    st.lists(st.sampled_from(["https://", ":\\/\\/", "u:p@", "h", "?key=", "=", "#", "é", "\udce9", " "])).map("".join)
)
def test_texts_from_outside_are_masked_whatever_they_look_like(text: str) -> None:
    exchange = ended()
    exchange.client = Client(address="::1", agent=text)
    assert entry_of(exchange).client.agent == mask_text(replace_surrogates(text), ())


def test_a_secret_is_masked_before_a_long_error_is_cut() -> None:
    headers = Headers({"x-api-key": "sk-very-secret"})
    error = entry_of(ended(headers=headers, summary=Summary(error="x" * 1993 + "sk-very-secret" * 1000))).error
    assert error is not None and len(error.message) == 2000 and "sk-" not in error.message


def test_names_of_models_are_bounded() -> None:
    entry = entry_of(ended(model="m" * 5_000_000, route=Route(name="m" * 5_000_000, targets=())))
    assert entry.model == entry.route == "m" * 1999 + "…"


def test_everything_can_be_written_as_json_and_read_again() -> None:
    bad = "caf\udce9 \ud83d"
    entry = entry_of(
        ended(
            headers=Headers({"x-api-key": "sk-very-secret"}),
            full_path=f"/{bad}",
            query=bad,
            model=bad,
            session=bad,
            client=Client(address="::1", agent=bad),
            route=Route(name=bad, targets=()),
            call=new_call(dropped=[f"metadata.{bad}"]),
            summary=Summary(model=bad, finish_reason=bad, error=bad),
            calls=[new_call(provider="p", model=bad, url=f"https://h/{bad}")],
        )
    )
    assert msgspec.json.decode(msgspec.json.encode(entry), type=Entry) == entry
    assert entry.model == entry.session == "caf� �"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"status": 404}, True),
        ({"status": 200, "error": UpstreamError("cut")}, True),
        ({"outcome": "broken"}, True),
        ({"outcome": "incomplete"}, True),
        ({"outcome": "error"}, True),
        ({"outcome": "cancelled", "status": None}, False),
    ],
)
def test_what_somebody_should_look_at(changes: dict[str, Any], expected: bool) -> None:
    assert entry_of(ended(**changes)).failed is expected

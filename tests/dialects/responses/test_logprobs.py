"""How likely tokens were, as parts of messages and as events of streams tell it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses.response_output_text import Logprob
from openai.types.responses.response_text_delta_event import Logprob as Told

from llmproxy.dialects.responses.logprobs import with_bytes, without_bytes

SPELLED: dict[str, Any] = {
    "token": "é",
    "logprob": -0.5,
    "bytes": [195, 169],
    "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
}
BARE: dict[str, Any] = {"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -1}]}


def test_tokens_get_the_bytes_of_their_text_where_they_have_none() -> None:
    assert with_bytes([BARE]) == [SPELLED]
    Logprob.model_validate(with_bytes([BARE])[0])


def test_the_bytes_of_a_service_stay() -> None:
    half = {"token": "�", "logprob": -0.5, "bytes": [195], "top_logprobs": []}
    assert with_bytes([half]) == [half]


def test_events_do_not_spell() -> None:
    assert without_bytes([SPELLED]) == [BARE]
    assert Told.model_validate(without_bytes([SPELLED])[0]).model_extra == {}


@pytest.mark.parametrize(
    "value", [5, None, {}, {"token": 5, "logprob": 0}, {"token": "a"}, {"token": "a", "logprob": True}], ids=str
)
def test_what_is_no_likelihood_is_left_out(value: Any) -> None:
    good = {"token": "a", "logprob": 0, "bytes": [97], "top_logprobs": [value]}
    assert with_bytes([value, good]) == [good | {"top_logprobs": []}]


@pytest.mark.parametrize("missing", [None, 5, {}], ids=str)
def test_others_that_are_not_told_are_none(missing: Any) -> None:
    assert with_bytes([{"token": "a", "logprob": 0, "top_logprobs": missing}])[0]["top_logprobs"] == []


def test_a_token_that_is_no_unicode_has_bytes_too() -> None:
    assert with_bytes([{"token": "\ud800", "logprob": 0}])[0]["bytes"] == [237, 160, 128]

"""Signatures of other models, left out of requests of generateContent."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.gemini.sealed_thinking import SEALED
from llmproxy.dialects.gemini.tables import FILLER

FOREIGN, OWN = "F" * 40, "O" * 40


def leave_out(body: dict[str, Any], model: str = "gemini-3-pro") -> list[str]:
    return SEALED.leave_out(body, lambda seal: seal == FOREIGN, model)


@pytest.mark.parametrize("name", ["thoughtSignature", "thought_signature"])
def test_thoughts_go_and_calls_and_texts_stay_without_their_signature(name: str) -> None:
    parts = [
        {"text": "hm", "thought": True, name: FOREIGN},
        {"functionCall": {"name": "a"}, name: FOREIGN},
        {"functionCall": {"name": "b"}},
        {"text": "", name: FOREIGN},
        {"text": "Yes.", name: OWN},
    ]
    body = {"contents": [{"role": "model", "parts": parts}]}
    paths = [f"contents[0].parts[{place}]" for place in range(4)]
    assert leave_out(body) == [paths[0], f"{paths[1]}.{name}", f"{paths[3]}.{name}"]
    signed = {"functionCall": {"name": "a"}, "thoughtSignature": FILLER}
    assert body["contents"] == [{"role": "model", "parts": [signed, parts[2], parts[4]]}]


def test_older_models_need_no_filler() -> None:
    body = {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "a"}, "thoughtSignature": FOREIGN}]}]}
    leave_out(body, "gemini-2.5-pro")
    assert body["contents"] == [{"role": "model", "parts": [{"functionCall": {"name": "a"}}]}]


def test_odd_requests_stay_as_they_are() -> None:
    contents = [None, {"role": "model", "parts": 7}, {"role": "model", "parts": [None, {"text": 7}]}]
    assert leave_out({"contents": contents}) == leave_out({"contents": 7}) == []

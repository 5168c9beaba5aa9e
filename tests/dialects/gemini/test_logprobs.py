"""Log probabilities of tokens."""

from __future__ import annotations

from llmproxy.dialects.gemini.logprobs import decode_logprobs, encode_logprobs

RESULT = {
    "chosenCandidates": [{"token": "é", "logProbability": -0.5}, {"token": "b", "logProbability": -1}],
    "topCandidates": [
        {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "a", "logProbability": -2}]},
        {"candidates": []},
    ],
}


def test_they_go_there_and_back() -> None:
    read = decode_logprobs(RESULT)
    assert read is not None
    assert read[0]["bytes"] == list("é".encode()) and [each["token"] for each in read[0]["top_logprobs"]] == ["é", "a"]
    assert encode_logprobs(read) == RESULT


def test_certain_tokens_have_no_number() -> None:
    [token] = decode_logprobs({"chosenCandidates": [{"token": "a", "tokenId": 5}]}) or []
    assert (token["logprob"], token["top_logprobs"]) == (0, [])
    assert encode_logprobs([token]) == {"chosenCandidates": [{"token": "a", "logProbability": 0}]}


def test_what_is_no_token_is_left_out() -> None:
    odd = [
        {"token": True, "logprob": 1},
        {"token": "a"},
        5,
        {"token": "b", "logprob": -1, "top_logprobs": [{"token": 1}]},
    ]
    assert encode_logprobs(odd)["chosenCandidates"] == [{"token": "b", "logProbability": -1}]


def test_what_is_none_is_none() -> None:
    value: object
    for value in (None, [], {}, {"chosenCandidates": [1]}):
        assert decode_logprobs(value) is None

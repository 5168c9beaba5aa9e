"""Reading the history of only the new messages gives what reading all of them gives."""

from __future__ import annotations

import random

import pytest

from llmproxy.body import Body
from llmproxy.dialects.catalog import find
from llmproxy.recognition.prefix_hash import PrefixHashes, running_sums
from llmproxy.recognition.turn_history import history_of_turns
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.agent_turns import agent_turns


@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
def test_a_turn_that_goes_on_has_the_history_that_it_has_alone(path: str) -> None:
    endpoint = find("POST", path)
    assert endpoint is not None
    readers, memory, gone_on, known = endpoint.dialect.readers, JsonMemory(), 0, 0
    chance = random.Random(path)
    # Requests of one conversation overtake each other.
    for _, raw in sorted(enumerate(agent_turns(path, chance, 60)), key=lambda turn: turn[0] + chance.random() * 5):
        body = Body(raw, memory=memory, turns=readers.turns)
        history, sums, keys, _ = history_of_turns(body, readers)
        assert history == readers.history(Body(raw).content)
        assert list(sums) == running_sums(history.pieces)
        gone_on += bool(body.read is not None and body.read.known and body.read.inherited)
        if history.pieces:
            known += len(keys)
            for tenant in ("t", "other"):
                hashes, alone = PrefixHashes(tenant, history.pieces, sums, keys), PrefixHashes(tenant, history.pieces)
                assert (hashes.near, hashes.further()) == (alone.near, alone.further())
    assert gone_on > 20
    assert known > 20

"""Conversations that a client has compacted, over models of other dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.responses.compaction import compaction_item, compacts
from llmproxy.dialects.stream_events import Close, Delta, Done, Open, Start, Stop
from llmproxy.errors import BadRequest

RESPONSES = catalog.codecs()["responses"]
TURNS: list[dict[str, Any]] = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1"}]
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
TRIGGER = {"type": "compaction_trigger"}
NOTES = "The task is to count; 1 was said. Grüße 🙂"


def sent(dialect: str, *items: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    request = RESPONSES.decode_request({"model": "m", "input": list(items), "tools": [TOOL], "stream": True})
    codec, losses = catalog.codecs()[dialect], Losses()
    return codec.encode_request(request, codec.context("responses", losses)), losses.dropped


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_the_trigger_is_a_question_of_the_user_behind_the_conversation(dialect: str) -> None:
    body, dropped = sent(dialect, *TURNS, TRIGGER)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"] and not dropped
    assert "notes" in json.dumps(body["messages"][-1])
    assert body["tool_choice"] in ("none", {"type": "none"}) and body["tools"]


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_the_item_is_a_turn_of_the_user_with_the_notes(dialect: str) -> None:
    body, dropped = sent(dialect, compaction_item("cmp_1", NOTES), {"role": "user", "content": "Go on."})
    assert NOTES in json.dumps(body["messages"], ensure_ascii=False) and not dropped
    assert {turn["role"] for turn in body["messages"]} == {"user"}


@pytest.mark.parametrize("content", ["gAAAAAB-of-OpenAI", "llmproxy-summary-%%%", "llmproxy-summary-_w==", None, 7])
def test_what_only_the_vendor_can_read_is_refused(content: object) -> None:
    with pytest.raises(BadRequest, match="compaction"):
        sent("messages", {"type": "compaction", "encrypted_content": content}, {"role": "user", "content": "Go on."})


def test_both_items_go_back_to_their_own_dialect_as_they_came() -> None:
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAAAB"}
    body, _ = sent("responses", item, *TURNS, TRIGGER)
    assert body["input"][0] == item and body["input"][-1] == TRIGGER


def test_a_whole_answer_is_one_item() -> None:
    request = RESPONSES.decode_request({"model": "m", "input": [*TURNS, TRIGGER]})
    blocks: list[Block] = [Thinking(text="hm", dialect="messages"), Text(text=NOTES[:9]), Text(text=NOTES[9:])]
    reply = Reply(id="x", model="m", content=blocks, stop="end")
    body = RESPONSES.encode_response(reply, request, RESPONSES.context("messages", Losses()))
    assert compacts(request) and body["output"] == [compaction_item("cmp_x", NOTES)]


def test_a_stream_is_one_item() -> None:
    encoder = RESPONSES.stream_encoder(RESPONSES.decode_request({"model": "m", "input": [*TURNS, TRIGGER]}))
    call = ToolCall(id="c", name="f", arguments="")
    losses = Losses()
    frames = encoder.encode(
        [
            Start(id="x", model="m"),
            *(Open(index=0, block=Thinking(text="hm", dialect="messages")), Close(index=0)),
            *(Open(index=1, block=Text(text=NOTES[:4])), Delta(index=1, text=NOTES[4:9]), Close(index=1)),
            *(Open(index=2, block=call), Delta(index=2, text="{}"), Close(index=2)),
            *(Open(index=3, block=Text(text="")), Delta(index=3, text=NOTES[9:]), Close(index=3)),
            *(Stop(reason="end"), Done()),
        ],
        losses,
    )
    events = [json.loads(line[6:]) for line in frames.split(b"\n") if line.startswith(b"data: ")]
    item = compaction_item("cmp_x", NOTES)
    kinds = ["created", "in_progress", "output_item.added", "output_item.done", "completed"]
    assert [event["type"] for event in events] == [f"response.{kind}" for kind in kinds]
    assert events[-2]["item"] == item and events[-1]["response"]["output"] == [item]
    assert losses.dropped == ["reply.toolcall"]

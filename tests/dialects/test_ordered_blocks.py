"""Blocks in the order in which a client can read them, whatever order they come in."""

from __future__ import annotations

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Request, Text, Thinking, ToolCall
from llmproxy.dialects.ordered_blocks import OrderedBlock, OrderedStreamEncoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Event, Fail, Open, Start, Stop


class Words(OrderedStreamEncoder):
    """Writes a word for everything that happens."""

    def _say(self, *words: object) -> None:
        self._frames.append(" ".join(map(str, words)).encode() + b"\n")

    def _start(self, event: Start) -> None:
        self._say("start")

    def _begin_growing(self, block: OrderedBlock) -> bytes:
        if block.number < 0:
            self._say("begin", self._number(block))
        return b"%d:" % block.number

    def _write_delta(self, before: bytes, text: str) -> None:
        self._frames.append(before + text.encode() + b"\n")

    def _begin_call(self, block: OrderedBlock, call: ToolCall) -> None:
        self._say("call", self._number(block))

    def _begin_other(self, block: OrderedBlock) -> None:
        self._say("other")

    def _write_citation(self, block: OrderedBlock, event: Cite) -> None:
        self._say("cite")

    def _write_arguments(self, block: OrderedBlock, call: ToolCall, arguments: str) -> None:
        self._say("arguments", arguments)

    def _finish_thinking(self, block: OrderedBlock, thinking: Thinking, event: Close) -> None:
        self._say("thought", event.signature)

    def _end_block(self, block: OrderedBlock) -> None:
        self._say("end", block.number)

    def _stop(self, event: Stop) -> None:
        pass

    def _end(self) -> None:
        self._close_all()

    def _fail(self, event: Fail) -> None:
        self._say("failed")


def written(*events: Event) -> list[str]:
    return Words(Request(dialect="x", model="m")).encode(events, Losses()).decode().split("\n")[:-1]


def call(name: str, arguments: str = "") -> ToolCall:
    return ToolCall(id=name, name=name, arguments=arguments)


def test_a_block_that_begins_within_another_waits_for_its_end() -> None:
    events: list[Event] = [Open(index=0, block=call("a")), Open(index=1, block=call("b")), Delta(index=1, text='{"x":')]
    assert written(*events) == ["call 0"]
    events += [Delta(index=0, text="{"), Close(index=1), Delta(index=0, text="}"), Close(index=0)]
    assert written(*events) == ["call 0", "0:{", "0:}", "end 0", "call 1", '1:{"x":', "end 1"]


def test_a_block_without_words_is_none_and_takes_no_number() -> None:
    events = (Open(index=0, block=Text(text="")), Close(index=0), Open(index=1, block=Text(text="a")), Close(index=1))
    assert written(*events) == ["begin 0", "0:a", "end 0"]


def test_arguments_that_are_no_object_are_written_when_they_are_whole() -> None:
    events = (
        Open(index=0, block=call("a")),
        Delta(index=0, text=" "),
        Delta(index=0, text="[1"),
        Delta(index=0, text="]"),
    )
    assert written(*events, Close(index=0)) == ["call 0", "arguments [1]", "end 0"]


def test_thinking_is_finished_before_it_ends() -> None:
    thinking = Thinking(text="a", dialect="x")
    assert written(Open(index=0, block=thinking), Close(index=0, signature="s"))[-2:] == ["thought s", "end 0"]


def test_deltas_of_a_block_that_never_began_are_passed_over() -> None:
    assert written(Delta(index=7, text="a"), Close(index=7)) == []

"""Translation knows of an answer what a reader of its bytes would find, and the provider's own finish reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.encode_context import Options
from llmproxy.translation.translation import Translation, read_request
from tests.support import vendors

WHOLE: dict[str, Callable[[str, bool], dict[str, Any]]] = {
    "chat": vendors.chat,
    "messages": vendors.message,
    "responses": vendors.response,
}
FRAMES: dict[str, Callable[[str, bool], list[bytes]]] = {
    "chat": partial(vendors.chat_frames, usage=True),
    "messages": vendors.message_frames,
    "responses": vendors.response_frames,
}
ASKS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 99},
    "responses": {"input": "hi"},
}
WORDS = {
    "chat": {False: "stop", True: "tool_calls"},
    "messages": {False: "end_turn", True: "tool_use"},
    "responses": {False: "completed", True: "completed"},
}
PAIRS = [(client, provider) for client in WHOLE for provider in WHOLE if client != provider]


def dialect_and_codec(name: str) -> tuple[Dialect, Codec]:
    dialect = next(each for each in catalog.DIALECTS if each.name == name)
    assert dialect.codec is not None
    return dialect, dialect.codec


def translation(client: str, provider: str, **more: object) -> Translation:
    request = read_request(dialect_and_codec(client)[1], json.dumps({"model": "m", **ASKS[client], **more}).encode())
    codecs = dialect_and_codec(client)[1], dialect_and_codec(provider)[1]
    made = Translation(request, *codecs, options=Options(), strict=False)
    made.request("m")
    return made


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_of_a_whole_answer(client: str, provider: str, tools: bool) -> None:
    made = translation(client, provider)
    written = made.reply(json.dumps(WHOLE[provider]("m", tools)).encode())
    found = dialect_and_codec(client)[0].readers.summarize(written)
    summary = made.summary
    assert (summary.model, summary.finish_reason) == (found.model, found.finish_reason) == ("m", WORDS[client][tools])
    assert summary.usage is not None and found.usage is not None
    assert (summary.usage.input, summary.usage.output) == (found.usage.input, found.usage.output)
    assert summary.upstream_finish_reason == WORDS[provider][tools]
    assert made.response is not None and json.loads(written)["id"] == made.response["id"]


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_of_a_stream(client: str, provider: str, tools: bool) -> None:
    made = translation(client, provider, stream=True)
    frames, watch = made.stream(), dialect_and_codec(client)[0].readers.watch()
    for frame in [*FRAMES[provider]("m", tools), b""]:
        written = frames.feed(frame) if frame else frames.close()
        watch.feed(written)
        assert made.summary.started == watch.started
    found, summary = watch.close(), made.summary
    assert frames.done and found.complete
    assert (summary.model, summary.finish_reason) == (found.model, found.finish_reason) == ("m", WORDS[client][tools])
    assert summary.usage is not None and summary.usage.output == vendors.OUT
    assert summary.upstream_finish_reason == WORDS[provider][tools]
    assert (made.response is not None) == (client == "responses")

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import Completion

from llmproxy.body import StreamedBody, iterate
from llmproxy.dialects import catalog
from llmproxy.dialects.chat import COMPLETIONS
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.providers.base import ProviderConfig
from llmproxy.providers.own_answers import FrameStream
from llmproxy.providers.stub import Stub
from llmproxy.target import Provider, Target
from llmproxy.wire.compression import compress
from tests.support.exchanges import new_exchange
from tests.support.sdk_clients import openai_client

HELLO = [{"role": "user", "content": "one two three"}]


def stub() -> Stub:
    return Stub(ProviderConfig(name="stub", type="stub"))


async def answered(path: str, body: object, *, model: str | None = None) -> Any:
    """Return the JSON of the stub's plain answer."""
    exchange = new_exchange(path, body=body)
    target = Target(provider=stub(), model=model)
    provider: Provider = stub()
    assert provider.prepare(exchange, target) is None
    answer = await stub().answer(exchange, target)
    assert (answer.status, answer.stream, answer.length) == (200, None, len(answer.body))
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


async def streamed(path: str, body: dict[str, object]) -> list[bytes]:
    """Return the frames of the stub's stream, each a read of its own."""
    answer = await stub().answer(new_exchange(path, body=body | {"stream": True}), Target(provider=stub()))
    assert answer.framing and answer.body == b"" and answer.length is None and answer.stream is not None
    frames = [frame async for frame in iterate(answer.stream)]
    assert all(frame.endswith(b"\n\n") for frame in frames)
    return frames


async def test_chat_gets_the_canned_answer_with_usage_in_words_and_roles() -> None:
    reply = await answered("/v1/chat/completions", {"model": "asked", "messages": HELLO})
    assert reply["choices"][0]["message"]["content"] == "stub response"
    assert reply["model"] == "asked"
    usage = reply["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4, 2, 6)


async def test_responses_and_messages_get_it_too() -> None:
    response = await answered("/v1/responses", {"model": "asked", "input": "one two"})
    assert response["output"][0]["content"][0]["text"] == "stub response" and response["model"] == "asked"
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (3, 2)
    message = await answered("/v1/messages", {"model": "asked", "max_tokens": 9, "messages": HELLO})
    assert message["content"][0]["text"] == "stub response" and message["model"] == "asked"
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (4, 2)


async def test_text_completions_get_it_too() -> None:
    reply = await answered("/v1/completions", {"model": "asked", "prompt": "one two"})
    assert (reply["object"], reply["choices"][0]["text"]) == ("text_completion", "stub response")
    assert (reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]) == (2, 2)
    frames = await streamed("/v1/completions", {"prompt": "x", "stream_options": {"include_usage": True}})
    chunks = [json.loads(frame[6:]) for frame in frames[:-1]]
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == "stub response"
    assert chunks[-1]["usage"]["total_tokens"] == 3 and frames[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("path", "body", "piece"),
    [
        ("/v1/chat/completions", {"messages": HELLO}, b'"content":"%b"'),
        ("/v1/completions", {"prompt": "x"}, b'"text":"%b"'),
        ("/v1/responses", {"input": "x"}, b'"delta":"%b"'),
        ("/v1/messages", {"messages": HELLO}, b'"text":"%b"'),
    ],
)
async def test_streams_come_in_two_pieces(path: str, body: dict[str, object], piece: bytes) -> None:
    frames = await streamed(path, body)
    [first] = [number for number, frame in enumerate(frames) if piece % b"stub " in frame]
    [second] = [number for number, frame in enumerate(frames) if piece % b"response" in frame]
    assert first + 1 == second


@pytest.mark.parametrize(
    ("options", "message"), [({"include_usage": True}, True), ({"include_usage": False}, False), ({}, False)]
)
async def test_a_chat_stream_tells_usage_when_it_is_asked_to(options: dict[str, bool], message: bool) -> None:
    frames = await streamed("/v1/chat/completions", {"messages": HELLO, "stream_options": options})
    assert any(b'"total_tokens":6' in frame for frame in frames) is message


async def test_tokens_can_be_counted() -> None:
    assert await answered("/v1/messages/count_tokens", {"messages": HELLO}) == {"input_tokens": 4}


async def test_embeddings_depend_on_nothing_but_their_input() -> None:
    reply = await answered("/v1/embeddings", {"model": "e", "input": ["one two", "three", "one two"]})
    first, second, third = (each["embedding"] for each in reply["data"])
    assert first == third != second and [each["index"] for each in reply["data"]] == [0, 1, 2]
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    assert reply["usage"] == {"prompt_tokens": 5, "total_tokens": 5} and reply["model"] == "e"
    again = await answered("/v1/embeddings", {"model": "e", "input": "one two", "encoding_format": "base64"})
    raw = base64.b64decode(again["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(first)}f", raw)) == pytest.approx(first, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "count", "size"),
    [
        ({"input": "x", "dimensions": 3}, 1, 3),
        ({"input": [1, 2, 3]}, 1, 8),
        ({"input": [[1, 2], [3]], "dimensions": 5}, 2, 5),
        ({"input": "x", "dimensions": 3072}, 1, 3072),
    ],
)
async def test_embeddings_have_the_shape_that_is_asked_for(body: dict[str, object], count: int, size: int) -> None:
    reply = await answered("/v1/embeddings", body)
    assert [len(each["embedding"]) for each in reply["data"]] == [size] * count


@pytest.mark.parametrize("given_input", [[], "", ["a", ""], [["x"]], ["a"] * 2049])
async def test_input_that_no_vendor_takes_is_refused(given_input: object) -> None:
    with pytest.raises(BadRequest, match="input"):
        await answered("/v1/embeddings", {"input": given_input})


@pytest.mark.parametrize(("given_input", "vectors"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)])
async def test_every_input_gets_a_vector(given_input: object, vectors: int) -> None:
    data = (await answered("/v1/embeddings", {"input": given_input}))["data"]
    assert [each["index"] for each in data] == list(range(vectors))
    assert all(len(each["embedding"]) == 8 for each in data)


async def test_the_sdk_reads_both_encodings_to_the_same_vector() -> None:
    body = {"input": "a", "dimensions": 3}
    packed = await answered("/v1/embeddings", body | {"encoding_format": "base64"})
    floats = await answered("/v1/embeddings", body)
    [read] = openai_client(json.dumps(packed).encode()).embeddings.create(model="m", input="a").data
    assert read.embedding == pytest.approx(floats["data"][0]["embedding"], abs=1e-6)
    assert len(read.embedding) == 3


async def test_the_sdk_reads_text_completions() -> None:
    reply = await answered("/v1/completions", {"prompt": "x"})
    legacy = Completion.model_validate_json(json.dumps(reply))
    assert legacy.choices[0].text == "stub response" and legacy.usage and legacy.usage.completion_tokens == 2
    frames = await streamed("/v1/completions", {"prompt": "x", "stream_options": {"include_usage": True}})
    chunks = list(openai_client(frames).completions.create(model="m", prompt="Hi", stream=True))
    assert [each.choices[0].text for each in chunks if each.choices] == ["stub ", "response", ""]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 2
    assert not any(b"usage" in frame for frame in await streamed("/v1/completions", {"prompt": "x"}))


async def test_its_text_completions_are_read_again() -> None:
    body: dict[str, object] = {"prompt": "x", "stream_options": {"include_usage": True}}
    counted = Usage(input=1, output=2)
    summary = Summary(model="stub", usage=counted, finish_reason="stop", text="stub response", complete=True)
    plain = json.dumps(await answered("/v1/completions", body)).encode()
    assert COMPLETIONS.readers.summarize(plain, text=True) == summary
    watch = COMPLETIONS.readers.watch(text=True)
    for frame in await streamed("/v1/completions", body):
        watch.feed(frame)
    assert watch.close() == summary


async def test_the_targets_model_goes_before_the_one_that_was_asked_for() -> None:
    assert (await answered("/v1/chat/completions", {"model": "a", "messages": HELLO}, model="b"))["model"] == "b"
    assert (await answered("/v1/chat/completions", {"messages": HELLO}))["model"] == "stub"


async def test_a_compressed_request_is_read() -> None:
    body = compress(json.dumps({"model": "m", "messages": HELLO}).encode(), "zstd")
    answer = await stub().answer(new_exchange(body=body, encoding="zstd"), Target(provider=stub()))
    assert json.loads(answer.body)["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", b"no json", None),
        ("/v1/chat/completions", [], None),
        ("/v1/chat/completions", {}, None),
        ("/v1/chat/completions", {"model": "m"}, "messages"),
        ("/v1/messages", {"model": "m", "messages": None}, "messages"),
        ("/v1/messages/count_tokens", {"model": "m"}, "messages"),
        ("/v1/embeddings", {"model": "m"}, "input"),
    ],
)
async def test_what_every_vendor_refuses_is_refused(path: str, body: object, param: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        await answered(path, body)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("GET", "/v1/responses/resp_1"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/images/generations"),
        ("POST", "/what/ever"),
        ("GET", ""),
    ],
)
async def test_the_rest_of_the_api_is_a_404(method: str, path: str) -> None:
    exchange = new_exchange(path, method=method)
    exchange.body = StreamedBody(stream=FrameStream([]), length=None)
    with pytest.raises(BadRequest) as refused:
        await stub().answer(exchange, Target(provider=stub()))
    assert refused.value.status == 404 and method in refused.value.message


def test_the_stub_takes_no_model_from_others() -> None:
    assert (stub().patterns, stub().models, stub().sole_catch_all) == (("stub",), ("stub",), True)


@pytest.mark.parametrize(
    ("path", "has"),
    [
        ("/v1/chat/completions", True),
        ("/v1/embeddings", True),
        ("/v1/messages/count_tokens", True),
        ("/v1/messages/batches", False),
        ("/v1/models/m:embedContent", False),
    ],
)
def test_it_has_the_main_calls_of_a_dialect_and_no_files_or_batches(path: str, has: bool) -> None:
    endpoint = catalog.find("POST", path)
    assert endpoint is not None and stub().has_call(endpoint) is has

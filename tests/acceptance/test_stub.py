"""Without any key there is the stub: a canned answer for every model, in every dialect."""

from __future__ import annotations

import re
import shlex

import anthropic
import openai
import pytest

from tests.support.program import Program

TEXT = "stub response"


@pytest.mark.ledger("P2")
def test_the_openai_sdk_talks_to_the_stub(stub: Program) -> None:
    with openai.OpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0) as client:
        plain = client.chat.completions.create(model="anything", messages=[{"role": "user", "content": "hi"}])
        assert (plain.choices[0].message.content, plain.choices[0].finish_reason) == (TEXT, "stop")
        assert plain.model == "anything" and plain.usage and plain.usage.total_tokens > 0
        stream = client.chat.completions.create(
            model="anything",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        pieces = [
            chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
        ]
        assert pieces == ["stub ", "response"]
        assert chunks[-1].usage and chunks[-1].usage.completion_tokens > 0
        response = client.responses.create(model="anything", input="hi")
        assert response.output_text == TEXT and response.usage and response.status == "completed"
        with client.responses.stream(model="anything", input="hi") as events:
            deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
            assert deltas == ["stub ", "response"]
            assert events.get_final_response().output_text == TEXT


@pytest.mark.ledger("P2")
def test_the_anthropic_sdk_talks_to_the_stub(stub: Program) -> None:
    with anthropic.Anthropic(base_url=stub.url, api_key="none", max_retries=0) as client:
        plain = client.messages.create(model="any", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert [block.text for block in plain.content if block.type == "text"] == [TEXT]
        assert plain.stop_reason == "end_turn" and plain.usage.output_tokens > 0
        with client.messages.stream(model="any", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
            assert list(stream.text_stream) == ["stub ", "response"]
            assert stream.get_final_message().usage.output_tokens > 0


@pytest.mark.ledger("P2")
async def test_the_async_sdks_talk_to_the_stub(stub: Program) -> None:
    client = openai.AsyncOpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0)
    async with client, client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as chat:
        assert (await chat.get_final_completion()).choices[0].message.content == TEXT
    claude = anthropic.AsyncAnthropic(base_url=stub.url, api_key="none", max_retries=0)
    async with (
        claude,
        claude.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        assert await stream.get_final_text() == TEXT


@pytest.mark.ledger("H4")
def test_the_stub_keeps_responses_as_the_responses_api_does(stub: Program) -> None:
    with openai.OpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="Previous response with id 'resp_x' not found") as unknown:
            client.responses.create(model="m", input="hi", previous_response_id="resp_x")
        assert (unknown.value.code, unknown.value.param) == ("previous_response_not_found", "previous_response_id")
        first = client.responses.create(model="m", input="hi")
        assert client.responses.retrieve(first.id).output_text == TEXT
        [item] = client.responses.input_items.list(first.id).data
        assert item.type == "message"
        second = client.responses.create(model="m", input="more", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        assert second.usage and first.usage and second.usage.input_tokens > first.usage.input_tokens, (
            "the whole is read"
        )
        client.responses.delete(first.id)
        for gone in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
            with pytest.raises(openai.NotFoundError, match=first.id):
                gone(first.id)


def test_without_a_configuration_the_stub_is_listed(stub: Program) -> None:
    with openai.OpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["stub"]
        assert client.models.retrieve("stub").owned_by == "stub"


@pytest.mark.ledger("C2")
def test_with_nothing_configured_the_banner_shows_a_curl_line_that_works(stub: Program) -> None:
    line = next(line for line in stub.out.splitlines() if "curl" in line)
    words = shlex.split(line[line.index("curl") :])
    url = next(word for word in words if word.startswith("http"))
    body = next(words[number + 1] for number, word in enumerate(words) if word in ("-d", "--data", "--json"))
    with stub.client() as client:
        client.request("POST", re.sub(r"^http://[^/]+", "", url), "Content-Type: application/json", body=body.encode())
        answer = client.read_answer()
    assert answer.status == 200 and TEXT.split()[0].encode() in answer.body


def test_the_stub_counts_its_tokens(stub: Program) -> None:
    before = stub.metric("llmproxy_tokens_total", model="counted", type="output")
    usage = stub.post("/v1/chat/completions", {"model": "counted", "messages": []}).json["usage"]
    after = stub.metric("llmproxy_tokens_total", model="counted", type="output")
    assert after - before == usage["completion_tokens"]

"""A provider that speaks gemini and refuses what Google does, with all clients; and what google-genai does besides.

`test_translation.py` has that client's conversations with the other kinds of providers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors, types

from tests.support import strict_gemini, vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.sdk_conversations import ASKERS, NAMES, PNG, SCHEMA, SdkConversation
from tests.support.strict_gemini import FILLER, SIGNATURE, chunk, frame
from tests.support.vendors import IN, OUT, TEXT, TOOL_CALLS

WANTED = [(call, name, json.loads(arguments)) for call, name, arguments in TOOL_CALLS]
LIMITED = (openai.RateLimitError, anthropic.RateLimitError, ClientError, errors.ClientError)
FAILED = (openai.APIError, anthropic.APIError, ClientError, errors.APIError, RuntimeError)
MODEL = "google/gemini-3-flash-preview"
PATH = b"/v1/models/gemini-3-flash-preview"


@pytest.fixture(scope="module")
def lasting_google() -> Iterator[Upstream]:
    with Upstream(strict_gemini.answer) as upstream:
        yield upstream


@pytest.fixture
def google(lasting_google: Upstream) -> Iterator[Upstream]:
    lasting_google.forget()
    yield lasting_google
    lasting_google.check()


@pytest.fixture(scope="module")
def program(
    lasting_google: Upstream, lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    config = f"""
translation: {{estimate_tokens: true}}
providers:
  - {{name: google, type: openai-compatible, base_url: "{lasting_google.url}/v1", dialects: [gemini]}}
  - {{name: on-chat, type: openai-compatible, base_url: "{lasting_upstream.url}/v1", dialects: [chat]}}
middlewares:
  - {{type: cache}}
"""
    with Program(tmp_path_factory.mktemp("gemini"), "serve", config=config) as program:
        yield program


@pytest.fixture(params=ASKERS, ids=lambda asker: f"{asker.dialect} client")
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    made: Any = request.param(program.url)
    with made.client:
        yield made


@pytest.fixture
def client(program: Program) -> Iterator[genai.Client]:
    client = genai.Client(api_key="dummy", http_options={"base_url": program.url})
    yield client
    client.close()


@pytest.fixture(params=[False, True], ids=["plain", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_question_is_answered(asker: SdkConversation, google: Upstream, stream: bool) -> None:
    asker.say("Grüß Gott")
    turn = asker.ask(MODEL, stream=stream)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, [], asker.stops[0])
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT)
    verb = b":streamGenerateContent?alt=sse" if stream else b":generateContent"
    assert google.only.target == PATH + verb
    assert json.loads(google.only.body)["contents"][-1]["parts"][0]["text"] == "Grüß Gott"
    if asker.dialect != "converse":
        assert google.only.value("x-goog-api-key") == "dummy"


def test_a_tool_loop_keeps_the_signature(asker: SdkConversation, google: Upstream, stream: bool) -> None:
    asker.say("What is it like there?")
    turn = asker.ask(MODEL, stream=stream, tools=True, think=True)
    assert (turn.calls, turn.stop) == (WANTED, asker.stops[1])
    declared = json.loads(google.last.body)["tools"][0]["functionDeclarations"]
    assert [each["name"] for each in declared] == list(NAMES)

    asker.give({call: f"result of {call}" for call, _, _ in reversed(turn.calls)})
    assert asker.ask(MODEL, stream=stream, tools=True, think=True).text == TEXT
    _, calls, results = json.loads(google.last.body)["contents"]
    called = [part for part in calls["parts"] if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in called] == [SIGNATURE, None]
    assert {part["functionResponse"]["id"] for part in results["parts"]} == {call for call, _, _ in turn.calls}


def test_a_picture_and_a_schema_arrive(asker: SdkConversation, google: Upstream) -> None:
    asker.say("What is this?", image=True)
    assert asker.ask(MODEL, stream=False, schema=True).text == TEXT
    body = json.loads(google.only.body)
    sent = body["contents"][0]["parts"][1]["inlineData"]
    assert sent["data"].replace("-", "+").replace("_", "/") == PNG and "image/png" in sent.values()
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA


@pytest.mark.parametrize("listed", [False, True], ids=["object", "list"])
def test_a_limit_is_a_limit(asker: SdkConversation, google: Upstream, listed: bool) -> None:
    retry = ("Retry-After", "7")
    google.next(strict_gemini.refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded", retry, listed=listed))
    asker.say("Hi")
    with pytest.raises(LIMITED, match="Quota exceeded"):
        asker.ask(MODEL, stream=False)


def test_an_error_in_the_middle_of_a_stream_is_one_for_the_client(asker: SdkConversation, google: Upstream) -> None:
    error = {"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}}
    pieces = [frame(chunk("g", {"text": "Hello"})), frame(error)]
    google.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked"))
    asker.say("Hi")
    with pytest.raises(FAILED) as caught:
        asker.ask(MODEL, stream=True)
    assert "boom" in str(caught.value) or asker.dialect == "responses"


def test_calls_of_other_models_get_the_filler(program: Program, google: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Cold"},
    ]
    answer = program.post("/v1/chat/completions", {"model": MODEL, "messages": messages})
    assert answer.status == 200, answer
    assert json.loads(google.only.body)["contents"][1]["parts"][0]["thoughtSignature"] == FILLER


# -- clients that speak it


def array(program: Program, model: str, **more: Any) -> tuple[list[dict[str, Any]], str | None]:
    """Return the stream that a client without `alt=sse` gets."""
    body = {"contents": [{"parts": [{"text": f"In an array: {more}"}]}], **more}
    answer = program.post(f"/v1beta/models/{model.replace('/', '%2F')}:streamGenerateContent", body)
    assert answer.status == 200, answer
    assert str(answer.value("content-type")).startswith("application/json")
    return answer.json, answer.value("x-cache")


@pytest.mark.parametrize("model", [MODEL, "on-chat/m"])
def test_a_stream_without_alt_is_an_array(program: Program, google: Upstream, upstream: Upstream, model: str) -> None:
    chunks, _ = array(program, model)
    parts = [part for each in chunks for part in each["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == TEXT and len(chunks) > 3
    assert chunks[-1]["usageMetadata"]["promptTokenCount"] == IN
    if model == MODEL:
        assert google.only.target == PATH + b":streamGenerateContent"


@pytest.mark.parametrize("model", [MODEL, "on-chat/m"])
def test_a_cached_answer_has_the_form_that_is_asked_for(
    program: Program, client: genai.Client, google: Upstream, upstream: Upstream, model: str
) -> None:
    cold = {"generationConfig": {"temperature": 0}}
    whole = [array(program, model, **cold) for _ in range(2)]
    assert whole[0][0] == whole[1][0] and [state for _, state in whole] == ["miss", "hit"]
    config = types.GenerateContentConfig(temperature=0)
    for _ in range(2):
        chunks = client.models.generate_content_stream(model=model, contents="Once", config=config)
        assert "".join(each.text or "" for each in chunks) == TEXT
    assert client.models.generate_content(model=model, contents="Once", config=config).text == TEXT
    assert len([*google.requests, *upstream.requests]) == 2


def test_a_stream_that_breaks_off_ends_the_array_with_an_error(program: Program, google: Upstream) -> None:
    whole = strict_gemini.streamed([chunk("g", {"text": "Hello"}), chunk("g", {"text": "more"})], sse=False)
    google.next(Reply(headers=whole.headers, pieces=list(whole.pieces)[:2], framing="chunked", end="cut"))
    chunks, _ = array(program, MODEL)
    assert [each.get("error", {}).get("status") for each in chunks] == [None, None, "INTERNAL"]


def test_a_translated_stream_that_breaks_off_ends_the_array_with_an_error(program: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=vendors.chat_frames("m")[:4], framing="chunked", end="cut"))
    chunks, _ = array(program, "on-chat/m")
    assert chunks[-1]["error"]["code"] >= 500 and "candidates" in chunks[0]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Cold in {city}"


def clock(zone: str, hours: int) -> str:
    """The time in a zone."""
    return f"{hours} in {zone}"


@pytest.mark.parametrize("model", [MODEL, "on-chat/m"])
def test_the_sdk_calls_functions_by_itself(
    client: genai.Client, google: Upstream, upstream: Upstream, model: str
) -> None:
    reply = vendors.plain(vendors.chat("m", True))
    upstream.next(reply, vendors.plain(vendors.chat("m")))
    config = types.GenerateContentConfig(tools=[weather, clock])
    assert client.models.generate_content(model=model, contents="How is it?", config=config).text == TEXT
    last = (google if model == MODEL else upstream).last.body.decode()
    assert "Cold in" in last and "24 in UTC" in last


@pytest.mark.parametrize("model", [MODEL, "on-chat/m"])
def test_a_chat_remembers(client: genai.Client, google: Upstream, upstream: Upstream, model: str) -> None:
    chat = client.chats.create(model=model)
    assert chat.send_message("I am Ada").text == TEXT
    assert "".join(each.text or "" for each in chat.send_message_stream("Who am I?")) == TEXT
    assert len(chat.get_history(curated=True)) >= 4
    last = (google if model == MODEL else upstream).last.body.decode()
    assert "I am Ada" in last and "aus dem" in last


@pytest.mark.parametrize(("model", "most"), [(MODEL, IN), ("on-chat/m", 20)])
def test_tokens_are_counted(client: genai.Client, google: Upstream, model: str, most: int) -> None:
    counted = client.models.count_tokens(model=model, contents="Count these few words")
    assert counted.total_tokens is not None and 4 < counted.total_tokens <= most


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [(429, "RESOURCE_EXHAUSTED", errors.ClientError), (503, "UNAVAILABLE", errors.ServerError)],
)
@pytest.mark.parametrize("model", [MODEL, "on-chat/m"])
def test_errors_have_googles_words(
    client: genai.Client, google: Upstream, upstream: Upstream, model: str, status: int, word: str, kind: Any
) -> None:
    google.next(strict_gemini.refusal(status, word, f"vendor says {status}"))
    upstream.next(vendors.failure(status, word))
    with pytest.raises(kind, match=f"vendor says {status}") as caught:
        client.models.generate_content(model=model, contents="Hi")
    assert (caught.value.code, caught.value.status) == (status, word)


def test_our_own_errors_have_them_too(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nobody/knows", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_models_are_listed_as_google_does(client: genai.Client, program: Program) -> None:
    names = [model.name for model in client.models.list()]
    assert "models/on-chat/gpt-test" in names
    assert client.models.get(model="on-chat/gpt-test").name == "models/on-chat/gpt-test"
    listed = program.get("/v1beta/models?key=dummy").json
    assert {"models/on-chat/gpt-test"} <= {each["name"] for each in listed["models"]}


def test_other_calls_are_relayed(program: Program, google: Upstream) -> None:
    google.next(Reply(headers=vendors.JSON, pieces=[b'{"files":[]}']))
    answer = program.get("/google/v1beta/files?pageSize=2")
    assert answer.json == {"files": []} and google.only.target.endswith(b"files?pageSize=2")


def test_a_relayed_body_keeps_its_bytes(program: Program, google: Upstream) -> None:
    raw = b'{ "contents":[{"parts":[{"text":"bytes"}]}],  "generationConfig":{"temperature":0.50} }'
    with program.client() as client:
        target = "/v1beta/models/google%2Fgemini-3-flash-preview:streamGenerateContent?alt=sse"
        client.request("POST", target, "Content-Type: application/json", "Connection: close", body=raw)
        answer = client.read_answer()
    assert google.only.body == raw
    sent = json.loads(raw)
    assert answer.body == b"".join(map(frame, strict_gemini.chunks_of(sent, "gemini-3-flash-preview")))

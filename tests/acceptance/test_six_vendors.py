"""The five SDKs against the six kinds of providers, and against what else these serve: one started program, one
upstream that is as strict as the vendors are (`tests/support/six_vendors.py`).

Each case is run for a sample in which each client meets each provider; `--long` runs all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from google import genai
from google.genai import errors as genai_errors
from google.oauth2.credentials import Credentials
from urllib3.exceptions import HTTPError

from tests.support import google_accounts
from tests.support.fake_bedrock import KEY_ID, REGION, SECRET
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_conversations import ASKERS, PNG, Chat, Converse, Gemini, Messages, Responses, SdkConversation
from tests.support.six_vendors import KEYS, LATE_WORDS, WORDS, SixVendors
from tests.support.strict_vendor import Question
from tests.support.vendor_calls import LOCATION
from tests.support.vendors import CACHED, IN, OUT, REASONING

CLAUDE, GEMINI, GPT = "claude-sonnet-4-6", "gemini-3-flash-preview", "gpt-5.1"
SIX = {
    "openai": f"openai/{GPT}",
    "anthropic": f"anthropic/{CLAUDE}",
    "gemini": f"gemini/{GEMINI}",
    "vertex": f"vertex/{GEMINI}",
    "bedrock": "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "azure": f"azure/{GPT}",
}
MORE = {
    "openai responses": f"openai-responses/{GPT}",
    "gemini 2.5": "gemini/gemini-2.5-flash",
    "claude at vertex": "vertex/claude-sonnet-4-5@20250929",
    "openai form of vertex": "vertex/meta/llama-4-maverick-17b-128e-instruct-maas",
    "express key": f"express/{GEMINI}",
    "nova at bedrock": f"bedrock/arn:aws:bedrock:{REGION}:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
    "deployment of azure": f"azure-dated/{GPT}",
    "newer deployment of azure": f"azure-newer/{GPT}",
    "azure responses": f"azure-responses/{GPT}",
    "claude at foundry": f"azure/{CLAUDE}",
}
TEXT = "Grüße aus dem Süden: 你好 🙂 und noch ein paar Wörter"
FIRST = (
    SpokenCall(id="call_first_1", name="weather", input={"city": "Łódź"}),
    SpokenCall(id="call_first_2", name="clock", input={"zone": "UTC"}),
)
SECOND = (SpokenCall(id="call_second_1", name="weather", input={"city": "Oslo"}),)
LIMITED = (openai.RateLimitError, anthropic.RateLimitError, ClientError, genai_errors.ClientError)
FAILED = (
    *(openai.APIError, anthropic.APIError, ClientError, BotoCoreError, genai_errors.APIError),
    *(httpx2.TransportError, HTTPError, RuntimeError),
)
# What the vendors' counts say of tokens read from a cache, written to one and spent on reasoning; what clients can say.
COUNTED = {
    "chat": (CACHED, 0, REASONING),
    "responses": (CACHED, 0, REASONING),
    "messages": (CACHED, 16, 0),
    "converse": (CACHED, 16, 0),
    "gemini": (CACHED, 0, REASONING),
}
SAYS = {"chat": (1, 1, 1), "responses": (1, 1, 1), "messages": (1, 1, 1), "converse": (1, 1, 0), "gemini": (1, 0, 1)}


WAYS: dict[str, tuple[Any, ...]] = {"stream": (False, True), "trouble": ("cut", "torn")}


def play(question: Question) -> SpokenTurn:
    """Call two tools, then one more, then say the end; speak where there are no tools."""
    if not question.tools:
        return SpokenTurn(text=TEXT)
    step = len(question.answered)
    if step >= 3:
        return SpokenTurn(thinking="That is enough.", text="It is colder in Oslo.")
    if step == 2:
        return SpokenTurn(thinking="Now the other.", calls=SECOND)
    return SpokenTurn(thinking="Let me look at both.", redacted="aGlkZGVu+/8=", text="One moment.", calls=FIRST)


@pytest.fixture(scope="module")
def lasting_vendors() -> SixVendors:
    return SixVendors(play)


@pytest.fixture
def vendors(lasting_vendors: SixVendors) -> Iterator[SixVendors]:
    lasting_vendors.forget()
    yield lasting_vendors
    assert lasting_vendors.faults == []


@pytest.fixture(scope="module")
def lasting_six(lasting_vendors: SixVendors) -> Iterator[Upstream]:
    with Upstream(lasting_vendors) as upstream:
        yield upstream


@pytest.fixture
def upstream(lasting_six: Upstream) -> Iterator[Upstream]:
    lasting_six.forget()
    yield lasting_six
    lasting_six.check()
    assert not [each.head for each in lasting_six.requests if b"dummy" in each.head.lower()]


@pytest.fixture(scope="module")
def program(lasting_six: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder, url = tmp_path_factory.mktemp("six"), lasting_six.url
    account = google_accounts.service_account(folder, url)
    aws = f'region: {REGION}, access_key_id: {KEY_ID}, secret_access_key: "{SECRET}"'
    azure = f'type: azure, base_url: "{url}", api_key: {KEYS["azure"]}'
    openai_ = f'type: openai, base_url: "{url}/v1", api_key: {KEYS["openai"]}'
    config = f"""
providers:
  - {{name: openai, {openai_}}}
  - {{name: openai-responses, {openai_}, dialects: [responses], priority: 9}}
  - {{name: anthropic, type: anthropic, base_url: "{url}", api_key: {KEYS["anthropic"]}}}
  - {{name: gemini, type: gemini, base_url: "{url}", api_key: {KEYS["gemini"]}}}
  - {{name: vertex, type: vertex, base_url: "{url}", location: {LOCATION}, credentials_file: "{account}", priority: 9}}
  - {{name: express, type: vertex, base_url: "{url}", api_key: {KEYS["gemini"]}, models: ["-"]}}
  - {{name: bedrock, type: bedrock, base_url: "{url}", {aws}}}
  - {{name: azure, {azure}, models: ["gpt-5.1", "claude-*"], priority: 9}}
  - {{name: azure-dated, {azure}, api_version: 2024-10-21, models: ["-"], priority: 9}}
  - {{name: azure-newer, {azure}, api_version: 2025-04-01-preview, models: ["-"]}}
  - {{name: azure-responses, {azure}, dialects: [responses], models: ["-"]}}
"""
    with Program(folder, "serve", config=config) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for each client, provider and way. Without `--long` for a sample: one client with each provider and
    one way for it, which move on from test to test."""
    if "asker" not in metafunc.fixturenames:
        return
    way = next((name for name in WAYS if name in metafunc.fixturenames), None)
    case = [name for name in vars(metafunc.module) if name.startswith("test_")].index(metafunc.function.__name__)
    cells = []
    for place, (name, model) in enumerate((SIX | MORE).items()):
        for number, asker in enumerate(ASKERS):
            ways = [*enumerate(WAYS[way] if way else (None,))]
            if not metafunc.config.getoption("--long"):
                met = (number + place + case) % len(ASKERS) == 0 and (name in SIX or case % 4 == place % 4)
                ways = [ways[(place + case) % len(ways)]] if met else []
            values = [[asker, model, *([value] if way else ())] for _, value in ways]
            named = f"{asker.dialect} client-{name}"
            cells += [pytest.param(*each, id="-".join(map(str, [named, *each[2:]]))) for each in values]
    metafunc.parametrize(["asker", "model", *([way] if way else ())], cells, indirect=["asker"])


@pytest.fixture
def asker(request: pytest.FixtureRequest, program: Program) -> Iterator[SdkConversation]:
    conversation: SdkConversation = request.param(program.url)
    with conversation.client:  # type: ignore[attr-defined]
        yield conversation


def sent(upstream: Upstream) -> str:
    """Return the body of the last call of a model."""
    return [each for each in upstream.requests if each.path != "/token"][-1].body.decode()


@pytest.mark.ledger("H1", "P1", "P5")
def test_a_question_is_answered_with_the_counts_of_the_provider(
    asker: SdkConversation, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    asker.system = "You answer in German."
    asker.more = {"temperature": 0.5} if asker.dialect != "messages" else {}  # its API has no temperature any more
    asker.say("Grüß Gott")
    turn = asker.ask(model, stream=stream)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, [], asker.stops[0])
    assert vendors.calls[-1].model == model.partition("/")[2]
    assert vendors.calls[-1].stream is stream and asker.system in sent(upstream)
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT) and turn.total in (None, IN + OUT)
    counted = COUNTED[vendors.calls[-1].dialect]
    assert turn.parts == tuple(count * said for count, said in zip(counted, SAYS[asker.dialect], strict=True))


def test_two_turns_of_tools_go_round(
    asker: SdkConversation, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    go_round(asker, model, stream=stream, think=False)
    results = [text for _, text in vendors.questions[-1].results]
    assert "clock: 12" in results[1] and "weather: 3" in results[2]


def test_thinking_is_kept_while_tools_are_called(
    asker: SdkConversation, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    go_round(asker, model, stream=stream, think=True)


def go_round(asker: SdkConversation, model: str, *, stream: bool, think: bool) -> None:
    """Have two tools called at once, then one more, and ask once more behind the end."""
    asker.say("Where is it colder, in Łódź or in Oslo?")
    first = asker.ask(model, stream=stream, tools=True, think=think)
    assert [(name, value) for _, name, value in first.calls] == [(call.name, call.input) for call in FIRST]
    assert (first.text, first.stop) == ("One moment.", asker.stops[1])
    asker.give({call: f"{name}: 12" for call, name, _ in first.calls})
    second = asker.ask(model, stream=stream, tools=True, think=think)
    assert [(name, value) for _, name, value in second.calls] == [("weather", {"city": "Oslo"})]
    asker.give({call: "weather: 3" for call, _, _ in second.calls})
    assert asker.ask(model, stream=stream, tools=True, think=think).text == "It is colder in Oslo."
    asker.say("Thank you. And tomorrow?")
    assert asker.ask(model, stream=stream, tools=True, think=think).calls == []


def test_a_picture_arrives(asker: SdkConversation, model: str, vendors: SixVendors, upstream: Upstream) -> None:
    asker.say("What is this?", image=True)
    assert asker.ask(model, stream=False).text == TEXT
    body = sent(upstream)
    if vendors.calls[-1].dialect == asker.dialect == "gemini":
        body = body.replace("-", "+").replace("_", "/")  # its SDK writes the base64 of URLs
    assert PNG in body and ("image/png" in body or '"png"' in body) and "What is this?" in body


def test_an_answer_in_a_form_is_asked_for(
    asker: SdkConversation, model: str, vendors: SixVendors, upstream: Upstream
) -> None:
    if "nova" in model:
        pytest.skip("has no forms of answers")
    asker.say("Where?")
    asker.ask(model, stream=False, schema=True)
    body = sent(upstream).replace("\\", "")
    assert '"people"' in body and '"integer"' in body


def test_an_answer_that_the_limit_cut_short_says_so(
    asker: SdkConversation, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    asker.say("Tell me everything")
    asker.limit = 64
    vendors.cut_short = True
    turn = asker.ask(model, stream=stream)
    assert (turn.text, turn.stop) == (TEXT, asker.cut)
    assert "64" in sent(upstream)


def test_a_limit_is_the_error_of_the_sdk_in_the_words_of_the_provider(
    asker: SdkConversation, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    vendors.trouble = "limit"
    asker.say("Hi")
    with pytest.raises(LIMITED) as caught:
        asker.ask(model, stream=stream)
    error: Any = caught.value
    assert WORDS in str(error) and len(vendors.calls) == 1
    if asker.dialect == "converse":
        assert type(error).__name__ == error.response["Error"]["Code"] == "ThrottlingException"
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    elif asker.dialect == "gemini":
        assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
        headers = error.response.headers
    else:
        headers = error.response.headers
    if not vendors.calls[-1].dialect == asker.dialect == "gemini":
        assert headers["retry-after"] == "7"


def test_an_error_in_the_middle_of_a_stream_is_raised(
    asker: SdkConversation, model: str, vendors: SixVendors, upstream: Upstream
) -> None:
    vendors.trouble = "error"
    asker.say("Hi")
    with pytest.raises(FAILED) as caught:
        asker.ask(model, stream=True)
    assert LATE_WORDS in str(caught.value) or asker.dialect == "responses"


def test_a_stream_that_breaks_off_never_ends_well(
    asker: SdkConversation, model: str, trouble: Any, vendors: SixVendors, upstream: Upstream
) -> None:
    vendors.trouble = trouble
    asker.say("Hi")
    with pytest.raises(FAILED):
        asker.ask(model, stream=True)


# -- each vendor's own SDK, unmodified, below the prefix of its vendor


def chat(client: openai.OpenAI) -> SdkConversation:
    return _with(Chat(""), client)


def responses(client: openai.OpenAI) -> SdkConversation:
    return _with(Responses(""), client)


def messages(client: Any) -> SdkConversation:
    return _with(Messages(""), client)


def gemini(**options: Any) -> Callable[[str], SdkConversation]:
    def make(url: str) -> SdkConversation:
        conversation = Gemini(url)
        conversation.google.close()
        conversation.google = genai.Client(**options, http_options={"base_url": url})
        conversation.client = contextlib.closing(conversation.google)
        return conversation

    return make


def _with(conversation: Any, client: Any) -> SdkConversation:
    conversation.client.close()
    conversation.client = client
    made: SdkConversation = conversation
    return made


DUMMY: dict[str, Any] = {"api_key": "dummy", "max_retries": 0}
AWS: dict[str, Any] = {"aws_access_key": "dummy", "aws_secret_key": "dummy", "aws_region": "us-east-1"}
TOKEN = Credentials(token="dummy")  # type: ignore[no-untyped-call]
GOOGLE: dict[str, Any] = {"project_id": "dummy", "region": "global", "access_token": "dummy"}
AZURE = {**DUMMY, "api_version": "2025-04-01-preview"}
# How each is made for an address, its prefix, and the model that it calls.
OWN: dict[str, tuple[Callable[[str], SdkConversation], str, str]] = {
    "openai": (lambda url: chat(openai.OpenAI(base_url=f"{url}/v1", **DUMMY)), "/openai", GPT),
    "openai responses": (lambda url: responses(openai.OpenAI(base_url=f"{url}/v1", **DUMMY)), "/openai", GPT),
    "azure": (lambda url: chat(openai.AzureOpenAI(azure_endpoint=url, **AZURE)), "/azure", GPT),
    "azure responses": (lambda url: responses(openai.AzureOpenAI(azure_endpoint=url, **AZURE)), "/azure", GPT),
    "azure without versions": (lambda url: chat(openai.OpenAI(base_url=f"{url}/openai/v1", **DUMMY)), "/azure", GPT),
    "foundry": (
        lambda url: messages(anthropic.AnthropicFoundry(base_url=f"{url}/anthropic", **DUMMY)),
        "/azure",
        CLAUDE,
    ),
    "anthropic": (lambda url: messages(anthropic.Anthropic(base_url=url, **DUMMY)), "/anthropic", CLAUDE),
    "anthropic for bedrock": (
        lambda url: messages(anthropic.AnthropicBedrock(base_url=url, **AWS)),
        "/bedrock",
        SIX["bedrock"][8:],
    ),
    "anthropic for vertex": (
        lambda url: messages(anthropic.AnthropicVertex(base_url=url, **GOOGLE)),
        "/vertex",
        MORE["claude at vertex"][7:],
    ),
    "boto3": (Converse, "/bedrock", SIX["bedrock"][8:]),
    "boto3 for an ARN": (Converse, "/bedrock", MORE["nova at bedrock"][8:]),
    "google-genai": (gemini(api_key="dummy"), "/gemini", GEMINI),
    "google-genai for vertex": (
        gemini(vertexai=True, project="dummy", location="us-east5", credentials=TOKEN),
        "/vertex",
        GEMINI,
    ),
    "google-genai with an express key": (gemini(vertexai=True, api_key="dummy"), "/express", GEMINI),
}


@pytest.mark.ledger("H1", "P1", "P5")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("sdk", OWN)
def test_each_vendors_own_sdk_goes_round_below_its_prefix(
    program: Program, sdk: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    make, prefix, model = OWN[sdk]
    conversation: Any = make(program.url + prefix)
    with conversation.client:
        go_round(conversation, model, stream=stream, think="nova" not in model)
    assert {call.vendor for call in vendors.calls} == {prefix[1:].replace("express", "vertex")}


# Below `/openai`, where the SDK of Azure calls responses, a provider of this name has its prefix.
ABROAD = ("azure", "anthropic for bedrock", "anthropic for vertex", *list(OWN)[-2:])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("sdk", "model"),
    [
        pytest.param(sdk, model, id=f"{sdk} to {name}", marks=() if place % len(SIX) == number else pytest.mark.long)
        for number, sdk in enumerate(ABROAD)
        for place, (name, model) in enumerate(SIX.items())
    ],
)
def test_the_sdk_of_a_cloud_reaches_every_provider(
    program: Program, sdk: str, model: str, stream: bool, vendors: SixVendors, upstream: Upstream
) -> None:
    conversation: Any = OWN[sdk][0](program.url)
    with conversation.client:
        go_round(conversation, model, stream=stream, think=True)
    assert {call.vendor for call in vendors.calls} == {model.partition("/")[0]}


@pytest.mark.ledger("H2")
@pytest.mark.parametrize("prefix", ["openai-proxy", "openai-proxy/v1", "v1"])
def test_a_model_is_found_by_its_name_or_by_that_of_its_provider(
    program: Program, prefix: str, vendors: SixVendors, upstream: Upstream
) -> None:
    bare = {name: model.partition("/")[2] for name, model in SIX.items() if name not in ("vertex", "azure")}
    bare["vertex"] = MORE["openai form of vertex"][7:]
    with chat(openai.OpenAI(base_url=f"{program.url}/{prefix}", **DUMMY)).client as client:
        for name, model in [*SIX.items(), *bare.items()]:
            said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
            assert said.choices[0].message.content == TEXT
            assert vendors.calls[-1].vendor == name and model.endswith(vendors.calls[-1].model)


@pytest.mark.parametrize("name", SIX)
def test_a_stream_without_alt_is_an_array_from_every_provider(
    program: Program, name: str, vendors: SixVendors, upstream: Upstream
) -> None:
    ask = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    path = f"/v1beta/models/{SIX[name].replace('/', '%2F')}:streamGenerateContent"
    said = program.post(path, ask)
    parts = [part for each in said.json for part in each["candidates"][0].get("content", {}).get("parts", ())]
    assert "".join(part["text"] for part in parts) == TEXT and said.json[-1]["usageMetadata"]["promptTokenCount"] == IN
    vendors.trouble = "error"
    said = program.post(path, ask)  # plain where the error came before anything else was sent
    last = said.json[-1] if isinstance(said.json, list) else said.json
    assert LATE_WORDS in last["error"]["message"] and isinstance(said.json, list) is (said.status == 200)

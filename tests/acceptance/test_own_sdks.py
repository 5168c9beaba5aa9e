"""Each vendor's own SDK, unmodified and with dummy credentials: below the prefix of its vendor, and to all others.

Behind the program stand the six vendors, each as strict as the real one (`tests/support/six_vendors.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.oauth2.credentials import Credentials

from tests.support.program import Program
from tests.support.sdk_conversations import Chat, Converse, Gemini, Messages, Responses, SdkConversation
from tests.support.six_program import CLAUDE, GEMINI, GPT, MORE, SIX, TEXT, go_round
from tests.support.six_vendors import LATE_WORDS, SixVendors
from tests.support.vendors import IN


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
    clouds: Program, sdk: str, stream: bool, six: SixVendors
) -> None:
    make, prefix, model = OWN[sdk]
    conversation: Any = make(clouds.url + prefix)
    with conversation.client:
        go_round(conversation, model, stream=stream, think="nova" not in model)
    assert {call.vendor for call in six.calls} == {prefix[1:].replace("express", "vertex")}


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
    clouds: Program, sdk: str, model: str, stream: bool, six: SixVendors
) -> None:
    conversation: Any = OWN[sdk][0](clouds.url)
    with conversation.client:
        go_round(conversation, model, stream=stream, think=True)
    assert {call.vendor for call in six.calls} == {model.partition("/")[0]}


@pytest.mark.ledger("H2")
@pytest.mark.parametrize("prefix", ["openai-proxy", "openai-proxy/v1", "v1"])
def test_a_model_is_found_by_its_name_or_by_that_of_its_provider(clouds: Program, prefix: str, six: SixVendors) -> None:
    bare = {name: model.partition("/")[2] for name, model in SIX.items() if name not in ("vertex", "azure")}
    bare["vertex"] = MORE["openai form of vertex"][7:]
    with chat(openai.OpenAI(base_url=f"{clouds.url}/{prefix}", **DUMMY)).client as client:
        for name, model in [*SIX.items(), *bare.items()]:
            said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
            assert said.choices[0].message.content == TEXT
            assert six.calls[-1].vendor == name and model.endswith(six.calls[-1].model)


@pytest.mark.parametrize("name", SIX)
def test_a_stream_without_alt_is_an_array_from_every_provider(clouds: Program, name: str, six: SixVendors) -> None:
    ask = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    path = f"/v1beta/models/{SIX[name].replace('/', '%2F')}:streamGenerateContent"
    said = clouds.post(path, ask)
    parts = [part for each in said.json for part in each["candidates"][0].get("content", {}).get("parts", ())]
    assert "".join(part["text"] for part in parts) == TEXT and said.json[-1]["usageMetadata"]["promptTokenCount"] == IN
    six.trouble = "error"
    said = clouds.post(path, ask)  # plain where the error came before anything else was sent
    last = said.json[-1] if isinstance(said.json, list) else said.json
    assert LATE_WORDS in last["error"]["message"] and isinstance(said.json, list) is (said.status == 200)

"""The Gemini API: OpenAI's clients in Google's form of their API, google-genai below the prefix, and the variables."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest
from google import genai
from google.genai import types

from tests.support import google_accounts, vendors
from tests.support.connection import Received
from tests.support.program import Program
from tests.support.provider import Call, Reply, Upstream

KEY, MODEL = "AIza-ours", "gemini-3-flash-preview"


async def google(call: Call) -> None:
    await call.give(_reply_to(call.request))


def _reply_to(request: Received) -> Reply:
    if request.path == "/v1beta/models":
        return vendors.plain({"models": [{"name": f"models/{MODEL}", "displayName": "Gemini"}]})
    if request.path.endswith(":generateContent"):
        content = {"role": "model", "parts": [{"text": vendors.TEXT}]}
        return vendors.plain({"candidates": [{"content": content, "finishReason": "STOP"}]})
    return vendors.reply_to(request)


def config(cloud: Upstream) -> str:
    return f"providers: [{{name: gemini, type: gemini, base_url: '{cloud.url}', api_key: {KEY}}}]"


@pytest.mark.ledger("P5", "H1", "H2")
def test_the_clients_of_both_apis_reach_the_gemini_api(tmp_path: Path) -> None:
    with Upstream(google) as cloud, Program(tmp_path, "serve", config=config(cloud)) as program:
        for base in ("/v1", "/gemini/v1", "/openai-proxy"):
            with openai.OpenAI(base_url=program.url + base, api_key="dummy") as client:
                answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
                assert answer.choices[0].message.content == vendors.TEXT
                assert cloud.requests[-1].path == "/v1beta/openai/chat/completions"
                assert cloud.requests[-1].value("authorization") == f"Bearer {KEY}"
                assert base != "/v1" or MODEL in {each.id for each in client.models.list()}
        with genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=f"{program.url}/gemini")) as own:
            assert own.models.generate_content(model=MODEL, contents="hi").text == vendors.TEXT
        assert cloud.requests[-1].path == f"/v1/models/{MODEL}:generateContent"
        assert cloud.requests[-1].value("x-goog-api-key") == KEY
        assert not any("dummy" in request.head.decode() for request in cloud.requests)


@pytest.mark.ledger("C9", "C2")
def test_the_usual_variables_name_both_providers_of_google(tmp_path: Path) -> None:
    variables = {
        "GOOGLE_API_KEY": KEY,
        "GEMINI_API_KEY": "another",
        "GOOGLE_CLOUD_PROJECT": "p",
        "GOOGLE_APPLICATION_CREDENTIALS": str(google_accounts.service_account(tmp_path, "http://127.0.0.1:9")),
    }
    with Program(tmp_path, "serve", extra=variables) as program:
        banner = program.out
    root = "gemini: gemini at https://generativelanguage.googleapis.com/v1beta"
    assert f"{root}, key: environment variable GOOGLE_API_KEY" in banner
    assert "vertex: vertex at https://aiplatform.googleapis.com" in banner
    assert "key: environment variable GOOGLE_APPLICATION_CREDENTIALS" in banner

"""The program with a provider of each kind, in front of the six vendors; and a conversation that shows what works.

Begin at `configuration` and `go_round`.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import google_accounts
from tests.support.fake_bedrock import KEY_ID, REGION, SECRET
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.sdk_conversations import SdkConversation
from tests.support.six_vendors import KEYS
from tests.support.strict_vendor import Question
from tests.support.vendor_calls import LOCATION

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


def configuration(folder: Path, url: str) -> str:
    """Return the configuration of a program in `folder`, whose providers are all at `url`."""
    account = google_accounts.service_account(folder, url)
    aws = f'region: {REGION}, access_key_id: {KEY_ID}, secret_access_key: "{SECRET}"'
    azure = f'type: azure, base_url: "{url}", api_key: {KEYS["azure"]}'
    openai_ = f'type: openai, base_url: "{url}/v1", api_key: {KEYS["openai"]}'
    return f"""
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

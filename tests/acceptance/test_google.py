"""The Gemini API and Vertex behind, and in front every SDK that calls them, unmodified and with dummy credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from tests.support import google_accounts, strict_gemini, vendors
from tests.support.fake_google import KEY, SCOPE, FakeGoogle
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.vendors import IN, TEXT

GEMINI, CLAUDE = "gemini-3-flash-preview", "claude-sonnet-4-5@20250929"
Ask = Callable[[str, str, bool], str]
"""Asks a base URL for an answer of a model, streamed or not."""


@pytest.fixture(scope="module")
def lasting_google() -> Iterator[Upstream]:
    with Upstream(FakeGoogle()) as upstream:
        yield upstream


@pytest.fixture
def google(lasting_google: Upstream) -> Iterator[Upstream]:
    lasting_google.forget()
    yield lasting_google
    lasting_google.check()


@pytest.fixture(scope="module")
def program(lasting_google: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("google")
    url = lasting_google.url
    file = google_accounts.service_account(folder, url)
    config = f"""
providers:
  - {{name: gemini, type: gemini, base_url: "{url}", api_key: {KEY}}}
  - {{name: vertex, type: vertex, base_url: "{url}", location: europe-west4, credentials_file: "{file}"}}
  - {{name: express, type: vertex, base_url: "{url}", api_key: {KEY}, models: ["express*"]}}
  - {{name: other, type: openai-compatible, base_url: "{url}/other/v1", api_key: sk-other, models: ["qwen*"]}}
"""
    with Program(folder, "serve", config=config) as program:
        yield program


def google_genai(url: str, model: str, stream: bool) -> str:
    return _genai(genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=url)), model, stream)


def vertex_genai(url: str, model: str, stream: bool) -> str:
    client = genai.Client(
        vertexai=True,
        project="dummy",
        location="us-east5",
        credentials=_dummy(),
        http_options=types.HttpOptions(base_url=url),
    )
    return _genai(client, model, stream)


def express_genai(url: str, model: str, stream: bool) -> str:
    client = genai.Client(vertexai=True, api_key="dummy", http_options=types.HttpOptions(base_url=url))
    return _genai(client, model, stream)


def _dummy() -> Credentials:
    ends = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    return Credentials(token="dummy", expiry=ends, quota_project_id="dummy-billing")  # type: ignore[no-untyped-call]


def _genai(client: genai.Client, model: str, stream: bool) -> str:
    with client:
        if stream:
            return "".join(
                each.text or "" for each in client.models.generate_content_stream(model=model, contents="hi")
            )
        return client.models.generate_content(model=model, contents="hi").text or ""


def anthropic_vertex(url: str, model: str, stream: bool) -> str:
    with anthropic.AnthropicVertex(project_id="dummy", region="global", access_token="dummy", base_url=url) as client:
        return _messages(client, model, stream)


def plain_anthropic(url: str, model: str, stream: bool) -> str:
    with anthropic.Anthropic(api_key="dummy", base_url=url) as client:
        return _messages(client, model, stream)


def _messages(client: anthropic.Anthropic | anthropic.AnthropicVertex, model: str, stream: bool) -> str:
    if stream:
        with client.messages.stream(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as events:
            return events.get_final_text()
    answer = client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    return "".join(block.text for block in answer.content if block.type == "text")


def openai_chat(url: str, model: str, stream: bool) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="dummy") as client:
        if stream:
            chunks = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        return answer.choices[0].message.content or ""


ASKERS: dict[str, Ask] = {
    each.__name__: each
    for each in (google_genai, vertex_genai, express_genai, anthropic_vertex, plain_anthropic, openai_chat)
}


@pytest.mark.ledger("P5")
@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize(
    ("model", "path"),
    [
        (GEMINI, f"/models/{GEMINI}:"),
        (f"vertex/{GEMINI}", f"{SCOPE}/publishers/google/models/{GEMINI}:"),
        (CLAUDE, f"{SCOPE}/publishers/anthropic/models/{CLAUDE}:"),
        ("express/gemini-2.5-pro", "/publishers/google/models/gemini-2.5-pro:"),
        ("qwen3", "/other/v1/chat/completions"),
    ],
)
def test_each_sdk_reaches_each_provider(program: Program, google: Upstream, asker: str, model: str, path: str) -> None:
    for stream in (False, True):
        assert ASKERS[asker](program.url, model, stream) == TEXT
    for request in [each for each in google.requests if each.path != "/token"]:
        assert path in request.path.replace("%40", "@")
        assert "dummy" not in request.head.decode() and b"dummy" not in request.body


@pytest.mark.ledger("H1")
@pytest.mark.parametrize(
    ("asker", "prefix", "model"),
    [
        ("google_genai", "gemini", GEMINI),
        ("vertex_genai", "vertex", GEMINI),
        ("anthropic_vertex", "vertex", CLAUDE),
        ("anthropic_vertex", "vertex/v1", CLAUDE),
        ("express_genai", "express", GEMINI),
    ],
)
def test_each_sdk_works_below_its_own_prefix(
    program: Program, google: Upstream, asker: str, prefix: str, model: str
) -> None:
    for stream in (False, True):
        assert ASKERS[asker](f"{program.url}/{prefix}", model, stream) == TEXT


@pytest.mark.ledger("H2")
@pytest.mark.parametrize("model", ["vertex/meta/llama-4-maas", f"vertex/{GEMINI}", f"gemini/{GEMINI}"])
def test_openai_proxy_reaches_both(program: Program, google: Upstream, model: str) -> None:
    answer = program.post(
        "/openai-proxy/chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    )
    assert answer.json["choices"][0]["message"]["content"] == TEXT


@pytest.mark.ledger("P5")
def test_tokens_are_counted_by_each_form(program: Program, google: Upstream) -> None:
    with anthropic.AnthropicVertex(
        project_id="dummy", region="global", access_token="dummy", base_url=program.url
    ) as client:
        counted = client.messages.count_tokens(model=CLAUDE, messages=[{"role": "user", "content": "hi"}])
        assert counted.input_tokens == IN
    last = json.loads(next(each.body for each in google.requests if "count-tokens" in each.path))
    assert last["model"] == CLAUDE
    with genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=program.url)) as gemini:
        for model in (GEMINI, f"vertex/{GEMINI}"):
            assert gemini.models.count_tokens(model=model, contents="hi").total_tokens == IN


@pytest.mark.ledger("P5")
def test_googles_models_are_listed_to_clients_of_each_kind(program: Program, google: Upstream) -> None:
    with genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=program.url)) as client:
        names = {each.name for each in client.models.list()}
    assert f"models/{GEMINI}" in names
    with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy") as other:
        assert GEMINI in {each.id for each in other.models.list()}
    listing = [each for each in google.requests if each.path == "/v1beta/models"]
    assert listing and all(each.value("x-goog-api-key") == KEY for each in listing)


@pytest.mark.ledger("P5")
@pytest.mark.parametrize("model", ["..%2F..%2Fx", "%2e%2e%2fx", "a%2F..%2Fb"])
@pytest.mark.parametrize(
    "path",
    ["/v1beta/models/{}:generateContent", "/v1/projects/p/locations/l/publishers/google/models/{}:generateContent"],
)
@pytest.mark.parametrize("prefix", ["", "/gemini", "/vertex"])
def test_no_model_leads_to_another_path(program: Program, google: Upstream, prefix: str, path: str, model: str) -> None:
    answer = program.post(prefix + path.format(model), {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
    assert answer.status in (400, 404) and not google.requests


@pytest.mark.ledger("P5")
def test_a_clients_key_in_the_query_is_replaced_too(program: Program, google: Upstream) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    answer = program.post(f"/v1beta/models/{GEMINI}:generateContent?key=dummy&a=b", body)
    assert answer.status == 200 and google.last.target.decode().endswith(":generateContent?a=b")


@pytest.mark.ledger("H1")
@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", f"/v1/models/{GEMINI}/operations/o", f"/v1/models/{GEMINI}/operations/o"),
        ("HEAD", f"/v1beta/models/{GEMINI}/operations/o", f"/v1beta/models/{GEMINI}/operations/o"),
        ("PATCH", "/v1/tunedModels/t/permissions/p", "/v1/tunedModels/t/permissions/p"),
        ("POST", "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore?a=b", None),
        ("GET", f"/v1{SCOPE}/operations/o", f"/v1{SCOPE}/operations/o"),
        ("POST", "/v1beta1/projects/p/locations/l:retrieveContexts", f"/v1beta1{SCOPE}:retrieveContexts"),
        ("GET", "/projects/p/locations/l/cachedContents/c", f"/v1beta1{SCOPE}/cachedContents/c"),
        (
            "POST",
            "/v1/projects/p/locations/l/publishers/google/models/veo:fetchPredictOperation",
            f"/v1{SCOPE}/publishers/google/models/veo:fetchPredictOperation",
        ),
        ("GET", "/v1beta1/publishers/google/models", "/v1beta1/publishers/google/models"),
    ],
)
def test_everything_else_of_googles_apis_is_relayed_to_the_one_that_has_it(
    program: Program, google: Upstream, method: str, path: str, sent: str | None
) -> None:
    google.next(vendors.plain({"done": True}))
    with program.client() as client:
        client.request(method, path, "Connection: close", "x-goog-api-key: dummy", body=b"{}")
        assert client.read_answer(method).status == 200
    (call,) = [each for each in google.requests if each.path != "/token"]
    assert call.target.decode() == (sent or path) and b"dummy" not in call.head
    assert (call.value("authorization") is None) is ("projects" not in (sent or path) and "publishers" not in path)


@pytest.mark.ledger("P5")
def test_a_refused_token_is_replaced_within_the_call_and_a_key_is_not(program: Program, google: Upstream) -> None:
    refused = strict_gemini.refusal(401, "UNAUTHENTICATED", "expired")
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    for provider, status, times in (("vertex", 200, 2), ("gemini", 401, 1)):
        google.next(refused)
        assert program.post(f"/v1beta/models/{provider}%2F{GEMINI}:generateContent", body).status == status
        calls = [each for each in google.requests if each.path != "/token"]
        assert len(calls) == times
        google.forget()


@pytest.mark.ledger("P5")
def test_a_key_that_google_calls_invalid_is_replaced_within_the_request(tmp_path: Path, google: Upstream) -> None:
    """With status 400, unlike all other vendors."""
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    invalid = {"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT", "details": [detail]}}
    google.next(Reply(status=400, headers=vendors.JSON, pieces=[json.dumps(invalid).encode()]))
    config = f'providers: [{{name: g, type: gemini, base_url: "{google.url}", api_keys: [old, {KEY}]}}]\n'
    with Program(tmp_path, "serve", config=config) as program:
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        for _ in range(2):
            assert program.post(f"/v1beta/models/{GEMINI}:generateContent", body).status == 200
    assert [each.value("x-goog-api-key") for each in google.requests] == ["old", KEY, KEY]


@pytest.mark.ledger("P5")
def test_embeddings_are_asked_for_in_googles_own_form(program: Program, google: Upstream) -> None:
    google.next(vendors.plain({"embeddings": [{"values": [0.25, -1]}]}))
    with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy") as client:
        assert client.embeddings.create(model="gemini-embedding-001", input="x").data[0].embedding == [0.25, -1]
    assert google.last.path == "/v1/models/gemini-embedding-001:batchEmbedContents"


@pytest.mark.ledger("C9")
def test_the_usual_variables_name_both(google: Upstream, tmp_path: Path) -> None:
    file = google_accounts.service_account(tmp_path, google.url)
    variables = {
        "GOOGLE_API_KEY": KEY,
        "GEMINI_API_KEY": "another",
        "GOOGLE_CLOUD_PROJECT": "of-the-variable",
        "GOOGLE_CLOUD_LOCATION": "europe-west4",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
    }
    with Program(tmp_path, "serve", extra=variables) as program:
        listed = {each["name"]: each for each in program.get("/providers").json["providers"]}
        banner = program.out
    assert set(listed) == {"gemini", "vertex"}
    assert listed["vertex"]["base_url"] == "https://europe-west4-aiplatform.googleapis.com/v1"
    assert (
        "gemini: gemini at https://generativelanguage.googleapis.com/v1beta, key: environment variable GOOGLE_API_KEY"
        in banner
    )
    assert "environment variable GOOGLE_APPLICATION_CREDENTIALS" in banner

"""Embeddings through the program: every client's form to every provider's, batches split and joined."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import openai
import pytest
from google import genai
from google.genai import types

from tests.support.fake_embeddings import EmbeddingVendors, vector, words
from tests.support.program import Program
from tests.support.provider import Upstream

# A name for clients, the provider and model behind it, and how many inputs that takes at once.
PROVIDERS = {
    "to-openai": ("openai", "text-embedding-3-small", 2048),
    "to-azure": ("azure", "text-embedding-3-large", 2048),
    "to-google": ("gemini", "gemini-embedding-001", 100),
    "to-vertex": ("vertex", "gemini-embedding-001", 100),
    "to-vertex-predict": ("vertex", "text-embedding-005", 250),
    "to-vertex-single": ("vertex", "multilingual-embedding-maas", 1),
    "to-titan-1": ("bedrock", "amazon.titan-embed-text-v1", 1),
    "to-titan-2": ("bedrock", "amazon.titan-embed-text-v2:0", 1),
    "to-cohere-3": ("bedrock", "cohere.embed-multilingual-v3", 96),
    "to-cohere-4": ("bedrock", "us.cohere.embed-v4:0", 96),
}
TEXTS = [f"text number {index} ü" + " word" * (index % 3) for index in range(205)]
Embed = Callable[[str, str, list[str]], tuple[list[list[float]], int | None]]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, EmbeddingVendors]]:
    fake = EmbeddingVendors()
    with Upstream(fake) as upstream:
        url = upstream.url
        routes = "\n".join(
            f'  - {{name: {name}, targets: [{{provider: {provider}, model: "{model}"}}]}}'
            for name, (provider, model, _) in PROVIDERS.items()
        )
        config = f"""
providers:
  - {{name: openai, type: openai, base_url: "{url}/v1", api_key: k}}
  - {{name: azure, type: azure, base_url: "{url}", api_key: k, api_version: 2024-10-21}}
  - {{name: gemini, type: gemini, base_url: "{url}", api_key: k}}
  - {{name: vertex, type: vertex, base_url: "{url}", api_key: k, project: p, location: europe-west4}}
  - {{name: bedrock, type: bedrock, base_url: "{url}", api_key: k, region: us-east-1}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: k}}
models:
{routes}
  - name: several
    targets: [{{provider: bedrock, model: amazon.titan-embed-text-v1}}, {{provider: openai, model: e}}]
"""
        with Program(tmp_path_factory.mktemp("embeddings"), "serve", config=config) as program:
            yield program, fake


@pytest.fixture
def program(lasting: tuple[Program, EmbeddingVendors]) -> Program:
    return lasting[0]


@pytest.fixture
def fake(lasting: tuple[Program, EmbeddingVendors]) -> EmbeddingVendors:
    lasting[1].forget()
    return lasting[1]


def by_openai(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0) as client:
        reply = client.embeddings.create(model=model, input=texts)  # which asks for base64
    return in_order(reply), reply.usage.prompt_tokens


def by_azure(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    with openai.AzureOpenAI(azure_endpoint=url, api_key="dummy", api_version="2024-10-21", max_retries=0) as client:
        reply = client.embeddings.create(model=model, input=texts, encoding_format="float")
    return in_order(reply), reply.usage.prompt_tokens


def in_order(reply: openai.types.CreateEmbeddingResponse) -> list[list[float]]:
    return [each.embedding for each in sorted(reply.data, key=lambda each: each.index)]


def by_gemini(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    with genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=url)) as client:
        reply = client.models.embed_content(model=model, contents=texts)
    usage = reply.usage_metadata
    return values(reply), None if usage is None else usage.prompt_token_count


def by_vertex(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    """Embed by predict: the name of the model is not one of Gemini's."""
    with genai.Client(vertexai=True, api_key="dummy", http_options=types.HttpOptions(base_url=url)) as client:
        reply = client.models.embed_content(model=model, contents=texts)
    assert reply.embeddings is not None
    counts = [each.statistics.token_count if each.statistics else None for each in reply.embeddings]
    return values(reply), int(counts[0]) if len(counts) == 1 and counts[0] is not None else None


def values(reply: types.EmbedContentResponse) -> list[list[float]]:
    assert reply.embeddings is not None
    return [each.values or [] for each in reply.embeddings]


def invoke(url: str, model: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    config = botocore.config.Config(retries={"max_attempts": 0})
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        config=config,
        aws_access_key_id="dummy",
        aws_secret_access_key="dummy",
    )
    with contextlib.closing(client):
        answer = client.invoke_model(modelId=model, body=json.dumps(body))
        return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]


def by_titan(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    replies = [invoke(url, model, {"inputText": text})[0] for text in texts]
    counts = [each["inputTextTokenCount"] for each in replies]
    return [each["embedding"] for each in replies], None if None in counts else sum(counts)


def by_cohere(url: str, model: str, texts: list[str]) -> tuple[list[list[float]], int | None]:
    reply, headers = invoke(url, model, {"texts": texts, "input_type": "search_query"})
    count = headers.get("x-amzn-bedrock-input-token-count")
    return reply["embeddings"], None if count is None else int(count)


CLIENTS: dict[str, Embed] = {
    "openai": by_openai,
    "azure": by_azure,
    "gemini": by_gemini,
    "vertex": by_vertex,
    "titan": by_titan,
    "cohere": by_cohere,
}
# Where these go as they came, the client has the form of the model that it names.
OWN = {
    *(
        (client, name)
        for client, names in (("titan", "cohere"), ("cohere", "titan"))
        for name in PROVIDERS
        if names in name
    ),
    *(("vertex", name) for name in ("to-vertex", "to-vertex-single")),
}
ALWAYS = {("azure", "to-titan-2"), ("gemini", "to-cohere-4"), ("gemini", "to-google"), ("vertex", "to-openai")}
ALWAYS |= {("titan", "to-google"), ("titan", "to-titan-2"), ("cohere", "to-openai"), ("cohere", "to-cohere-3")}
PAIRS = [
    pytest.param(client, name, marks=() if client == "openai" or (client, name) in ALWAYS else pytest.mark.long)
    for client in CLIENTS
    for name in PROVIDERS
    if (client, name) not in OWN
]


@pytest.mark.ledger("H3")
@pytest.mark.parametrize(("client", "name"), PAIRS)
def test_every_client_gets_the_vectors_of_every_provider(
    program: Program, fake: EmbeddingVendors, client: str, name: str
) -> None:
    texts = TEXTS[:1] if name == "to-vertex-single" or client == "titan" else TEXTS[:3]
    found, tokens = CLIENTS[client](program.url, name, texts)
    assert found == [pytest.approx(vector(each)) for each in texts]
    if client != "vertex" or len(texts) == 1:
        assert tokens == sum(map(words, texts))


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_batch_is_split_and_joined_as_the_provider_takes_it(
    program: Program, fake: EmbeddingVendors, name: str
) -> None:
    most = PROVIDERS[name][2]
    texts = TEXTS if most > 1 else TEXTS[:12]
    found, tokens = by_openai(program.url, name, texts)
    assert [each[:2] for each in found] == [vector(each)[:2] for each in texts]
    assert tokens == sum(map(words, texts))
    assert len(fake.bodies) == -(-len(texts) // most)


@pytest.mark.parametrize("name", PROVIDERS)
def test_tokens_that_nobody_counted_stay_unknown(program: Program, fake: EmbeddingVendors, name: str) -> None:
    fake.counts = False
    answer = program.post("/v1/embeddings", {"model": name, "input": ["a", "b"]})
    assert answer.status == 200, answer
    usage = answer.json.get("usage")
    assert usage in (None, {"prompt_tokens": None, "total_tokens": None})


@pytest.mark.parametrize(
    ("name", "field", "sent"),
    [
        ("to-google", "outputDimensionality", 5),
        ("to-vertex", "embedContentConfig", {"outputDimensionality": 5, "taskType": "RETRIEVAL_QUERY"}),
        ("to-vertex-predict", "parameters", {"outputDimensionality": 5}),
        ("to-titan-2", "dimensions", 5),
        ("to-cohere-4", "output_dimension", 5),
        ("to-cohere-4", "input_type", "search_query"),
        ("to-google", "taskType", "RETRIEVAL_QUERY"),
    ],
)
def test_dimensions_and_purpose_reach_who_has_them(
    program: Program, fake: EmbeddingVendors, name: str, field: str, sent: object
) -> None:
    texts = ["a"] * (101 if name == "to-google" else 2)  # more than its imitation of OpenAI takes
    answer = program.post("/v1/embeddings", {"model": name, "input": texts, "dimensions": 5, "input_type": "query"})
    assert answer.status == 200, answer
    assert {len(each["embedding"]) for each in answer.json["data"]} == {5}
    body = fake.bodies[0][1]
    assert {**body, **body.get("requests", [{}])[0]}[field] == sent


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("to-titan-1", {"dimensions", "input_type", "user", "odd"}),
        ("to-titan-2", {"input_type", "user", "odd"}),
        ("to-cohere-3", {"dimensions", "user", "odd"}),
        ("to-vertex-predict", {"user", "odd"}),
    ],
)
def test_what_a_provider_lacks_is_dropped_and_listed(
    program: Program, fake: EmbeddingVendors, name: str, dropped: set[str]
) -> None:
    body = {"model": name, "input": "a", "dimensions": 5, "input_type": "query", "user": "u", "odd": 1}
    answer = program.post("/v1/embeddings", body)
    assert answer.status == 200, answer
    assert set((answer.value("x-llmproxy-dropped") or "").split(", ")) == dropped


@pytest.mark.parametrize(
    ("value", "words_of_error", "param"),
    [
        (["a", ""], "input[1] is empty", "input[1]"),
        ("", "input is empty", "input"),
        ([], "input is empty", "input"),
        (["a"] * 10_000, "input has 10000 inputs; the most are 2048", "input"),
        ([1, 2, 3], "takes texts, not tokens", "input"),
        ([[1, 2], [3]], "takes texts, not tokens", "input[0]"),
        (7, "must be a string or an array", "input"),
        ([{"a": 1}], "must be a string or an array of token numbers", "input[0]"),
        (None, "input is missing", "input"),
    ],
)
def test_input_that_cannot_be_embedded_is_refused(
    program: Program, fake: EmbeddingVendors, value: object, words_of_error: str, param: str
) -> None:
    answer = program.post("/v1/embeddings", {"model": "to-titan-2", "input": value})
    assert answer.status == 400 and not fake.bodies
    assert words_of_error in answer.json["error"]["message"] and answer.json["error"]["param"] == param


def test_refusals_are_of_the_clients_dialect(program: Program, fake: EmbeddingVendors) -> None:
    empty = {"requests": [{"content": {"parts": [{"text": ""}]}}]}
    answer = program.post("/v1beta/models/to-openai:batchEmbedContents", empty)
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    picture = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aa"}}]}}
    answer = program.post("/v1beta/models/to-openai:embedContent", picture)
    assert answer.status == 400 and "embeds texts only" in answer.json["error"]["message"]
    answer = program.post("/model/to-openai/invoke", {"inputText": ""})
    assert answer.status == 400 and "inputText is empty" in answer.json["message"]
    answer = program.post("/v1/embeddings", {"model": "claude/claude-x", "input": "a"})
    assert answer.status == 400 and answer.json["error"]["code"] == "dialect_not_spoken"


def test_without_a_model_a_provider_is_asked_for_nothing(tmp_path: Path, fake: EmbeddingVendors) -> None:
    config = "providers: [{name: aws, type: bedrock, base_url: 'http://127.0.0.1:9', api_key: k, region: us-east-1}]"
    with Program(tmp_path, "serve", config=config) as program:
        answer = program.post("/v1/embeddings", {"input": "a"})
        assert answer.status == 400 and "no model" in answer.json["error"]["message"]
        assert "/v1/embeddings" in program.get("/openapi.json").json["paths"], "it is served all the same"


def test_tokens_go_to_the_target_that_takes_them(program: Program, fake: EmbeddingVendors) -> None:
    answer = program.post("/v1/embeddings", {"model": "several", "input": [[1, 2], [3]]})
    assert answer.status == 200, answer
    assert [body for _, body in fake.bodies] == [{"model": "e", "input": [[1, 2], [3]]}]


def test_a_providers_refusal_comes_back_in_the_clients_words(program: Program, fake: EmbeddingVendors) -> None:
    body = {"content": {"parts": [{"text": "a"}]}, "taskType": "FACT_VERIFICATION"}
    answer = program.post("/v1beta/models/to-vertex-predict:embedContent", body)
    assert (answer.status, answer.json["error"]["message"]) == (400, "task_type")
    assert answer.value("x-llmproxy-provider") == "vertex"

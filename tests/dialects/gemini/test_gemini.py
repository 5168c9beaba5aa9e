"""The dialect as a whole: its paths, framings, versions, and the count of tokens."""

from __future__ import annotations

import pytest

from llmproxy.dialects import catalog
from llmproxy.dialects.gemini import CODEC, DIALECT, request_in
from llmproxy.wire.json_array import JSON_ARRAY

PLACES = [
    *("/v1/models/{}", "/v1beta/models/{}", "/v1beta1/models/{}", "/models/{}"),
    *("/v1beta1/publishers/google/models/{}", "/publishers/google/models/{}"),
    "/v1beta1/projects/p/locations/global/publishers/google/models/{}",
    "/projects/p/locations/us-central1/publishers/google/models/{}",
]


@pytest.mark.parametrize("place", PLACES)
def test_the_model_stands_in_the_path(place: str) -> None:
    for verb, stream in (("generateContent", False), ("streamGenerateContent", True)):
        path = f"{place.format('a%2Fgemini-3')}:{verb}"
        endpoint = catalog.find("POST", path)
        assert endpoint is not None and endpoint.dialect is DIALECT and endpoint.translatable
        assert endpoint.model_of(path) == "a/gemini-3" and endpoint.streams is stream
        assert endpoint.renamed(path, "b") == f"{place.format('b')}:{verb}"
    count = catalog.find("POST", f"{place.format('m')}:countTokens")
    assert count is not None and count.untranslated


@pytest.mark.parametrize(
    ("query", "array"),
    [(None, True), ("", True), ("alt=json", True), ("key=k&alt=sse", False), ("alt=ssex", True)],
)
def test_streams_are_arrays_unless_events_are_asked_for(query: str | None, array: bool) -> None:
    endpoint = catalog.find("POST", "/v1/models/m:streamGenerateContent")
    assert endpoint is not None
    assert endpoint.framing_for(query) is (JSON_ARRAY if array else DIALECT.framing)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/v1beta/files/f", "/v1alpha/fileSearchStores", "/v1beta/batches/b", "/v1/interactions"]
)
def test_its_other_calls_are_its_own(method: str, path: str) -> None:
    endpoint = catalog.find(method, path)
    assert endpoint is not None and endpoint.capability == "gemini" and not endpoint.model


def test_calls_that_name_a_model_are_routed_by_it() -> None:
    for verb in ("embedContent", "batchEmbedContents", "predict"):
        endpoint = catalog.find("POST", f"/v1beta/models/m:{verb}")
        assert endpoint is not None and endpoint.model and endpoint.dialect is DIALECT


@pytest.mark.parametrize(
    ("headers", "path", "dialect"),
    [
        ({"x-goog-api-key"}, "/v1/models", "gemini"),
        ({"x-goog-api-client"}, "/models", "gemini"),
        (set(), "/v1beta/models", "gemini"),
        ({"anthropic-version"}, "/v1/models", "messages"),
        (set(), "/v1/models", "chat"),
    ],
)
def test_its_clients_are_known_where_they_list_models(headers: set[str], path: str, dialect: str) -> None:
    assert catalog.listing(headers, path).name == dialect


def test_the_request_of_a_count_stands_there_or_below() -> None:
    inner: dict[str, object] = {"contents": []}
    assert request_in({"generateContentRequest": inner}) == request_in({"generate_content_request": inner}) == inner
    assert request_in(inner) == inner
    assert DIALECT.token_count is not None and DIALECT.token_count.write(5) == b'{"totalTokens":5}'


def test_it_says_what_its_providers_need() -> None:
    assert (CODEC.key_header, CODEC.key_scheme, CODEC.seal) == ("x-goog-api-key", "", "gemini")
    assert CODEC.unknown_stop("MISSING_THOUGHT_SIGNATURE") is None and CODEC.unknown_stop("JAILBREAK") is None
    assert CODEC.unknown_stop("NEW_REASON") == "stop.NEW_REASON"

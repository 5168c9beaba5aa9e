"""Every method of the vendors' SDKs through the program: what they send arrives at the provider as it was sent.

The requests are made by the SDKs themselves (`tests/support/sdk_walk.py`), once at the paths that all vendors share and
once below the prefix of their provider. A sample runs always, all of them with `--long`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import _api_module, types

from tests.support.connection import Received
from tests.support.program import Program
from tests.support.provider import Upstream, echo
from tests.support.sdk_walk import ONLY, Recorder, SdkRequest, walk

SAMPLE = 12  # one of so many runs always
HOST = "http://sdk.test"
KEYS = {"authorization", "x-api-key", "x-goog-api-key", "api-key"}
REBUILT = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}
ADDED = {"anthropic-version"}

WEBSOCKET = "opens a WebSocket, which other tests do"
LOCAL = "works on its arguments and sends nothing"
STREAM = "sends its request within a block; it is that of create(stream=True)"
OTHER_TESTS = "needs a live object; its request is one that other methods send"
UPLOAD = "needs several requests; test_surfaces.py has it"
OPENAI_SKIPPED = {
    "connect": WEBSOCKET,
    "chat.completions.parse": OTHER_TESTS,
    "beta.chat.completions.parse": OTHER_TESTS,
    "responses.parse": OTHER_TESTS,
    "responses.stream": STREAM,
    "chat.completions.stream": STREAM,
    "beta.chat.completions.stream": STREAM,
    "beta.agents.sessions.stream": STREAM,
    "beta.threads.create_and_run_stream": STREAM,
    "create_and_stream": STREAM,
    "beta.threads.runs.stream": STREAM,
    "submit_tool_outputs_stream": STREAM,
    "unwrap": LOCAL,
    "verify_signature": LOCAL,
    "prepare": LOCAL,
    "prepare_directory": LOCAL,
    "beta.agents.environments.files.upload": UPLOAD,
    "for_result": OTHER_TESTS,
}
ANTHROPIC_SKIPPED = {
    "stream": STREAM,
    "thread": LOCAL,
    "tool_runner": OTHER_TESTS,
    "parse_unverified": LOCAL,
    "unwrap": LOCAL,
}
UNION = "takes a union of models of which no value can be made; the paths are those of its siblings"
VERTEX = "is for Vertex alone, which has no such method at the Gemini API"
GOOGLE_SKIPPED = {
    **dict.fromkeys(("compute_tokens", "edit_image", "generate_images", "generate_videos", "recontext_image"), VERTEX),
    **dict.fromkeys(("segment_image", "upscale_image", "tunings.list", "validate_reward"), VERTEX),
    "files.upload": UPLOAD,
    "files.register_files": "needs credentials of Google Cloud",
    "upload_to_file_search_store": UPLOAD,
    "do_request": "is the transport of the others",
    "operations.get": OTHER_TESTS,
    **dict.fromkeys(("credentials.create", "credentials.update", "decisions.create", "triggers.create"), UNION),
    **dict.fromkeys(("environments.get", "environments.delete"), "is get_environment or delete_environment, renamed"),
}
# Names of Google's have a form.
GOOGLE_NAMES: Mapping[str, dict[str, Any]] = {
    "models": {"model": "gemini-3-pro"},
    "batches": {"model": "gemini-3-pro", "name": "batches/b-1", "src": "files/f-1"},
    "batches.create_embeddings": {"src": {"file_name": "files/f-1"}},
    "files": {"name": "files/f-1", "file": "files/f-1"},
    "caches": {"name": "cachedContents/c-1"},
    "file_search_stores": {"name": "fileSearchStores/s-1", "file_search_store_name": "fileSearchStores/s-1"},
    "file_search_stores.documents": {"name": "fileSearchStores/s-1/documents/d-1", "parent": "fileSearchStores/s-1"},
    "file_search_stores.download_media": {"media_id": "fileSearchStores/s-1/media/m-1"},
    "tunings": {"name": "tunedModels/t-1"},
    **{
        name: {"api_version": None}
        for name in (
            "agents",
            "credentials",
            "decisions",
            "environments",
            "interactions",
            "triggers",
            "voices",
            "webhooks",
        )
    },
    "interactions.create": {"api_version": None, ONLY: True, "model": "gemini-3-pro", "input": "hi"},
}

# How many methods of each SDK are walked at least.
METHODS = {"openai": 380, "anthropic": 370, "gemini": 60}
# What administers an organization is reached below the prefix of a provider alone.
BELOW_PREFIX = re.compile("/v1/(?:organizations?|projects)(?:/|$)")
OURS = re.compile("/v1/models(?:/[^/:]+)?")


def openai_requests(every: int) -> Iterator[SdkRequest]:
    recorder = Recorder()
    http = httpx2.Client(transport=recorder.transport)
    client = openai.OpenAI(api_key="dummy", admin_api_key="dummy", base_url=f"{HOST}/v1", http_client=http)
    yield from walk(
        client, lambda each: isinstance(each, openai._resource.SyncAPIResource), recorder, OPENAI_SKIPPED, every=every
    )


def anthropic_requests(every: int) -> Iterator[SdkRequest]:
    recorder = Recorder()
    http = httpx2.Client(transport=recorder.transport)
    client = anthropic.Anthropic(api_key="dummy", base_url=HOST, http_client=http)
    kind = anthropic._resource.SyncAPIResource
    yield from walk(client, lambda each: isinstance(each, kind), recorder, ANTHROPIC_SKIPPED, every=every)


def google_requests(every: int) -> Iterator[SdkRequest]:
    recorder = Recorder()
    options = types.HttpOptions(base_url=HOST, httpx_client=httpx2.Client(transport=recorder.transport))
    client = genai.Client(api_key="dummy", http_options=options)

    def is_resource(each: object) -> bool:
        return isinstance(each, _api_module.BaseModule) or type(each).__name__.startswith("GeminiNextGen")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental usage
        yield from walk(client, is_resource, recorder, GOOGLE_SKIPPED, GOOGLE_NAMES, every=every)


def is_ours(each: SdkRequest) -> bool:
    """Return whether the proxy answers the request itself: the merged list of models is its own."""
    return each.method == "GET" and OURS.fullmatch(each.target.partition("?")[0]) is not None


def compare(sent: SdkRequest, got: Received | None, answer: bytes) -> None:
    """Raise AssertionError unless the provider got what the SDK sent, and the client what the provider answered."""
    assert got is not None, f"{sent.name}: {sent.method} {sent.target}: {answer!r}"
    assert (got.method, got.target.decode(), got.body) == (sent.method, sent.target, sent.body), sent.name
    assert answer == (b"" if sent.method == "HEAD" else sent.body), sent.name
    headers = [(name.decode().lower(), value.decode()) for name, value in got.headers]
    expected = [(name.lower(), value) for name, value in sent.headers if name.lower() not in REBUILT | KEYS]
    assert [each for each in headers if each[0] not in REBUILT | KEYS | ADDED] == [
        each for each in expected if each[0] not in ADDED
    ], sent.name
    assert [name for name, _ in headers if name in KEYS], f"{sent.name} has no key"
    assert b"dummy" not in got.head, sent.name


VENDORS = {"openai": openai_requests, "anthropic": anthropic_requests, "gemini": google_requests}


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Upstream]]:
    """Yield the program with a provider of each vendor, all of which are one server that echoes."""
    with Upstream(echo) as upstream:
        config = f"""
providers:
  - {{name: openai, type: openai, base_url: "{upstream.url}/v1", api_key: k, models: ["*"]}}
  - {{name: anthropic, type: anthropic, base_url: "{upstream.url}", api_key: k}}
  - {{name: gemini, type: gemini, base_url: "{upstream.url}", api_key: k, models: ["gemini-*"]}}
"""
        with Program(tmp_path_factory.mktemp("walk"), "serve", config=config) as program:
            yield program, upstream


@pytest.mark.ledger("H1")
@pytest.mark.ledger("H3")
@pytest.mark.parametrize("vendor", VENDORS)
def test_what_the_sdks_send_arrives_as_they_sent_it(
    echoing: tuple[Program, Upstream], vendor: str, request: pytest.FixtureRequest
) -> None:
    program, upstream = echoing
    step = 1 if request.config.getoption("--long") else SAMPLE
    with warnings.catch_warnings(), program.client() as client:
        warnings.simplefilter("ignore")  # deprecated methods
        requests = list(VENDORS[vendor](every=step))
        for each in requests:
            for prefix in ("", f"/{vendor}"):
                if prefix or not (is_ours(each) or BELOW_PREFIX.match(each.target)):
                    upstream.forget()
                    lines = [f"{name}: {value}" for name, value in each.headers if name.lower() not in REBUILT]
                    client.request(each.method, prefix + each.target, *lines, body=each.body or None)
                    answer = client.read_answer(each.method)
                    compare(each, upstream.only if answer.status == 200 else None, answer.body)
    assert len(requests) >= METHODS[vendor] // step, "the walk finds fewer methods than the SDK has"

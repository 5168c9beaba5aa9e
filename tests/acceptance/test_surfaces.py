"""Files, audio, images, batches and the like: by the model where a request names one, JSON or form, else to the
provider that made what it names, else to the one that the client or the order of providers says."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Reply, Upstream
from tests.support.waiting import PATIENCE_S

SOUND = bytes(range(256)) * 40
MB = 1024 * 1024


async def vendor(call: Call) -> None:
    """Answer as the vendor of this path: what was made has an id with the key of the provider that made it."""
    request = call.request
    key = request.value("authorization") or request.value("x-api-key") or request.value("x-goog-api-key") or ""
    who = key.removeprefix("Bearer ")
    path, method = request.path, request.method
    if path.startswith("/upload/"):
        await call.give(_upload(request.head, request.target.decode(), call))
    elif path.endswith("/content") or path.endswith("/audio/speech"):
        await call.give(Reply(headers=(("Content-Type", "application/octet-stream"),), pieces=[SOUND]))
    elif path.endswith("/results"):
        result = {"custom_id": "c", "result": {"type": "canceled"}}
        await call.give(vendors.plain(result).but(("Content-Type", "application/x-jsonl")))
    else:
        identity = path.rpartition("/")[2] if method in ("GET", "DELETE") else f"made-{who}-1"
        made = {"id": identity, "object": "file", "type": "file", "text": "hi", "data": [], "name": f"files/{identity}"}
        results = f"http://{request.value('host')}/v1/messages/batches/{identity}/results"
        batch = {"request_counts": {}, "results_url": results}
        await call.give(vendors.plain({**made, **batch, "processing_status": "ended", "results": [], "models": []}))


def _upload(head: bytes, target: str, call: Call) -> Reply:
    """Answer the two requests of an upload to Google: the first with the address for the second."""
    if "upload_id" not in target:
        host = re.search(rb"(?i)\r\nhost: ([^\r]+)", head)
        assert host
        address = f"http://{host[1].decode()}{target}?upload_id=u-7"
        return vendors.plain({}, ("X-Goog-Upload-URL", address), ("X-Goog-Upload-Status", "active"))
    file = {"name": "files/f-9", "uri": "u", "mimeType": "text/plain", "state": "ACTIVE"}
    return vendors.plain({"file": file}, ("X-Goog-Upload-Status", "final"))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Upstream]]:
    with Upstream(vendor) as upstream:
        url = upstream.url
        config = f"""
server: {{max_body_size: 4MB}}
providers:
  - {{name: one, type: openai, base_url: "{url}/v1", api_key: k1}}
  - {{name: two, type: openai, base_url: "{url}/v1", api_key: k2, priority: 2}}
  - {{name: dep, type: azure, base_url: "{url}", api_key: k3, api_version: 2024-10-21, models: ["-"], priority: 9}}
  - {{name: claude, type: anthropic, base_url: "{url}", api_key: k4}}
  - {{name: gem, type: gemini, base_url: "{url}", api_key: k5}}
models:
  - {{name: ears, targets: [{{provider: two, model: whisper-1}}]}}
  - {{name: deployed, targets: [{{provider: dep, model: my-whisper}}]}}
  - {{name: painter, targets: [{{provider: two, model: gpt-image-1}}]}}
  - {{name: both, targets: [{{provider: one, model: a}}, {{provider: two, model: b}}]}}
"""
        with Program(tmp_path_factory.mktemp("surfaces"), "serve", config=config) as program:
            yield program, upstream


@pytest.fixture
def program(lasting: tuple[Program, Upstream]) -> Program:
    return lasting[0]


@pytest.fixture
def upstream(lasting: tuple[Program, Upstream]) -> Iterator[Upstream]:
    lasting[1].forget()
    yield lasting[1]
    lasting[1].check()


@pytest.fixture
def client(program: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


def key_of(upstream: Upstream) -> str | None:
    last = upstream.last
    return last.value("authorization") or last.value("api-key") or last.value("x-api-key")


def model_in(body: bytes) -> bytes:
    match = re.search(rb'name="model"\r\n\r\n(.*?)\r\n', body)
    assert match, body[:200]
    return match[1]


@pytest.mark.ledger("H3")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_sdks_forms_go_to_the_model_that_they_name(
    program: Program, upstream: Upstream, client: openai.OpenAI
) -> None:
    assert client.audio.transcriptions.create(file=("a.wav", SOUND), model="ears", language="de").text == "hi"
    assert (upstream.last.path, key_of(upstream)) == ("/v1/audio/transcriptions", "Bearer k2")
    assert model_in(upstream.last.body) == b"whisper-1" and SOUND in upstream.last.body
    assert b'name="language"\r\n\r\nde' in upstream.last.body
    client.audio.translations.create(file=("a.wav", SOUND), model="ears")
    assert (upstream.last.path, model_in(upstream.last.body)) == ("/v1/audio/translations", b"whisper-1")
    client.images.edit(image=("a.png", SOUND), prompt="more", model="painter")
    assert (upstream.last.path, model_in(upstream.last.body)) == ("/v1/images/edits", b"gpt-image-1")
    client.images.create_variation(image=("a.png", SOUND), model="painter")
    assert (upstream.last.path, key_of(upstream)) == ("/v1/images/variations", "Bearer k2")
    client.audio.transcriptions.create(file=("a.wav", SOUND), model="deployed")
    assert upstream.last.target == b"/openai/deployments/my-whisper/audio/transcriptions?api-version=2024-10-21"
    assert (key_of(upstream), model_in(upstream.last.body)) == ("k3", b"my-whisper")


@pytest.mark.ledger("H3")
def test_json_goes_to_the_model_that_it_names(program: Program, upstream: Upstream, client: openai.OpenAI) -> None:
    assert client.audio.speech.create(input="hi", model="ears", voice="alloy").content == SOUND
    assert json.loads(upstream.last.body)["model"] == "whisper-1"
    client.images.generate(prompt="a cat", model="painter")
    assert (key_of(upstream), json.loads(upstream.last.body)["model"]) == ("Bearer k2", "gpt-image-1")
    program.post("/v1/rerank", {"model": "ears", "query": "q", "documents": ["a"]})
    assert (upstream.last.path, key_of(upstream)) == ("/v1/rerank", "Bearer k2")
    client.moderations.create(input="x")
    assert (upstream.last.path, key_of(upstream)) == ("/v1/moderations", "Bearer k1"), "its model is optional"


def test_a_clients_deployment_is_the_model(program: Program, upstream: Upstream) -> None:
    with openai.AzureOpenAI(azure_endpoint=program.url, api_key="dummy", api_version="2024-10-21") as azure:
        azure.audio.transcriptions.create(file=("a.wav", SOUND), model="ears")
        assert (upstream.last.target, key_of(upstream)) == (b"/v1/audio/transcriptions", "Bearer k2")
        assert model_in(upstream.last.body) == b"whisper-1"


FILE_FIRST = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--\r\n'
)
FORM = "Content-Type: multipart/form-data; boundary=b"


@pytest.mark.parametrize("size", [1000, 3 * MB])
def test_a_model_behind_the_file_is_found_too(program: Program, upstream: Upstream, size: int) -> None:
    with program.client() as raw:
        raw.request("POST", "/v1/audio/transcriptions", FORM, body=FILE_FIRST % (b"x" * size, b"ears"))
        assert raw.read_answer().status == 200
    assert (key_of(upstream), upstream.last.body) == ("Bearer k2", FILE_FIRST % (b"x" * size, b"whisper-1"))


def test_a_model_behind_more_than_may_be_held_is_the_best_providers(program: Program, upstream: Upstream) -> None:
    body = FILE_FIRST % (b"x" * 6 * MB, b"whisper-1")
    with program.client() as raw:
        raw.request("POST", "/v1/audio/transcriptions", FORM, body=body)
        assert raw.read_answer().status == 200
    assert (key_of(upstream), upstream.last.body) == ("Bearer k1", body)


def test_a_small_form_goes_to_the_next_target_when_one_fails(program: Program, upstream: Upstream) -> None:
    upstream.next(Reply(status=503, pieces=[b"{}"]))
    with program.client() as raw:
        raw.request("POST", "/v1/audio/transcriptions", FORM, body=FILE_FIRST % (b"x", b"both"))
        assert raw.read_answer().status == 200
    assert [model_in(each.body) for each in upstream.requests] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("header", "body", "status", "words"),
    [
        ("Content-Type: multipart/form-data", b"x", 400, "The multipart form has no boundary"),
        (FORM, b"{}", 400, "The multipart form does not begin with the boundary"),
        (FORM, b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\ny", 400, "ends without its last boundary"),
        (FORM, FILE_FIRST % (b"x", b"nobody-has-it"), 404, "Unknown model 'nobody-has-it'"),
        ("Content-Type: application/json", b'{"model": "nobody-has-it"}', 404, "Unknown model"),
    ],
)
def test_bad_forms_are_refused_in_the_clients_dialect(
    program: Program, upstream: Upstream, header: str, body: bytes, status: int, words: str
) -> None:
    with program.client() as raw:
        raw.request("POST", "/v1/images/edits", header, body=body)
        answer = raw.read_answer()
    assert answer.status == status and words in answer.json["error"]["message"]
    assert answer.json["error"]["type"] == "invalid_request_error" and not upstream.requests


@pytest.mark.ledger("H3")
def test_what_a_provider_made_is_asked_of_it(program: Program, upstream: Upstream, client: openai.OpenAI) -> None:
    there = {"x-llmproxy-provider": "two"}
    made = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch", extra_headers=there)
    assert made.id == "made-k2-1"
    assert client.files.content(made.id).content == SOUND and key_of(upstream) == "Bearer k2"
    client.files.retrieve(made.id)
    assert key_of(upstream) == "Bearer k2"
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert (batch.id, key_of(upstream)) == ("made-k2-1", "Bearer k2")
    client.files.delete(made.id)
    assert (upstream.last.method, key_of(upstream)) == ("DELETE", "Bearer k2")
    client.files.list()
    assert key_of(upstream) == "Bearer k1", "what names nothing goes to the best provider"


def test_an_id_that_nobody_made_is_the_best_providers_to_refuse(program: Program, upstream: Upstream) -> None:
    refusal = b'{"error": {"message": "No such File object: file-none", "type": "invalid_request_error"}}'
    upstream.next(Reply(status=404, headers=(("Content-Type", "application/json"),), pieces=[refusal]))
    answer = program.get("/v1/files/file-none-1")
    assert (answer.status, answer.body, key_of(upstream)) == (404, refusal, "Bearer k1")


@pytest.mark.ledger("H3")
def test_anthropics_files_and_batches_go_to_anthropic(program: Program, upstream: Upstream) -> None:
    with anthropic.Anthropic(base_url=program.url, api_key="dummy", max_retries=0) as client:
        assert client.beta.files.upload(file=("a.txt", b"hi", "text/plain")).id == "made-k4-1"
        assert b"hi" in upstream.last.body and upstream.last.path == "/v1/files"
        client.beta.files.delete("made-k4-1")
        assert (upstream.last.method, key_of(upstream)) == ("DELETE", "k4")
        batch = client.messages.batches.create(requests=[])
        assert (upstream.last.path, batch.id) == ("/v1/messages/batches", "made-k4-1")
        [result] = client.messages.batches.results(batch.id)
        assert result.custom_id == "c", "its address is one of the proxy"
        assert (upstream.last.path, key_of(upstream)) == ("/v1/messages/batches/made-k4-1/results", "k4")


@pytest.mark.ledger("H3")
@pytest.mark.parametrize("prefix", ["", "/gem"])
def test_googles_files_and_caches_go_to_google(program: Program, upstream: Upstream, prefix: str) -> None:
    options = types.HttpOptions(base_url=f"{program.url}{prefix}")
    with genai.Client(api_key="dummy", http_options=options) as client:
        file = client.files.upload(file=io.BytesIO(SOUND), config={"mime_type": "text/plain"})
        begun, sent = upstream.requests
        assert (file.name, begun.path) == ("files/f-9", "/upload/v1/files")
        assert sent.body == SOUND and sent.target.endswith(b"/upload/v1/files?upload_id=u-7")
        assert [each.value("x-goog-api-key") for each in upstream.requests] == ["k5", "k5"]
        client.files.get(name="files/f-9")
        assert (upstream.last.path, upstream.last.value("x-goog-api-key")) == ("/v1/files/f-9", "k5")
        client.caches.create(model="gemini-3-pro", config={"ttl": "60s"})
        assert upstream.last.path == "/v1/cachedContents"


@pytest.mark.ledger("H3")
def test_models_are_listed_for_each_sdk_without_those_of_a_provider_that_fails(tmp_path: Path) -> None:
    config = """
providers:
  - {name: down, type: openai, base_url: "http://127.0.0.1:9/v1", api_key: k}
  - {name: canned, type: stub, models: [canned-1]}
"""
    with Program(tmp_path, "serve", config=config) as program:
        assert program.get("/v1/models").value("x-llmproxy-unlisted") == "down"
        with openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client:
            assert "canned-1" in [each.id for each in client.models.list()]
            assert client.models.retrieve("canned-1").object == "model"
        with anthropic.Anthropic(base_url=program.url, api_key="dummy", max_retries=0) as claude:
            assert "canned-1" in [each.id for each in claude.models.list()]
            assert claude.models.retrieve("canned-1").type == "model"
        with genai.Client(api_key="dummy", http_options=types.HttpOptions(base_url=program.url)) as google:
            assert "models/canned-1" in [each.name for each in google.models.list()]
            assert google.models.get(model="canned-1").name == "models/canned-1"


class Sink:
    """A server that reads one upload of any size, keeps nothing of it and answers with JSON."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.size = 0
        self.head = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._socket.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            self.head, _, body = data.partition(b"\r\n\r\n")
            declared = re.search(rb"(?i)content-length: (\d+)", self.head)
            assert declared
            self.size = len(body)
            while self.size < int(declared[1]):
                self.size += len(connection.recv(1 << 20))
            answer = b'{"id": "file-1", "object": "file", "text": "hi"}'
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )


def peak_bytes(program: Program) -> int:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{program.pid}/status").read_text())
    assert match
    return int(match[1]) * 1024


@pytest.mark.ledger("H3")
@pytest.mark.parametrize("size", [48 * MB, pytest.param(300 * MB, marks=pytest.mark.long)])
@pytest.mark.parametrize("call", ["files", "transcriptions"])
def test_an_upload_takes_no_memory(tmp_path: Path, call: str, size: int) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(size)
    with Sink() as sink:
        arguments = ("serve", "--base-url", f"{sink.url}/v1", "--type", "openai", "--api-key", "k")
        with (
            Program(tmp_path, *arguments) as program,
            openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client,
            large.open("rb") as file,
        ):
            program.get("/health")
            before = peak_bytes(program)
            if call == "files":
                client.files.create(file=file, purpose="batch")
            else:
                client.audio.transcriptions.create(file=file, model="whisper-1")
            assert peak_bytes(program) - before < 16 * MB
        assert sink.size > size

"""Vertex's addresses, projects and credentials, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.errors import BadRequest, UpstreamError
from llmproxy.providers.vertex import Vertex
from llmproxy.target import Target, UpstreamRequest
from tests.support import google_accounts
from tests.support.exchanges import new_exchange
from tests.support.google_accounts import TokenServer
from tests.support.provider import Upstream

pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_file method is deprecated")

OURS = "/projects/acme/locations/global"
THEIRS = "/projects/dummy/locations/us-east5"
CHAT = "/endpoints/openapi/chat/completions"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)


def vertex(**keys: object) -> Vertex:
    return Vertex(Vertex.Config.model_validate({"name": "vertex", "type": "vertex", **keys}))


def sent(provider: Vertex, path: str, *headers: tuple[str, str], model: str = "m/x") -> UpstreamRequest:
    return provider.prepare(new_exchange(path, *headers, body={"model": model}), Target(provider=provider))


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_the_host_of_a_location(location: str | None, host: str) -> None:
    provider = vertex(project="acme", location=location)
    assert provider.origin.host == host
    assert sent(provider, "/v1/chat/completions").target == f"/v1/projects/acme/locations/{location or 'global'}{CHAT}"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/chat/completions", f"/v1{OURS}{CHAT}"),
        (f"/v1{THEIRS}{CHAT}", f"/v1{OURS}{CHAT}"),
        (f"{THEIRS}{CHAT}", f"/v1{OURS}{CHAT}"),
        (f"/v1beta1{THEIRS}{CHAT}", f"/v1beta1{OURS}{CHAT}"),
        (f"/v1beta1{THEIRS}/cachedContents/7", f"/v1beta1{OURS}/cachedContents/7"),
        ("/v1beta1/publishers/google/models", "/v1beta1/publishers/google/models"),
        ("", "/v1"),
    ],
)
@pytest.mark.parametrize("base", ["", "/v1", "/gateway", "/gateway/v1beta1/"])
def test_our_project_stands_in_the_place_of_the_clients(path: str, target: str, base: str) -> None:
    provider = vertex(project="acme", base_url=f"https://vertex.example{base}")
    assert sent(provider, path).target == ("/gateway" if "gateway" in base else "") + target


def test_a_key_calls_without_a_project() -> None:
    provider = vertex(api_key="AQ.k")
    request = sent(provider, f"/v1beta1{THEIRS}/publishers/google/models/m:countTokens", ("authorization", "Bearer x"))
    assert request.target == "/v1beta1/publishers/google/models/m:countTokens"
    assert request.headers["x-goog-api-key"] == "AQ.k" and "authorization" not in request.headers
    assert sent(vertex(api_key="k", project="acme"), "/v1/chat/completions").target == f"/v1{OURS}{CHAT}"


def test_without_a_project_the_clients_is_used_else_the_remedy_is_named() -> None:
    provider = vertex(auth="passthrough")
    token = ("authorization", "Bearer ya29.mine")
    assert sent(provider, f"{THEIRS}{CHAT}", token).target == f"/v1{THEIRS}{CHAT}"
    with pytest.raises(UpstreamError, match="Set `project` of the provider 'vertex'"):
        sent(provider, "/v1/chat/completions", token)


@pytest.mark.parametrize("auth", ["inject", "passthrough"])
async def test_a_missing_credential_matters_where_the_client_has_none_of_its_own(auth: str, tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text("{}")
    provider = await asyncio.to_thread(lambda: vertex(project="acme", credentials_file=str(file), auth=auth))
    await provider.ready()
    with pytest.raises(UpstreamError, match="No token of Google Cloud: credentials_file"):
        sent(provider, "/v1/chat/completions")
    mine = (("authorization", "Bearer mine"), ("x-goog-user-project", "mine"))
    if auth == "passthrough":
        headers = sent(provider, "/v1/chat/completions", *mine).headers
        assert (headers["authorization"], headers["x-goog-user-project"]) == ("Bearer mine", "mine")
    else:
        with pytest.raises(UpstreamError, match="No token"):
            sent(provider, "/v1/chat/completions", *mine)


@pytest.mark.parametrize(
    ("key", "header", "value"),
    [("AIza-mine", "x-goog-api-key", "AIza-mine"), ("ya29.mine", "authorization", "Bearer ya29.mine")],
)
async def test_a_clients_key_is_sent_as_vertex_expects_it(key: str, header: str, value: str, tmp_path: Path) -> None:
    provider = await asyncio.to_thread(lambda: vertex(project="acme", auth="passthrough"))
    headers = sent(provider, "/v1/chat/completions", ("x-api-key", key)).headers
    assert headers[header] == value and "x-api-key" not in headers


def test_who_pays_is_not_the_clients_to_say() -> None:
    request = sent(vertex(api_key="k"), "/v1/chat/completions", ("X-Goog-User-Project", "theirs"))
    assert "x-goog-user-project" not in request.headers


def test_one_credential_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text("{}")
    with pytest.raises(ValidationError, match="several credentials: api_key, credentials_file"):
        vertex(api_key="k", credentials_file=str(file))


def test_a_file_that_is_not_json_is_refused_before_the_start(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text("not json")
    with pytest.raises(ValidationError, match=r"account.json' is not JSON; download the key of the service account"):
        vertex(credentials_file=str(file))


@pytest.mark.parametrize("keys", [{"project": "a/../b"}, {"location": "eu/x"}, {"location": "evil.example#"}])
def test_no_setting_leads_elsewhere(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        vertex(**keys)


@pytest.mark.parametrize("path", [f"{THEIRS}/../../x", f"/v1{THEIRS}/%2e%2e/x", "/v1/projects/%2e%2e/locations/x/y"])
def test_no_path_leads_out_of_the_project(path: str) -> None:
    with pytest.raises(BadRequest, match="segment"):
        sent(vertex(project="acme"), path)


async def test_a_token_that_is_refused_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.providers.refreshed_token._AGAIN_S", 0.0)
    tokens = TokenServer()
    with Upstream(tokens) as cloud:
        file = google_accounts.service_account(tmp_path, cloud.url)
        provider = await asyncio.to_thread(lambda: vertex(credentials_file=str(file)))
        await provider.ready()
        request = sent(provider, "/v1/chat/completions")
        assert request.headers["authorization"] == "Bearer ya29.1" and request.renew is not None
        assert f"/projects/{google_accounts.PROJECT}/" in request.target
        for status, given in ((403, 1), (401, 2)):
            assert await request.renew(Answer(status=status, headers=Headers())) is (given == 2)
            assert tokens.given == given
    assert provider.secrets == ("ya29.2", "ya29.1")


async def test_a_login_says_whose_project_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Upstream(TokenServer()) as cloud:
        monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{cloud.url}/token")
        file = google_accounts.user(tmp_path)
        provider = await asyncio.to_thread(lambda: vertex(project="acme", credentials_file=str(file)))
        await provider.ready()
        headers = sent(provider, "/v1/chat/completions", ("x-goog-user-project", "theirs")).headers
    assert headers.getall("x-goog-user-project") == ["acme-billing"]


@pytest.mark.parametrize(
    ("content", "project"),
    [
        ('{"project_id": "of-the-file"}', "of-the-file"),
        ('{"project_id": "a/../b"}', None),
        ('{"project_id": 1}', None),
        ("[]", None),
    ],
)
def test_the_file_of_a_service_account_names_the_project_before_there_is_a_token(
    content: str, project: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "account.json"
    file.write_text(content)
    provider = vertex(credentials_file=str(file))
    if project is not None:
        assert sent(provider, "/v1/chat/completions").target == f"/v1/projects/{project}/locations/global{CHAT}"
    else:
        with pytest.raises(UpstreamError, match="Set `project`"):
            sent(provider, "/v1/chat/completions")

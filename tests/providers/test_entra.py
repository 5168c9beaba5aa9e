"""Tokens of Microsoft Entra: each place that they come from, against a fake of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from llmproxy.errors import UpstreamError
from llmproxy.providers.entra import Entra
from tests.support import vendors
from tests.support.provider import Reply, Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


SCOPE = "https://cognitiveservices.azure.com/.default"
APPLICATION = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client"}


def entra(**environment: str) -> Entra:
    return Entra(scope=SCOPE, environment=environment)


def answers(upstream: Upstream, *, status: int = 200, **members: object) -> None:
    reply = Reply(status=status, reason="-", headers=vendors.JSON, pieces=[json.dumps(members).encode()])
    upstream.default = reply


async def test_a_token_of_the_environment_does_not_change() -> None:
    token = await entra(AZURE_OPENAI_AD_TOKEN="eyJ", **APPLICATION).fetch()
    assert (token.text, token.ends_s) == ("eyJ", None)


async def test_a_client_secret_is_exchanged_at_the_tenant(upstream: Upstream) -> None:
    answers(upstream, access_token="eyJ", expires_in=3599)
    token = await entra(**APPLICATION, AZURE_CLIENT_SECRET="s3", AZURE_AUTHORITY_HOST=upstream.url).fetch()
    form = {name: value for name, [value] in parse_qs(upstream.last.body.decode()).items()}
    assert upstream.last.path == "/tenant/oauth2/v2.0/token" and token.text == "eyJ"
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": "s3",
        "scope": SCOPE,
    }
    assert token.ends_s is not None and 3500 < token.ends_s - time.time() < 3600


async def test_a_workload_proves_itself_by_its_file(upstream: Upstream, tmp_path: Path) -> None:
    answers(upstream, access_token="eyJ", expires_in="10")
    file = tmp_path / "token"
    file.write_text("federated\n")
    environment = APPLICATION | {"AZURE_FEDERATED_TOKEN_FILE": str(file), "AZURE_AUTHORITY_HOST": upstream.url}
    await entra(**environment).fetch()
    form = parse_qs(upstream.last.body.decode())
    assert form["client_assertion"] == ["federated"] and form["client_assertion_type"][0].endswith("jwt-bearer")
    file.unlink()
    with pytest.raises(UpstreamError, match="AZURE_FEDERATED_TOKEN_FILE"):
        await entra(**environment).fetch()


async def test_managed_identities_of_a_machine_and_of_app_service(upstream: Upstream) -> None:
    answers(upstream, access_token="eyJ", expires_on=str(int(time.time()) + 500))
    token = await entra(AZURE_POD_IDENTITY_AUTHORITY_HOST=upstream.url, AZURE_CLIENT_ID="client").fetch()
    assert upstream.last.value("metadata") == "true" and upstream.last.path == "/metadata/identity/oauth2/token"
    query = parse_qs(upstream.last.target.decode().partition("?")[2])
    assert query["resource"] == ["https://cognitiveservices.azure.com"] and query["client_id"] == ["client"]
    assert token.ends_s is not None
    await entra(IDENTITY_ENDPOINT=f"{upstream.url}/msi/token", IDENTITY_HEADER="h").fetch()
    assert (upstream.last.path, upstream.last.value("x-identity-header")) == ("/msi/token", "h")


async def test_a_refusal_says_why_and_where(upstream: Upstream) -> None:
    answers(upstream, status=401, error="invalid_client", error_description="AADSTS7000215: Invalid secret.\r\nTrace")
    source = entra(**APPLICATION, AZURE_CLIENT_SECRET="s3cret", AZURE_AUTHORITY_HOST=upstream.url)
    with pytest.raises(UpstreamError) as raised:
        await source.fetch()
    where = f"No token of Microsoft Entra from {upstream.url} with AZURE_CLIENT_SECRET"
    assert str(raised.value) == f"{where}: status 401: AADSTS7000215: Invalid secret."
    answers(upstream, nothing=1)
    with pytest.raises(UpstreamError, match="contains no access token"):
        await source.fetch()
    upstream.next(Reply(status=503, pieces=[b""]))
    with pytest.raises(UpstreamError, match=r"with AZURE_CLIENT_SECRET: status 503$"):
        await source.fetch()


async def test_a_secret_goes_nowhere_else(upstream: Upstream) -> None:
    upstream.next(Reply(status=307, headers=(("Location", "/elsewhere"),), pieces=[b""]))
    source = entra(**APPLICATION, AZURE_CLIENT_SECRET="s3cret", AZURE_AUTHORITY_HOST=upstream.url)
    with pytest.raises(UpstreamError, match="status 307"):
        await source.fetch()
    assert len(upstream.requests) == 1


async def test_of_a_long_answer_the_beginning_is_read(upstream: Upstream) -> None:
    upstream.next(Reply(pieces=[b" " * 2_000_000 + b'{"access_token": "t", "expires_in": 9}']))
    source = entra(**APPLICATION, AZURE_CLIENT_SECRET="s3cret", AZURE_AUTHORITY_HOST=upstream.url)
    with pytest.raises(UpstreamError, match="is not JSON"):
        await source.fetch()


@pytest.mark.parametrize("end", ["NaN", "1e400", "soon"])
async def test_an_end_that_is_no_time_is_a_near_one(upstream: Upstream, end: str) -> None:
    upstream.next(
        Reply(pieces=[b'{"access_token": "eyJ", "expires_in": %b}' % (end if end != "soon" else '"soon"').encode()])
    )
    token = await entra(**APPLICATION, AZURE_CLIENT_SECRET="s", AZURE_AUTHORITY_HOST=upstream.url).fetch()
    assert token.ends_s is not None and token.ends_s - time.time() < 601


@pytest.mark.parametrize(
    ("prints", "text"),
    [
        ("eyJplain", "eyJplain"),
        ('{"accessToken": "eyJ", "expiresOn": "2090-01-01 00:00:00.000000"}', "eyJ"),
        ('{"accessToken": "eyJ", "expires_on": 3786912000}', "eyJ"),
    ],
)
async def test_a_command_prints_a_token(prints: str, text: str) -> None:
    token = await Entra(scope=SCOPE, command=[sys.executable, "-c", f"print({prints!r})"]).fetch()
    assert token.text == text and token.ends_s is not None and token.ends_s > time.time()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/no/such/program"], "no such file"),
        ([sys.executable, "-c", "import sys; sys.exit('please log in')"], "exit code 1: please log in"),
        ([sys.executable, "-c", ""], "printed nothing"),
        ([sys.executable, "-c", "print('{')"], "is not JSON"),
    ],
)
async def test_a_command_that_gives_none_is_named(command: list[str], reason: str) -> None:
    with pytest.raises(UpstreamError, match=reason):
        await Entra(scope=SCOPE, command=command).fetch()

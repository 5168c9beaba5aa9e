"""Tokens of Google Cloud: each kind of credentials, against a fake of the servers that exchange them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth import jwt

from llmproxy.errors import UpstreamError
from llmproxy.providers.google_credentials import GoogleCredentials
from tests.support import google_accounts, vendors
from tests.support.google_accounts import TokenServer
from tests.support.provider import Reply, Upstream

pytestmark = pytest.mark.filterwarnings("ignore:The load_credentials_from_file method is deprecated")

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture
def tokens() -> TokenServer:
    return TokenServer()


@pytest.fixture
def upstream(tokens: TokenServer) -> Iterator[Upstream]:
    with Upstream(tokens) as upstream:
        yield upstream


async def test_a_service_account_signs_for_its_tokens(upstream: Upstream, tokens: TokenServer, tmp_path: Path) -> None:
    credentials = GoogleCredentials(str(google_accounts.service_account(tmp_path, upstream.url)))
    first, second = await credentials.fetch(), await credentials.fetch()
    assert (first.text, second.text, credentials.project) == ("ya29.1", "ya29.2", google_accounts.PROJECT)
    assert first.ends_s is not None and 3500 < first.ends_s - time.time() < 3600
    decode: Any = jwt.decode  # has no types
    claims = decode(tokens.forms[0]["assertion"], certs=google_accounts.keys()[1], clock_skew_in_seconds=9)
    assert (claims["iss"], claims["scope"]) == (google_accounts.EMAIL, SCOPE)


async def test_a_login_of_gcloud_says_who_pays(
    upstream: Upstream, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # google-auth asks this address whatever the file says.
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{upstream.url}/token")
    credentials = GoogleCredentials(str(google_accounts.user(tmp_path)))
    assert (await credentials.fetch()).text == "ya29.1"
    assert (credentials.project, credentials.quota_project) == (None, "acme-billing")
    assert tokens.forms[0]["refresh_token"] == "r"


async def test_a_workload_elsewhere_exchanges_its_own_token(
    upstream: Upstream, tokens: TokenServer, tmp_path: Path
) -> None:
    assert (await GoogleCredentials(str(google_accounts.workload(tmp_path, upstream.url))).fetch()).text == "ya29.1"
    assert (tokens.forms[0]["subject_token"], tokens.forms[0]["scope"]) == ("federated", SCOPE)


async def test_without_a_file_the_variable_names_one(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = google_accounts.service_account(tmp_path, upstream.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    credentials = GoogleCredentials()
    assert (await credentials.fetch()).text == "ya29.1" and credentials.project == google_accounts.PROJECT


async def test_a_file_that_changes_after_a_failure_is_read_again(upstream: Upstream, tmp_path: Path) -> None:
    file = google_accounts.service_account(tmp_path, upstream.url)
    right = file.read_text()
    file.write_text("{}")
    credentials = GoogleCredentials(str(file))
    with pytest.raises(UpstreamError, match=r"No token of Google Cloud: credentials_file .*service-account.json.*type"):
        await credentials.fetch()
    file.write_text(right)
    assert (await credentials.fetch()).text == "ya29.1"


async def test_a_refusal_is_told_in_googles_words(upstream: Upstream, tmp_path: Path) -> None:
    body = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
    upstream.next(Reply(status=400, reason="-", headers=vendors.JSON, pieces=[body]))
    credentials = GoogleCredentials(str(google_accounts.service_account(tmp_path, upstream.url)))
    with pytest.raises(UpstreamError) as raised:
        await credentials.fetch()
    assert "invalid_grant: Invalid JWT Signature." in raised.value.message and "clock" in raised.value.message
    assert (raised.value.status, raised.value.code) == (502, "no_credential")


@pytest.mark.parametrize("body", [b"<html>log in first</html>", b"[1]", b'{"access_token":"t","expires_in":1e400}'])
async def test_what_is_no_server_of_tokens_is_named_as_such(upstream: Upstream, tmp_path: Path, body: bytes) -> None:
    upstream.next(Reply(pieces=[body]))
    with pytest.raises(UpstreamError, match=r"service-account.json': what answered is not a token server\.$"):
        await GoogleCredentials(str(google_accounts.service_account(tmp_path, upstream.url))).fetch()


async def test_of_a_long_answer_the_beginning_is_read(upstream: Upstream, tmp_path: Path) -> None:
    upstream.next(Reply(pieces=[b" " * 2_000_000 + b'{"access_token": "t", "expires_in": 9}']))
    with pytest.raises(UpstreamError, match="not a token server"):
        await GoogleCredentials(str(google_accounts.service_account(tmp_path, upstream.url))).fetch()


async def test_where_there_is_nothing_the_sources_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(UpstreamError, match=r"GOOGLE_APPLICATION_CREDENTIALS \(.*gone.json\).*gcloud.*metadata server"):
        await GoogleCredentials().fetch()

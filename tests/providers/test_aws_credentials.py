"""AWS's credentials from all places: files, a role, and fake metadata servers and a fake STS on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from llmproxy.errors import UpstreamError
from llmproxy.providers.aws_credentials import AwsCredentials, configured_region
from llmproxy.providers.sigv4 import Keys
from tests.support.provider import Call, Reply, Upstream, silence

ROLE = "arn:aws:iam::123456789012:role/bedrock"


class Metadata:
    """The metadata of containers and machines, and STS; `life_s` is how long what they give lasts."""

    def __init__(self) -> None:
        self.life_s = 3600.0
        self.given = 0

    async def answer(self, call: Call) -> None:
        request = call.request
        self.given += 1
        end = (datetime.now(UTC) + timedelta(seconds=self.life_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": f"AKID{self.given}", "SecretAccessKey": "sec", "Token": "tok", "Expiration": end}
        form = parse_qs(request.body.decode())
        if request.path == "/latest/api/token":
            await call.give(Reply(pieces=[b"imds-token"]))
        elif request.path.endswith("/security-credentials/"):
            await call.give(Reply(pieces=[b"my-role"]))
        elif request.path.endswith("/security-credentials/my-role"):
            await call.give(Reply(pieces=[json.dumps({"Code": "Success", **keys}).encode()]))
        elif request.path == "/container":
            assert request.value("authorization") == "container-token"
            await call.give(Reply(pieces=[json.dumps(keys).encode()]))
        else:
            action = form["Action"][0]
            assert form["RoleArn"] == [ROLE]
            if action == "AssumeRoleWithWebIdentity":
                assert form["WebIdentityToken"] == ["web-token"]
            else:
                assert "Credential=SOURCE/" in (request.value("authorization") or "")
                assert form["ExternalId"] == ["partner"]
            await call.give(Reply(headers=(("Content-Type", "text/xml"),), pieces=[_sts(action, keys).encode()]))


def _sts(action: str, keys: dict[str, str]) -> str:
    names = {**keys, "SessionToken": keys["Token"]}
    del names["Token"]
    members = "".join(f"<{name}>{value}</{name}>" for name, value in names.items())
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"<Credentials>{members}</Credentials></{action}Result></{action}Response>"
    )


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    return Metadata()


@pytest.fixture(scope="module")
def lasting_server(metadata: Metadata) -> Iterator[Upstream]:
    with Upstream(metadata.answer) as upstream:
        yield upstream


@pytest.fixture
def server(
    lasting_server: Upstream, metadata: Metadata, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Upstream]:
    """Yield the metadata server, in an environment without any credentials."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", lasting_server.url)
    metadata.life_s = 3600.0
    lasting_server.forget()
    yield lasting_server
    lasting_server.check()


def chain(**settings: str) -> AwsCredentials:
    return AwsCredentials(region="eu-west-1", **settings)  # type: ignore[arg-type]  # keys are no text


async def test_nothing_found_names_what_was_tried(server: Upstream) -> None:
    with pytest.raises(UpstreamError, match=r"none found\. Tried: env, assume-role,.*iam-role.*AWS_BEARER") as caught:
        await chain().fetch()
    assert caught.value.status == 502 and caught.value.code == "no_credential"
    with pytest.raises(UpstreamError, match=r"profile \(nobody\)"):
        await chain(profile="nobody").fetch()


async def test_the_environment(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sec")
    assert await chain().fetch() == Keys(text="AKIDENV", secret="sec", session=None, ends_s=None)


async def test_a_profile_is_read_again_after_it_was_refused(server: Upstream, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    file = tmp_path / ".aws" / "credentials"
    file.write_text("[work]\naws_access_key_id = A\naws_secret_access_key = s\naws_session_token = t\n")
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = ap-south-1\n")
    source = chain(profile="work")
    assert await source.fetch() == Keys(text="A", secret="s", session="t", ends_s=None)
    file.write_text("[work]\naws_access_key_id = B\naws_secret_access_key = s\n")
    assert (await source.fetch()).text == "A"
    source.forget()
    assert (await source.fetch()).text == "B"
    assert await asyncio.to_thread(configured_region, "work") == "ap-south-1"
    with pytest.raises(ValueError, match="the profile 'nobody' is in none of AWS's configuration files; run `aws conf"):
        await asyncio.to_thread(configured_region, "nobody")
    (tmp_path / ".aws" / "config").write_text("[profile work\nregion")
    with pytest.raises(ValueError, match="AWS's configuration cannot be read: Unable to parse"):
        await asyncio.to_thread(configured_region, None)


async def test_the_metadata_of_a_container_and_keys_that_end(
    server: Upstream, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
    source = chain()
    keys = await source.fetch()
    assert re.fullmatch(r"AKID\d+", keys.text) and keys.session == "tok"
    assert keys.ends_s is not None and 3000 < keys.ends_s - datetime.now(UTC).timestamp() <= 3600
    assert await source.fetch() == keys
    metadata.life_s = 400.0
    source = chain()
    first = await source.fetch()
    metadata.life_s = 3600.0
    second = await source.fetch()
    assert first.text != second.text and await source.fetch() == second


async def test_the_metadata_of_a_machine(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    keys = await chain().fetch()
    assert keys.text.startswith("AKID") and keys.session == "tok" and keys.ends_s is not None


async def test_a_web_identity_without_its_secrets_in_the_log(
    server: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "token").write_text("web-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    assert (await chain().fetch()).session == "tok"
    assert "SecretAccessKey" not in caplog.text and "web-token" not in caplog.text


async def test_a_role_is_assumed_with_our_keys_or_those_of_a_profile(
    server: Upstream, metadata: Metadata, tmp_path: Path
) -> None:
    own = Keys(text="SOURCE", secret="s", session=None, ends_s=None)
    source = AwsCredentials(region="eu-west-1", keys=own, role_arn=ROLE, external_id="partner")
    first = await source.fetch()
    assert first.text.startswith("AKID") and await source.fetch() == first
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        f"[profile base]\naws_access_key_id = SOURCE\naws_secret_access_key = s\n"
        f"[profile work]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = partner\n"
    )
    assert (await chain(profile="work").fetch()).text.startswith("AKID")


async def test_a_role_that_may_not_be_assumed_is_named(server: Upstream) -> None:
    fault = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"
    server.next(Reply(status=403, reason="Forbidden", headers=(("Content-Type", "text/xml"),), pieces=[fault]))
    own = Keys(text="SOURCE", secret="s", session=None, ends_s=None)
    with pytest.raises(UpstreamError, match=r"AccessDenied.*AssumeRole.*not you"):
        await AwsCredentials(region="eu-west-1", keys=own, role_arn=ROLE, external_id="partner").fetch()


@pytest.mark.parametrize(
    "answer",
    [b"<html>log in first</html>", b"<AssumeRoleResponse><SecretAccessKey>hidden</SecretAccess", b'{"hidden": 1}'],
)
async def test_an_answer_of_sts_that_cannot_be_read_is_not_repeated(server: Upstream, answer: bytes) -> None:
    server.next(Reply(headers=(("Content-Type", "text/xml"),), pieces=[answer]))
    own = Keys(text="SOURCE", secret="s", session=None, ends_s=None)
    source = AwsCredentials(region="eu-west-1", keys=own, role_arn=ROLE, external_id="partner")
    with pytest.raises(UpstreamError, match="what answered for them cannot be read") as raised:
        await source.fetch()
    assert "hidden" not in str(raised.value)


async def test_keys_that_have_ended_already_point_at_the_clock(
    server: Upstream, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
    metadata.life_s = -60
    with pytest.raises(UpstreamError, match="Check the clock of this machine"):
        await chain().fetch()


async def test_an_sts_that_does_not_answer_is_named(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.providers.aws_credentials._LIMIT_S", 0.05)
    server.next(silence, silence)
    own = Keys(text="SOURCE", secret="s", session=None, ends_s=None)
    with pytest.raises(UpstreamError, match=r"Read timeout on endpoint URL: .http://127"):
        await AwsCredentials(region="eu-west-1", keys=own, role_arn=ROLE, external_id="partner").fetch()


async def test_a_single_sign_on_that_has_ended_says_how_to_begin_again(server: Upstream, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[profile sso]\nsso_start_url=https://x.awsapps.com/start\nsso_region=us-east-1\nsso_account_id=1\n"
        "sso_role_name=r\n"
    )
    with pytest.raises(UpstreamError, match=r"does not exist\. Run `aws sso login --profile sso`"):
        await chain(profile="sso").fetch()

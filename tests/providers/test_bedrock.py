"""Bedrock's addresses, credentials and models, without a server."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.providers.bedrock import Bedrock, region_of
from llmproxy.target import Target, UpstreamRequest
from tests.support.exchanges import new_exchange

KEYS = {"access_key_id": "AKID", "secret_access_key": "sec"}


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def config(**keys: object) -> Bedrock.Config:
    return Bedrock.Config.model_validate({"name": "bedrock", "type": "bedrock", **keys})


async def sent(
    path: str, *headers: tuple[str, str], model: str = "us.anthropic.claude-x", **keys: object
) -> UpstreamRequest:
    provider = Bedrock(config(**({"region": "eu-west-1", **KEYS} | keys)))
    await provider.ready()
    return provider.prepare(new_exchange(path, *headers, body={"model": model}), Target(provider=provider))


@pytest.mark.parametrize(
    ("keys", "region", "url"),
    [
        ({"region": "eu-west-1"}, "eu-west-1", "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ({"base_url": "https://bedrock-mantle.us-west-2.api.aws/v1"}, "us-west-2", None),
        ({"base_url": "https://vpce-1.bedrock-runtime.us-east-2.vpce.amazonaws.com"}, "us-east-2", None),
        ({"base_url": "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"}, "us-gov-west-1", None),
        ({"base_url": "http://localhost:4566", "region": "ap-south-1"}, "ap-south-1", None),
    ],
)
def test_the_region_is_in_the_configuration_or_in_the_address(
    keys: dict[str, str], region: str, url: str | None
) -> None:
    assert region_of(config(**keys)) == region
    assert Bedrock(config(**keys)).origin.url == (url or keys["base_url"].removesuffix("/v1"))


def test_a_region_comes_from_the_environment_or_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="region is missing; set it, or AWS_REGION"):
        config(**KEYS)
    (tmp_path / "config").write_text("[profile p]\nregion = sa-east-1\n")
    assert region_of(config(profile="p")) == "sa-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert region_of(config(**KEYS)) == "eu-north-1"
    with pytest.raises(ValidationError, match="region"):
        config(region="evil.example.com/", **KEYS)


@pytest.mark.parametrize(
    ("keys", "path", "target"),
    [
        ({}, "/v1/messages", "/model/us.anthropic.claude-x/invoke"),
        ({}, "/model/m%3A0/invoke", "/model/m%3A0/invoke"),
        ({"base_url": "https://bedrock-mantle.us-west-2.api.aws/v1"}, "/v1/responses", "/v1/responses"),
        ({"base_url": "https://bedrock-mantle.us-west-2.api.aws"}, "/v1/chat/completions", "/v1/chat/completions"),
        ({"base_url": "https://bedrock-mantle.us-west-2.api.aws/openai/v1"}, "/v1/responses", "/openai/v1/responses"),
        ({"base_url": "https://bedrock-mantle.us-west-2.api.aws/anthropic"}, "/v1/messages", "/anthropic/v1/messages"),
        (
            {"base_url": "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1"},
            "/v1/chat/completions",
            "/openai/v1/chat/completions",
        ),
    ],
)
async def test_the_address_chooses_the_api(keys: dict[str, str], path: str, target: str) -> None:
    request = await sent(path, **({"region": "us-west-2"} | keys))
    service = "bedrock-mantle" if "mantle" in keys.get("base_url", "") else "bedrock"
    assert request.target == target and f"/us-west-2/{service}/aws4_request" in request.headers["Authorization"]
    speaks = Bedrock(config(region="us-west-2", **keys)).speaks_for("claude-x")
    assert ("messages" in speaks) == ("messages" in path or "base_url" not in keys)
    assert ("chat" in speaks) == ("openai" in target or ("mantle" in str(keys) and "anthropic" not in str(keys)))


@pytest.mark.parametrize(
    ("model", "claude"),
    [
        ("anthropic.claude-sonnet-4-20250514-v1:0", True),
        ("us-gov.anthropic.claude-3-haiku", True),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-opus-4-6", True),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", False),
        ("amazon.nova-pro-v1:0", False),
    ],
)
def test_claude_is_seen_through_prefixes(model: str, claude: bool) -> None:
    speaks = Bedrock(config(region="us-east-1")).speaks_for(model)
    assert ("messages" in speaks) is claude and {"converse", "invoke"} <= speaks


def test_half_a_key_and_two_credentials_are_refused() -> None:
    with pytest.raises(ValidationError, match="secret_access_key is missing"):
        config(region="us-east-1", access_key_id="A")
    with pytest.raises(ValidationError, match="several credentials: api_key and role_arn"):
        config(region="us-east-1", api_key="k", role_arn="arn:aws:iam::1:role/x")


async def test_an_api_key_is_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    request = await sent("/v1/messages", api_key="bedrock-key")
    assert request.headers["Authorization"] == "Bearer bedrock-key" and "X-Amz-Date" not in request.headers
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "from-env")
    plain = Bedrock(config(region="us-east-1"))
    assert "from-env" in plain.secrets
    assert "AWS4" in (await sent("/v1/messages")).headers["Authorization"]  # keys of the configuration come first


async def test_without_any_credential_only_a_clients_own_key_goes_on() -> None:
    provider = Bedrock(config(region="us-east-1"))
    await provider.ready()
    target = Target(provider=provider)
    own = new_exchange("/v1/messages", ("Authorization", "Bearer mine"), body={"model": "anthropic.claude"})
    assert provider.prepare(own, target).headers["Authorization"] == "Bearer mine"
    signed = new_exchange("/v1/messages", ("Authorization", "AWS4-HMAC-SHA256 x"), body={"model": "anthropic.claude"})
    with pytest.raises(ProxyError, match=r"No credentials for AWS: none found\. Tried: env,") as caught:
        provider.prepare(signed, target)
    assert caught.value.status == 502


@pytest.mark.parametrize("own", [{}, {"access_key_id": "A", "secret_access_key": "s"}, {"api_key": "ours"}])
@pytest.mark.parametrize("header", ["x-api-key", "api-key", "Authorization"])
async def test_a_clients_own_key_is_sent_as_bedrock_expects_it(own: dict[str, str], header: str) -> None:
    provider = Bedrock(config(region="us-east-1", auth="passthrough", **own))
    await provider.ready()
    value = "Bearer mine" if header == "Authorization" else "mine"
    exchange = new_exchange("/v1/messages", (header, value), body={"model": "anthropic.claude"})
    headers = provider.prepare(exchange, Target(provider=provider)).headers
    assert headers["Authorization"] == "Bearer mine" and "x-api-key" not in headers and "X-Amz-Date" not in headers


def test_where_a_request_goes_is_known_before_there_are_credentials() -> None:
    provider = Bedrock(config(region="us-east-1", access_key_id="A", secret_access_key="s"))
    exchange = new_exchange("/v1/messages", body={"model": "anthropic.claude"})
    request = provider.prepare(exchange, Target(provider=provider))
    assert request.target == "/model/anthropic.claude/invoke" and "Authorization" not in request.headers


async def test_what_signed_the_clients_request_is_replaced() -> None:
    request = await sent(
        "/v1/messages",
        ("Authorization", "AWS4-HMAC-SHA256 Credential=dummy/x"),
        ("X-Amz-Date", "20200101T000000Z"),
        ("X-Amz-Security-Token", "dummy"),
        ("X-Amz-Content-SHA256", "dummy"),
    )
    assert "dummy" not in str(request.headers) and len(request.headers.getall("Authorization")) == 1
    assert request.headers.getall("X-Amz-Date") != ["20200101T000000Z"]
    assert "X-Amz-Content-SHA256" not in request.headers


@pytest.mark.parametrize("model", ["..", "../../x", "%2e%2e", "claude/../x"])
async def test_no_model_leaves_its_path(model: str) -> None:
    with pytest.raises(BadRequest, match="segment"):
        await sent("/v1/messages", model=model)


async def test_a_clock_that_is_off_is_named(caplog: pytest.LogCaptureFixture) -> None:
    request = await sent("/v1/messages")
    assert request.renew is not None
    old = Headers(
        [("Date", formatdate(time.time() - 3600, usegmt=True)), ("x-amzn-ErrorType", "InvalidSignatureException")]
    )
    assert not await request.renew(Answer(status=403, headers=old, body=b"{}"))
    assert "is 3600 s ahead of AWS's" in caplog.text.replace("3599", "3600").replace("3601", "3600")
    caplog.clear()
    late = Headers([("Date", formatdate(time.time() + 3600, usegmt=True)), ("x-amzn-ErrorType", "RequestExpired:x")])
    assert not await request.renew(Answer(status=400, headers=late, body=b"{}"))
    assert " s behind AWS's; set it right" in caplog.text
    caplog.clear()
    fresh = Headers([("Date", formatdate(usegmt=True)), ("x-amzn-ErrorType", "InvalidSignatureException")])
    assert not await request.renew(Answer(status=403, headers=fresh, body=b"{}")), "static keys stay what they are"
    assert "clock" not in caplog.text


async def test_refused_keys_are_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmproxy.providers.refreshed_token._AGAIN_S", 0.0)

    def write(name: str) -> None:
        text = f"[default]\naws_access_key_id = {name}\naws_secret_access_key = s\n"
        (tmp_path / "credentials").write_text(text)

    write("OLD")
    provider = Bedrock(config(region="us-east-1"))
    await provider.ready()
    exchange = new_exchange("/v1/messages", body={"model": "anthropic.claude"})
    request = provider.prepare(exchange, Target(provider=provider))
    write("NEW")
    expired = Headers([("x-amzn-ErrorType", "ExpiredTokenException")])
    assert "Credential=OLD/" in request.headers["Authorization"] and request.renew is not None
    assert not await request.renew(Answer(status=403, headers=Headers([("x-amzn-ErrorType", "AccessDenied")])))
    assert await request.renew(Answer(status=403, headers=expired, body=b'{"message":"expired"}'))
    assert "Credential=NEW/" in provider.prepare(exchange, Target(provider=provider)).headers["Authorization"]

"""Tokens of clients: which are valid, what they say, and the attacks that they must stand."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

import pytest

from llmproxy.access import tokens as access_tokens
from llmproxy.access.key_set import KeySet, VerificationKey
from llmproxy.access.tokens import LONGEST_TOKEN, ClaimNames, TokenRules, Tokens, read_public_key, secret_key
from llmproxy.client_key import ClientKey
from llmproxy.limit import Limit
from tests.support.tokens import (
    AUDIENCE,
    ED25519,
    ISSUER,
    P256,
    RSA,
    SECRET,
    PrivateKey,
    algorithm,
    jwk,
    jwks,
    pem,
    token,
    unsigned,
)

RULES = TokenRules(issuer=ISSUER, audience=(AUDIENCE,), leeway_s=30)
GRANTS = ClientKey(id="token", name="token", tenant="token", team="all", models=("gpt-*",))
LIMIT = Limit(kind="requests", amount=5)


def read_limits(claim: object) -> tuple[Limit, ...]:
    if claim != [{"requests": 5}]:
        raise ValueError("no limits")
    return (LIMIT,)


def verifier(*keys: VerificationKey, rules: TokenRules = RULES, claims: ClaimNames | None = None) -> Tokens:
    return Tokens(rules, keys, None, grants=GRANTS, claims=claims or ClaimNames(), read_limits=read_limits)


def public(key: PrivateKey) -> VerificationKey:
    return VerificationKey(algorithm=algorithm(key), key=key.public_key())


EVERY = (secret_key(SECRET), public(RSA), public(P256), public(ED25519))


@pytest.mark.parametrize("key", [SECRET, RSA, P256, ED25519], ids=["HS256", "RS256", "ES256", "EdDSA"])
def test_a_token_of_each_algorithm_names_its_client(key: Any) -> None:
    sent = token(key)
    found = verifier(*EVERY).find(sent)
    assert found is not None
    assert (found.name, found.id, found.team, found.models) == ("ada", "ada", "all", ("gpt-*",))
    assert found.tenant == f"token:{ISSUER}:ada"
    assert found.expires_s == pytest.approx(time.time() + 3630, abs=300)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": 10**400},
        {"nbf": 9_999_999_999},
        {"iat": 9_999_999_999},
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "another"},
        {"aud": None},
        {"aud": {"llmproxy": 1}},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\r\nb"},
        {"sub": "x" * 201},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    sent = unsigned_or_signed(claims)
    assert verifier(*EVERY).find(sent) is None


def unsigned_or_signed(claims: dict[str, Any]) -> str:
    """Sign by hand what PyJWT does not encode."""
    now_s = int(time.time())
    payload = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "iat": now_s, "exp": now_s + 3600, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    head = unsigned({"alg": "HS256", "typ": "JWT"}, payload).rpartition(".")[0]
    return f"{head}.{signed(head, SECRET.encode())}"


def signed(head: str, secret: bytes) -> str:
    import base64

    digest = hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_clocks_may_differ_a_little() -> None:
    now_s = int(time.time())
    assert verifier(*EVERY).find(token(SECRET, exp=now_s - 31)) is None
    assert verifier(*EVERY).find(token(SECRET, exp=now_s - 20)) is not None
    assert verifier(*EVERY).find(token(SECRET, nbf=now_s + 20, iat=now_s + 20)) is not None


@pytest.mark.parametrize("name", ["none", "None", "NONE", "HS384", "RS384", "PS256", "", None, 7, ["RS256"]])
def test_other_algorithms_are_refused(name: object) -> None:
    claims = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60}
    assert verifier(*EVERY).find(unsigned({"alg": name, "typ": "JWT"}, claims)) is None
    assert verifier(*EVERY).find(unsigned({"alg": name, "typ": "JWT"}, claims, b"x" * 32)) is None


@pytest.mark.parametrize("secret", [pem(RSA), pem(RSA).strip(), pem(RSA).replace(b"\n", b"")])
def test_a_public_key_is_no_secret(secret: bytes) -> None:
    claims = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60}
    head = unsigned({"alg": "HS256", "typ": "JWT"}, claims).rpartition(".")[0]
    forged = f"{head}.{signed(head, secret)}"
    assert verifier(public(RSA)).find(forged) is None
    assert verifier(*EVERY).find(forged) is None


def test_a_key_that_a_token_brings_along_does_not_count() -> None:
    import jwt

    claims = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60}
    brought = jwt.encode(
        claims, P256, "ES256", headers={"jwk": jwk(P256, "p"), "jku": "https://evil.example", "x5c": []}
    )
    assert verifier(secret_key(SECRET), public(RSA)).find(brought) is None


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "a.b", "\udcff.b.c", "é.b.c", "e30.e30.", "bnVsbA.bnVsbA.", "W10.W10.W10"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    found = verifier(*EVERY)
    assert found.find(text) is None
    assert not found.needs_fetch(text)


def test_a_changed_signature_or_claim_is_refused() -> None:
    head, claims, signature = token(RSA).split(".")
    other = token(RSA, sub="root").split(".")[1]
    for forged in (f"{head}.{other}.{signature}", f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}."):
        assert verifier(*EVERY).find(forged) is None


def test_a_token_of_a_megabyte_is_refused_before_it_is_read() -> None:
    found = verifier(*EVERY)
    huge = token(SECRET, padding="x" * 1_000_000)
    began_s = time.thread_time()
    for _ in range(100):
        assert found.find(huge) is None and not found.needs_fetch(huge)
    assert time.thread_time() - began_s < 0.3, "to read them takes seconds"
    assert found.find(token(SECRET, padding="x" * (LONGEST_TOKEN // 2))) is not None


def test_a_verified_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verifier(*EVERY)
    sent = token(RSA)
    first = found.find(sent)
    monkeypatch.setattr(found._jwt, "decode", None)
    assert found.find(sent) is first
    assert first is not None and first.expires_s is not None
    monkeypatch.setattr(time, "time", lambda: first.expires_s)
    assert found.find(sent) is None
    assert not found._verified


def test_remembered_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_tokens, "_MOST_VERIFIED", 3)
    found = verifier(*EVERY)
    for number in range(10):
        assert found.find(token(SECRET, sub=f"u{number}")) is not None
        assert found.find(token(SECRET, sub=f"u{number}")[:-3]) is None
    assert len(found._verified) == 3


CLAIMS = ClaimNames(team="org.team", models="models", providers="https://x/providers", limits="limits")


def test_claims_say_what_a_client_may_do() -> None:
    sent = token(
        SECRET,
        org={"team": "search"},
        models=["claude-*", "o4"],
        limits=[{"requests": 5}],
        **{"https://x/providers": "a b"},
    )
    found = verifier(*EVERY, claims=CLAIMS).find(sent)
    assert found is not None
    assert (found.team, found.models, found.providers) == ("search", ("claude-*", "o4"), ("a", "b"))
    assert found.limits == (LIMIT,)


def test_without_its_claims_a_token_gets_what_all_get() -> None:
    found = verifier(*EVERY, claims=CLAIMS).find(token(SECRET))
    assert found is not None
    assert (found.team, found.models, found.providers, found.limits) == ("all", ("gpt-*",), (), ())


@pytest.mark.parametrize(
    "claims",
    [
        *({"models": []}, {"models": ""}, {"models": 7}, {"models": [7]}, {"models": [""]}, {"models": {"a": 1}}),
        *({"org": {"team": 7}}, {"org": {"team": "\n"}}, {"limits": "many"}, {"limits": []}, {"models": ["x"] * 1000}),
    ],
    ids=lambda claims: str(claims)[:30],
)
def test_a_claim_of_another_kind_allows_nothing(claims: dict[str, Any]) -> None:
    assert verifier(*EVERY, claims=CLAIMS).find(token(SECRET, **claims)) is None


def test_another_claim_may_name_the_client() -> None:
    found = verifier(*EVERY, claims=ClaimNames(name="email")).find(token(SECRET, email="ada@example.com"))
    assert found is not None and found.name == "ada@example.com"


def test_without_an_issuer_and_an_audience_tokens_for_others_are_refused() -> None:
    loose = verifier(secret_key(SECRET), rules=TokenRules(issuer=None, audience=(), leeway_s=0))
    assert loose.find(token(SECRET, aud=None)) is not None
    assert loose.find(token(SECRET)) is None


async def test_a_rotated_key_set_is_fetched_when_a_token_names_a_new_key() -> None:
    content = [jwks(jwk(RSA, "old"))]

    async def fetch() -> bytes:
        await asyncio.sleep(0)
        return content[-1]

    now_s = [0.0]
    keys = KeySet(fetch, "x", refresh_s=600, min_interval_s=30, clock=lambda: now_s[0])
    found = Tokens(RULES, (), keys, grants=GRANTS, claims=ClaimNames(), read_limits=read_limits)
    old, new = token(RSA, "old"), token(P256, "new")
    assert found.find(old) is None and found.needs_fetch(old)
    await found.fetch()
    assert found.find(old) is not None and not found.needs_fetch(new)
    content.append(jwks(jwk(P256, "new")))
    now_s[0] += 31
    assert found.needs_fetch(new) and not found.needs_fetch(token(SECRET, "other"))
    await found.fetch()
    assert found.find(new) is not None
    assert found.find(old) is None, "its key was withdrawn"


def test_a_public_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    for key in (RSA, P256, ED25519):
        file.write_bytes(pem(key))
        assert read_public_key(str(file)).algorithm == algorithm(key)
    file.write_text("no key")
    with pytest.raises(ValueError, match=r"key\.pem contains no public key"):
        read_public_key(str(file))
    with pytest.raises(ValueError, match="cannot read"):
        read_public_key(str(tmp_path / "none.pem"))

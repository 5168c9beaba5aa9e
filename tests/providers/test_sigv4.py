"""Signatures, compared with botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.answer import Headers
from llmproxy.providers.sigv4 import Keys, Signer

HOST = "bedrock-runtime.eu-west-1.amazonaws.com"
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z"]), max_size=8)


def ours(
    target: str, headers: Headers, body: bytes, session: str | None = None, signer: Signer | None = None
) -> Headers:
    signer = signer or Signer("bedrock", "eu-west-1", clock=NOON.timestamp)
    keys = Keys(text="AKID", secret="s/+é", session=session, ends_s=None)
    signer.sign(keys, "POST", HOST, target, headers, body)
    return headers


def theirs(target: str, headers: Headers, body: bytes, session: str | None = None) -> str:
    request = AWSRequest("POST", f"https://{HOST}{target}", headers=dict(headers), data=body)
    signer = auth.SigV4Auth(Credentials("AKID", "s/+é", session), "bedrock", "eu-west-1")
    with mock.patch.object(auth, "get_current_datetime", lambda: NOON):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@given(
    segments=st.lists(WORDS, min_size=1, max_size=4),
    fields=st.lists(st.tuples(WORDS, WORDS), max_size=4),
    body=st.binary(max_size=64),
    session=st.sampled_from([None, "FwoG//session=="]),
)
def test_any_request_is_signed_as_botocore_signs_it(
    segments: list[str], fields: list[tuple[str, str]], body: bytes, session: str | None
) -> None:
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    target = path + ("?" if fields else "") + "&".join(f"{quote(a, safe='')}={quote(b, safe='')}" for a, b in fields)
    headers = Headers([("Content-Type", "application/json"), ("X-Amz-Target", " a  b ")])
    expected = theirs(target, headers, body, session)
    assert ours(target, headers, body, session)["Authorization"] == expected


@pytest.mark.parametrize("path", ["/", "/a//b", "/./a", "/a/./b/", "//", "/model/a%2Fb%3A0/converse"])
def test_paths_are_signed_in_their_short_form(path: str) -> None:
    headers = Headers()
    expected = theirs(path, headers, b"")
    assert ours(path, headers, b"")["Authorization"] == expected


def test_a_new_day_has_a_new_key() -> None:
    now = [NOON.timestamp()]
    signer = Signer("bedrock", "eu-west-1", clock=lambda: now[0])
    first = ours("/a", Headers(), b"", signer=signer)
    now[0] += 24 * 3600
    second = ours("/a", Headers(), b"", signer=signer)
    fresh = ours("/a", Headers(), b"", signer=Signer("bedrock", "eu-west-1", clock=lambda: now[0]))
    assert first["Authorization"] != second["Authorization"] == fresh["Authorization"]
    assert second["X-Amz-Date"] == "20260302T120000Z"


def test_headers_of_one_name_are_signed_together_and_others_not_at_all() -> None:
    headers = Headers([("x-amz-a", "1"), ("X-Amz-A", "2"), ("Accept", "*/*")])
    signed = ours("/", headers, b"")["Authorization"]
    assert "SignedHeaders=host;x-amz-a;x-amz-date," in signed
    other = Headers([("x-amz-a", "1"), ("X-Amz-A", "2"), ("Accept", "text/plain")])
    assert ours("/", other, b"")["Authorization"] == signed
    changed = Headers([("x-amz-a", "1"), ("X-Amz-A", "3"), ("Accept", "*/*")])
    assert ours("/", changed, b"")["Authorization"] != signed

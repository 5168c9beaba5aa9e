from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmproxy.cli.trace.curl import IncompleteRecord, curl_command
from llmproxy.transcripts.transcript import request_bytes
from tests.support.fake_bedrock import KEY_ID, REGION, SECRET, FakeBedrock
from tests.support.provider import Reply, Upstream
from tests.support.records import record, request
from tests.support.waiting import PATIENCE_S

MASK = "*" * 10
BODIES: list[tuple[object, str]] = [
    ({"text": 'it\'s "quoted" $HOME `id` \\n !'}, "json"),
    ({"text": "日本語 🎉 é"}, "json"),
    ("two\nlines\n\ttab 'and' \"quotes\"", "text"),
    ("\x1b[31mred\x9b and \u202e", "text"),
    ("@/etc/passwd", "text"),
    ("/wD+", "base64"),
    ({"text": "it's " + "long 'text' " * 20_000}, "json"),
    ({"text": "END_OF_BODY\nEND_OF_BODY" * 9_000}, "json"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash and curl")
@pytest.mark.parametrize(("body", "form"), BODIES)
def test_the_command_repeats_the_request_byte_for_byte(tmp_path: Path, body: object, form: str) -> None:
    with Upstream(Reply(pieces=[b"{}"])) as upstream:
        headers = {
            "host": upstream.url.removeprefix("http://"),
            "authorization": MASK,
            "x-api-key": MASK,
            "x-odd": "it's $HOME",
            "x-twice": ["a", "b"],
            "x-empty": "",
            "content-length": "5",
            "content-encoding": "gzip",
        }
        output = record(tmp_path, request=request(body, format=form, headers=headers), query=f"key={MASK}&a='b'")
        command = curl_command(output)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "OPENAI_API_KEY": "sk-mine"}
        done = subprocess.run(
            ["bash"], input=command.encode(), env=environment, capture_output=True, check=False, timeout=PATIENCE_S
        )
        assert (done.returncode, done.stderr) == (0, b"")
        came = upstream.only
    sent = request_bytes(output.request)
    assert came.body.removesuffix(b"\n") == sent.removesuffix(b"\n")
    assert came.target == b"/v1/chat/completions?key=sk-mine&a='b'"
    assert came.value("authorization") == "Bearer sk-mine"
    assert came.value("x-api-key") == "sk-mine"
    assert came.value("x-odd") == "it's $HOME"
    assert came.values("x-twice") == ["a", "b"]
    assert came.value("x-empty") == ""
    assert came.value("content-type") is None
    assert "\x1b" not in command and "\x9b" not in command


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash and curl")
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_paths_and_queries_are_repeated_as_they_are(tmp_path: Path, method: str) -> None:
    with Upstream(Reply(length=5 if method == "HEAD" else None)) as upstream:
        host = {"host": upstream.url.removeprefix("http://")}
        output = record(
            tmp_path,
            method=method,
            path="/v1/a/../b/./c",
            query="filter[a]=1&x={1,2}&y=[1-3]",
            request=request(None, format=None, size=0, headers=host),
        )
        done = subprocess.run(
            ["bash"], input=curl_command(output).encode(), capture_output=True, check=False, timeout=PATIENCE_S
        )
        assert (done.returncode, done.stderr) == (0, b"")
        came = upstream.only
    assert (came.method, came.target) == (method, b"/v1/a/../b/./c?filter[a]=1&x={1,2}&y=[1-3]")


def test_it_says_which_variable_holds_the_secret(tmp_path: Path) -> None:
    assert curl_command(record(tmp_path)).startswith("# set OPENAI_API_KEY ")
    assert "ANTHROPIC_API_KEY" in curl_command(record(tmp_path, dialect="messages"))


@pytest.mark.parametrize("changes", [{"truncated": True}, {"body": None, "format": None, "size": 10}])
def test_a_request_that_is_not_whole_cannot_be_repeated(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(IncompleteRecord, match="cannot repeat"):
        curl_command(record(tmp_path, request=request(**changes)))


def test_a_secret_in_the_body_and_missing_headers_are_reported(tmp_path: Path) -> None:
    output = curl_command(record(tmp_path, request=request({"password": MASK}, headers=None)))
    assert "# a secret in the body is masked" in output and "# the trace has no headers" in output
    assert "-H 'content-type: application/json'" in output


def test_a_request_without_a_body_has_none(tmp_path: Path) -> None:
    output = curl_command(record(tmp_path, method="GET", request=request(None, format=None, size=0)))
    assert "--data" not in output and "-X GET" in output


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash and curl")
def test_a_signed_request_is_signed_anew(tmp_path: Path) -> None:
    with Upstream(FakeBedrock().answer) as upstream:
        headers = {
            "host": upstream.url.removeprefix("http://"),
            "authorization": MASK,
            "x-amz-date": "20260101T000000Z",
            "x-amz-security-token": MASK,
            "content-type": "application/json",
            "amz-sdk-request": "attempt=1",
        }
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": []}
        output = record(
            tmp_path, request=request(body, format="json", headers=headers), path="/model/claude%3A0/invoke"
        )
        command = curl_command(output)
        keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "AWS_SESSION_TOKEN": "session", **keys}
        done = subprocess.run(
            ["bash"], input=command.encode(), env=environment, capture_output=True, check=False, timeout=PATIENCE_S
        )
        assert (done.returncode, done.stderr) == (0, b"")
        came = upstream.only
    assert came.value("x-amz-security-token") == "session" and "20260101" not in came.head.decode()
    assert f"AWS4-HMAC-SHA256 Credential={KEY_ID}/" in (came.value("authorization") or "")
    assert came.value("amz-sdk-request") == "attempt=1" and MASK not in command


def test_the_key_of_a_client_is_not_recorded_and_asked_for(tmp_path: Path) -> None:
    client = {"address": "127.0.0.1", "agent": "sdk/1", "name": "ci"}
    command = curl_command(record(tmp_path, request=request({}, format="json", headers={"host": "h"}), client=client))
    assert '-H "x-llmproxy-key: $LLMPROXY_KEY"' in command
    assert command.startswith("# set LLMPROXY_KEY to a key of the client 'ci'\n")

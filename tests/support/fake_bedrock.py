"""A fake Bedrock: refuses what is not signed as botocore signs it, and answers InvokeModel for Claude and for others.

`FakeBedrock.answer` is a script of `Upstream`; the signature is computed again by botocore's own signer from what came.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support import vendors
from tests.support.connection import Received
from tests.support.event_messages import chunk_of, message_of
from tests.support.provider import Call, Pairs, Reply

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-3"
EVENTS: Pairs = (("Content-Type", "application/vnd.amazon.eventstream"),)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), "
    r"Signature=([0-9a-f]{64})"
)
_INVOKE = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream)")


class FakeBedrock:
    """Knows access keys by their ids, and how it is told of sessions: `sessions` are the tokens by key id. `bearer`
    is a key that it takes in place of a signature."""

    def __init__(self, service: str = "bedrock") -> None:
        self.secrets = {KEY_ID: SECRET}
        self.sessions: dict[str, str] = {}
        self.service = service
        self.bearer: str | None = None

    async def answer(self, call: Call) -> None:
        """Script: answer as Bedrock does."""
        await call.give(self.reply_to(call.request))

    def reply_to(self, request: Received) -> Reply:
        fault = self.fault_of(request)
        if fault is not None:
            return refusal(403, "Forbidden", fault, "The request is not signed as it must be")
        if request.path.endswith("/count-tokens"):
            return self._count(json.loads(request.body))
        match = _INVOKE.fullmatch(request.path)
        if match is None:
            return vendors.reply_to(request)
        model, body = unquote(match[1]), json.loads(request.body)
        if "claude" not in model:
            return vendors.plain({"echo": body})
        if {"model", "stream"} & set(body) or "anthropic_version" not in body:
            return refusal(400, "Bad Request", "ValidationException", "extraneous key is not permitted")
        if match[2] == "invoke":
            return vendors.plain(vendors.message(model, bool(body.get("tools"))))
        frames = vendors.message_frames(model, bool(body.get("tools")))
        return Reply(headers=EVENTS, pieces=[chunk(frame) for frame in frames], framing="chunked")

    def _count(self, body: dict[str, Any]) -> Reply:
        """Count what is in the form of InvokeModel, or of Converse."""
        asked = body["input"]
        if "invokeModel" in asked:
            counted = json.loads(base64.b64decode(asked["invokeModel"]["body"]))
            if not {"max_tokens", "messages", "anthropic_version"} <= set(counted) or "model" in counted:
                return refusal(400, "Bad Request", "ValidationException", "Malformed input request")
        return vendors.plain({"inputTokens": vendors.IN})

    def fault_of(self, request: Received) -> str | None:
        """Return the name of the exception for a request that is not signed right; None for a good one."""
        given = request.value("authorization") or ""
        if self.bearer is not None and given == f"Bearer {self.bearer}":
            return None
        match = _AUTHORIZATION.fullmatch(given)
        if match is None:
            return "MissingAuthenticationTokenException"
        key, day, region, service, names, signature = match.groups()
        if (region, service) != (REGION, self.service) or request.value(
            "x-amz-date",
        )[:8] != day:  # type: ignore[index]
            return "InvalidSignatureException"
        if key not in self.secrets or request.value("x-amz-security-token") != self.sessions.get(key):
            return "UnrecognizedClientException"
        signed = {name: value for name in names.split(";") if (value := request.value(name)) is not None}
        again = AWSRequest(
            method=request.method,
            url=f"http://{request.value('host')}{request.target.decode()}",
            headers=signed,
            data=request.body,
        )
        again.context["timestamp"] = request.value("x-amz-date")
        signer = SigV4Auth(Credentials(key, self.secrets[key]), service, region)
        text = signer.string_to_sign(again, signer.canonical_request(again))
        return None if signer.signature(text, again) == signature else "InvalidSignatureException"


def chunk(frame: bytes) -> bytes:
    """Return a server-sent event as a message of InvokeModelWithResponseStream."""
    return chunk_of(frame.partition(b"data: ")[2].strip())


def exception(name: str, message: str, **members: object) -> bytes:
    """Return the message that ends a stream with an exception."""
    return message_of(name, {"message": message, **members})


def refusal(status: int, reason: str, name: str, message: str, *headers: tuple[str, str]) -> Reply:
    """Return an error as Bedrock answers it."""
    pairs = (("Content-Type", "application/json"), ("x-amzn-ErrorType", f"{name}:http://internal/"), *headers)
    return Reply(status=status, reason=reason, headers=pairs, pieces=[json.dumps({"message": message}).encode()])

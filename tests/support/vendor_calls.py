"""Calls of models as the six vendors take them: which dialect a path calls, in which form, and what is wrong with it.

The forms of the clouds become those of the dialects, so that one judge serves all. A call that its vendor would not
know is none. Begin at `read_call`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from tests.support.connection import Received
from tests.support.google_accounts import PROJECT

Json = dict[str, Any]
Frames = Literal["sse", "array", "invoke", "events"]
LOCATION = "europe-west4"
_SCOPE = f"/projects/{PROJECT}/locations/{LOCATION}"
_BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/(?P<verb>converse|converse-stream|invoke|invoke-with-response-stream)")
_GOOGLE = re.compile(
    rf"(?:/v1beta/|/v1/|/v1beta1(?:{_SCOPE})?/publishers/google/|/v1{_SCOPE}/publishers/google/)models/"
    r"(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent)"
)
_RAW_PREDICT = re.compile(
    rf"/v1{_SCOPE}/publishers/anthropic/models/(?P<model>[^/:]+):(?P<verb>rawPredict|streamRawPredict)"
)
_DEPLOYMENT = re.compile(r"/openai/deployments/(?P<model>[^/]+)/chat/completions")
_PLAIN = {
    "/v1/chat/completions": ("openai", "chat"),
    "/v1/responses": ("openai", "responses"),
    "/v1/messages": ("anthropic", "messages"),
    "/openai/v1/chat/completions": ("azure", "chat"),
    "/openai/v1/responses": ("azure", "responses"),
    "/openai/responses": ("azure", "responses"),
    "/anthropic/v1/messages": ("azure", "messages"),
    f"/v1{_SCOPE}/endpoints/openapi/chat/completions": ("vertex", "chat"),
    f"/v1beta1{_SCOPE}/endpoints/openapi/chat/completions": ("vertex", "chat"),
}
_VERSIONS = ("2023-06-01", "2026-10-21")
_CLOUD_VERSIONS = ("bedrock-2023-05-31", "vertex-2023-10-16", "2026-10-21")


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCall:
    """A call of a model. `body` is what the dialect has, with model and stream in it; `version` and `beta` are those of
    messages; `faults` are what is wrong with its form, `frames` how its stream is cut."""

    vendor: str
    dialect: str
    model: str
    stream: bool
    body: Json
    frames: Frames = "sse"
    version: str = ""
    beta: bool = False
    faults: list[str] = field(default_factory=list)


def read_call(request: Received) -> VendorCall | None:
    """Return the call in a request; None for a path that no vendor has."""
    path = request.path
    if path in _PLAIN:
        return _plain(request, *_PLAIN[path])
    for pattern, read in ((_BEDROCK, _bedrock), (_GOOGLE, _google), (_RAW_PREDICT, _vertex), (_DEPLOYMENT, _azure)):
        if match := pattern.fullmatch(path):
            return read(request, unquote(match["model"]), match.groupdict().get("verb") or "")
    return None


def _query(request: Received) -> dict[str, list[str]]:
    return parse_qs(request.target.decode().partition("?")[2], keep_blank_values=True)


def _plain(request: Received, vendor: str, dialect: str) -> VendorCall:
    body, version = json.loads(request.body), request.value("anthropic-version") or ""
    faults = []
    if dialect == "messages" and version not in _VERSIONS:
        faults.append("anthropic-version: header is required")
    if request.path == "/openai/responses":
        faults += _judge_query(request, ["api-version"])
        if "".join(_query(request).get("api-version", ())) < "2025-03-01":
            faults.append("Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later")
    else:
        faults += _judge_query(request, [])
    return VendorCall(
        vendor=vendor,
        dialect=dialect,
        model=str(body.get("model")),
        stream=body.get("stream") is True,
        body=body,
        version=version,
        beta=bool(request.values("anthropic-beta")),
        faults=faults,
    )


def _judge_query(request: Received, wanted: list[str]) -> list[str]:
    found = sorted(_query(request))
    return [] if found in (wanted, ["beta", *wanted]) else [f"query is {found}, not {wanted}"]


def _azure(request: Received, model: str, verb: str) -> VendorCall:
    body = json.loads(request.body)
    faults = _judge_query(request, ["api-version"])
    stream = body.get("stream") is True
    return VendorCall(
        vendor="azure", dialect="chat", model=model, stream=stream, body={**body, "model": model}, faults=faults
    )


def _bedrock(request: Received, model: str, verb: str) -> VendorCall:
    body, stream = json.loads(request.body), verb.endswith("stream")
    faults = _judge_query(request, [])
    if verb.startswith("converse"):
        made = {**body, "model": model, "stream": stream}
        return VendorCall(
            vendor="bedrock", dialect="converse", model=model, stream=stream, body=made, frames="events", faults=faults
        )
    faults += [f"{name}: Extra inputs are not permitted" for name in ("model", "stream") if name in body]
    call = _cloud_messages(request, "bedrock", model, body, stream=stream)
    return VendorCall(**{**_members(call), "frames": "invoke", "faults": [*faults, *call.faults]})


def _members(call: VendorCall) -> Json:
    return {name: getattr(call, name) for name in call.__dataclass_fields__}


def _vertex(request: Received, model: str, verb: str) -> VendorCall:
    body, stream = json.loads(request.body), verb == "streamRawPredict"
    call = _cloud_messages(request, "vertex", model, body, stream=stream)
    faults = _judge_query(request, [])
    if "model" in body:
        faults.append("model: Extra inputs are not permitted")
    if (body.get("stream") is True) is not stream:
        faults.append(f"{verb} with stream {body.get('stream')}")
    return VendorCall(**{**_members(call), "faults": [*faults, *call.faults]})


def _cloud_messages(request: Received, vendor: str, model: str, body: Json, *, stream: bool) -> VendorCall:
    version = str(body.get("anthropic_version"))
    own = {name: value for name, value in body.items() if name not in ("anthropic_version", "anthropic_beta")}
    faults = [] if version in _CLOUD_VERSIONS else [f"anthropic_version: {version}"]
    return VendorCall(
        vendor=vendor,
        dialect="messages",
        model=model,
        stream=stream,
        body={**own, "model": model, "stream": stream},
        version=version if version == _VERSIONS[1] else _VERSIONS[0],
        beta=bool(body.get("anthropic_beta")),
        faults=faults,
    )


def _google(request: Received, model: str, verb: str) -> VendorCall:
    body, stream = json.loads(request.body), verb == "streamGenerateContent"
    query = _query(request)
    return VendorCall(
        vendor="vertex" if "/publishers/" in request.path else "gemini",
        dialect="gemini",
        model=model,
        stream=stream,
        body=body,
        frames="array" if stream and query.get("alt") != ["sse"] else "sse",
        faults=list(_judge_google(query, stream=stream)),
    )


def _judge_google(query: dict[str, list[str]], *, stream: bool) -> Iterator[str]:
    for name in sorted(query):
        if name not in (("alt", "$alt") if stream else ()):
            yield f"Invalid JSON payload received. Unknown name {name!r}: Cannot bind query parameter."

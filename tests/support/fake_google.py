"""A fake Google: the Gemini API for one key and Vertex for one project, each strict about paths and credentials.

`FakeGoogle` is a script of `Upstream`; it gives tokens too, see `google_accounts`. Bodies are judged as the vendors do.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from tests.support import strict_gemini, vendors
from tests.support.connection import Received
from tests.support.google_accounts import PROJECT, TokenServer
from tests.support.provider import Call, Reply

KEY = "AIza-ours"
MODEL = "gemini-3-flash-preview"
LOCATION = "europe-west4"
SCOPE = f"/projects/{PROJECT}/locations/{LOCATION}"
_GEMINI_API = re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>[^/]+):(?P<verb>\w+)")
_VERTEX = re.compile(
    rf"/v1(?:beta1)?(?:{re.escape(SCOPE)})?/publishers/(?P<maker>\w+)/models/(?P<model>[^/]+):(?P<verb>\w+)"
)
_OPENAI = re.compile(rf"/v1(?:beta1)?{re.escape(SCOPE)}/endpoints/openapi/chat/completions|/v1beta/openai/\w+.*")
_CREDENTIALS = ("authorization", "x-goog-api-key", "x-api-key", "api-key")


class FakeGoogle(TokenServer):
    """Answers what is asked as Google wants it, and refuses the rest in Google's words."""

    async def __call__(self, call: Call) -> None:
        request = call.request
        if request.path == "/v1beta/models":
            listed = {"name": f"models/{MODEL}", "displayName": "Gemini", "version": "1", "inputTokenLimit": 1048576}
            await call.give(vendors.plain({"models": [listed]}))
        elif "/models/" in request.path or "/openapi/" in request.path or "/openai/" in request.path:
            await call.give(self._answer(request))
        else:
            await super().__call__(call)

    def _answer(self, request: Received) -> Reply:
        vertex = _VERTEX.fullmatch(request.path)
        match = vertex or _GEMINI_API.fullmatch(request.path)
        openai = _OPENAI.fullmatch(request.path)
        if match is None and openai is None:
            return strict_gemini.refusal(404, "NOT_FOUND", f"no such path: {request.path}")
        sent = {name: value for name in _CREDENTIALS if (value := request.value(name)) is not None}
        if sent not in self._accepted(request.path) or "key=" in request.target.decode():
            return strict_gemini.refusal(401, "UNAUTHENTICATED", f"invalid credentials: {sorted(sent)}")
        if match is None:
            return vendors.reply_to(request)
        body, model, verb = json.loads(request.body), unquote(match["model"]), match["verb"]
        if vertex is not None and vertex["maker"] == "anthropic":
            return _claude(body, model, verb)
        return _gemini(body, model, verb, sse="alt=sse" in request.target.decode())

    def _accepted(self, path: str) -> list[dict[str, str]]:
        if "/projects/" in path:
            return [{"authorization": f"Bearer ya29.{self.given}"}]
        if "/openai/" in path:
            return [{"authorization": f"Bearer {KEY}"}]
        return [{"x-goog-api-key": KEY}]


def _claude(body: dict[str, object], model: str, verb: str) -> Reply:
    counts = model == "count-tokens"
    version = body.get("anthropic_version")
    if ("model" in body) is not counts or version not in ("vertex-2023-10-16", "2026-10-21"):
        return strict_gemini.refusal(400, "INVALID_ARGUMENT", f"wrong members: {sorted(body)}, {version}")
    if counts:
        return vendors.plain({"input_tokens": vendors.IN})
    if (verb == "streamRawPredict") is not (body.get("stream") is True):
        return strict_gemini.refusal(400, "INVALID_ARGUMENT", f"{verb} with stream {body.get('stream')}")
    tools = bool(body.get("tools"))
    if body.get("stream"):
        return vendors.streamed(vendors.message_frames(model, tools))
    return vendors.plain(vendors.message(model, tools))


def _gemini(body: dict[str, object], model: str, verb: str, *, sse: bool) -> Reply:
    if verb == "countTokens":
        return vendors.plain({"totalTokens": vendors.IN})
    if faults := strict_gemini.judge_gemini(body, model):
        return strict_gemini.refusal(400, "INVALID_ARGUMENT", "; ".join(faults))
    chunks = strict_gemini.chunks_of(body, model)
    if verb == "streamGenerateContent":
        return strict_gemini.streamed(chunks, sse=sse)
    return vendors.plain(strict_gemini.joined(chunks))

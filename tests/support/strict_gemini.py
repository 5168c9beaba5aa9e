"""Google's vendor: it judges requests of generateContent as the real one does, and answers those that it takes.

Put `answer` into an `Upstream`. Rules beyond the types: ai.google.dev/gemini-api/docs/function-calling (as many
responses as calls, right behind them), .../thought-signatures (the first call of each step of the current turn has its
signature), .../thinking (a level or a budget, not both). A request that names tools and has no results gets
two parallel calls, the first of them signed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from tests.support.connection import Received
from tests.support.provider import Call, Reply
from tests.support.sdk_types import misfits
from tests.support.vendors import CACHED, IN, JSON, OUT, PIECES, REASONING, SSE, TEXT, TOOL_CALLS

Json = dict[str, Any]
SIGNATURE = base64.b64encode(b"signed by gemini").decode()
FILLER = base64.b64encode(b"skip_thought_signature_validator").decode()
ARRAY = (("Content-Type", "application/json; charset=UTF-8"),)
_PATH = re.compile(r"/v1\w*/models/(?P<model>[^/]+):(?P<verb>\w+)(?:\?(?P<query>.*))?")


async def answer(call: Call) -> None:
    """Script: judge the request, and answer it."""
    await call.give(reply_to(call.request))


def reply_to(request: Received) -> Reply:
    found = _PATH.fullmatch(request.target.decode())
    if found is None:
        return refusal(404, "NOT_FOUND", f"no such path: {request.target.decode()}")
    body, model = json.loads(request.body), unquote(found["model"])
    if found["verb"] == "countTokens":
        return Reply(headers=JSON, pieces=[json.dumps({"totalTokens": IN}).encode()])
    faults = judge_gemini(body, model)
    if faults:
        return refusal(400, "INVALID_ARGUMENT", "; ".join(faults))
    chunks = chunks_of(body, model)
    if found["verb"] == "generateContent":
        return Reply(headers=JSON, pieces=[json.dumps(joined(chunks)).encode()])
    return streamed(chunks, sse="alt=sse" in (found["query"] or "").split("&"))


def streamed(chunks: list[Json], *, sse: bool = True) -> Reply:
    """Return a stream as server-sent events, or as an array that is sent element by element."""
    texts = [json.dumps(chunk, indent=2, ensure_ascii=False).encode() for chunk in chunks]
    if sse:
        return Reply(headers=SSE, pieces=[frame(chunk) for chunk in chunks], framing="chunked")
    pieces = [b"[" + texts[0], *(b"\n,\r\n" + text for text in texts[1:]), b"\n]\n"]
    return Reply(headers=ARRAY, pieces=pieces, framing="chunked")


def frame(chunk: Json) -> bytes:
    """Return a chunk as Google sends it."""
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n"


def refusal(status: int, word: str, message: str, *headers: tuple[str, str], listed: bool = False) -> Reply:
    """Return an error; in the list of one element in which streams without `alt=sse` have it."""
    error: Any = {"error": {"code": status, "message": message, "status": word}}
    body = json.dumps([error] if listed else error).encode()
    return Reply(status=status, reason=word, headers=JSON + headers, pieces=[body])


def chunk(model: str, *parts: Json, **more: Any) -> Json:
    """Return one chunk of an answer."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    finish = {"finishReason": more.pop("finish")} if "finish" in more else {}
    return {"candidates": [candidate | finish], **more, "modelVersion": model, "responseId": "gemini-fake"}


def chunks_of(body: Json, model: str) -> list[Json]:
    """Return the answer: thoughts where they are asked for, then the text, or the calls of two tools."""
    config = body.get("generationConfig", {})
    thoughts = config.get("thinkingConfig", {}).get("includeThoughts")
    begun = [chunk(model, {"text": "Let me look.", "thought": True})] if thoughts else []
    usage = {
        "promptTokenCount": IN,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUT - REASONING,
        "thoughtsTokenCount": REASONING,
        "totalTokenCount": IN + OUT,
    }
    if body.get("tools") and not any("functionResponse" in part for part in parts_of(body["contents"][-1])):
        calls: list[Json] = [
            {"functionCall": {"id": call, "name": name, "args": json.loads(arguments)}}
            for call, name, arguments in TOOL_CALLS
        ]
        calls[0]["thoughtSignature"] = SIGNATURE
        said = [chunk(model, call) for call in calls]
    else:
        said = [chunk(model, {"text": piece}) for piece in PIECES]
    return [*begun, *said, chunk(model, {"text": ""}, finish="STOP", usageMetadata=usage)]


def joined(chunks: list[Json]) -> Json:
    """Return the same as a whole answer."""
    parts = [part for each in chunks for part in each["candidates"][0]["content"]["parts"] if part != {"text": ""}]
    texts = [part for part in parts if part.keys() == {"text"}]
    others = [part for part in parts if part not in texts]
    last = json.loads(json.dumps(chunks[-1]))
    last["candidates"][0]["content"]["parts"] = [*others, *([{"text": TEXT}] if texts else [])]
    result: Json = last
    return result


def parts_of(content: Json) -> list[Json]:
    """Return the parts of a content."""
    parts: list[Json] = content.get("parts", [])
    return parts


def judge_gemini(body: Json, model: str, issued: Collection[str] = (SIGNATURE,)) -> list[str]:
    """Return what the vendor refuses in a request. `issued` are the signatures of its answers."""
    body = camel(body)
    faults = misfits("gemini", body)
    contents = body.get("contents") or []
    if not contents:
        faults.append("contents is not specified")
    for index, content in enumerate(contents):
        if content.get("role") not in (None, "user", "model"):
            faults.append(f"contents[{index}]: please use a valid role: user, model")
        if not parts_of(content):
            faults.append(f"contents[{index}].parts must include at least one parts field")
        faults += [f"contents[{index}]: empty text" for part in parts_of(content) if part.get("text") == ""]
    config = body.get("generationConfig", {}).get("thinkingConfig", {})
    if "thinkingBudget" in config and "thinkingLevel" in config:
        faults.append("You can only set only one of thinking budget and thinking level")
    if "thinkingLevel" in config and "gemini-3" not in model:
        faults.append("Thinking level is not supported for this model")
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("allowedFunctionNames") and calling.get("mode") not in ("ANY", "VALIDATED"):
        faults.append("allowed_function_names should be set only when the mode is ANY or VALIDATED")
    return faults + _judge_calls(contents) + (_judge_signatures(contents, issued) if "gemini-3" in model else [])


def camel(value: Any) -> Any:
    """Return a value with the names of the types: the SDK writes many as Python does."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {name: re.sub("_([a-z])", lambda match: match[1].upper(), name) for name in value}
    return {
        new: value[name] if new in ("args", "response") or "chema" in new else camel(value[name])
        for name, new in names.items()
    }


def _judge_calls(contents: list[Json]) -> list[str]:
    faults = []
    for index, content in enumerate(contents):
        calls = [part["functionCall"] for part in parts_of(content) if "functionCall" in part]
        following = contents[index + 1] if index + 1 < len(contents) else {}
        responses = [part["functionResponse"] for part in parts_of(following) if "functionResponse" in part]
        if calls and len(calls) != len(responses):
            faults.append("the number of function response parts must equal that of the function call parts")
        named = all("id" in each for each in responses)  # the SDK itself sends none
        told = [(each.get("id") if named else None, each["name"]) for each in (*calls, *responses)]
        if sorted(map(str, told[: len(calls)])) != sorted(map(str, told[len(calls) :])):
            faults.append(f"contents[{index}]: responses of other functions than were called")
        if calls and (content.get("role") != "model" or index == 0):
            faults.append("function call turn comes immediately after a user turn or after a function response turn")
    return faults


def standard_base64(text: str | None) -> str:
    """Return base64 in its usual alphabet: the SDK writes that of URLs."""
    return (text or "").replace("-", "+").replace("_", "/")


def _judge_signatures(contents: list[Json], issued: Collection[str]) -> list[str]:
    """Judge the signatures of the current turn, which began with the last words of the user."""
    faults = []
    for index in range(len(contents) - 1, -1, -1):
        parts = parts_of(contents[index])
        if contents[index].get("role") != "model" and not any("functionResponse" in part for part in parts):
            break
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and standard_base64(first.get("thoughtSignature")) not in (*issued, FILLER):
            faults.append("Function call is missing a thought_signature in functionCall parts")
    return faults

"""OpenAI, Anthropic, the Gemini API, Vertex, Bedrock and Azure behind one address, each as strict as the real one.

A request must have the path, the form, the credential and the body of its vendor; what is wrong is kept in `faults` and
refused in the vendor's words. All others get the `SpokenTurn` of the script, or what `trouble` says goes wrong. Nothing
here is written by the code under test. Begin at `SixVendors`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.support import strict_gemini, vendors
from tests.support.connection import Received
from tests.support.event_messages import chunk_of, message_of
from tests.support.fake_bedrock import FakeBedrock
from tests.support.gemini_turns import gemini, gemini_chunks
from tests.support.google_accounts import TokenServer
from tests.support.provider import Call, Reply
from tests.support.scripted_turns import SpokenTurn
from tests.support.strict_chat import judge_chat
from tests.support.strict_converse import judge_converse
from tests.support.strict_gemini import FILLER, camel, parts_of, standard_base64
from tests.support.strict_messages import judge_messages
from tests.support.strict_responses import judge_responses
from tests.support.strict_vendor import Question, StrictVendor
from tests.support.vendor_calls import VendorCall, read_call

Json = dict[str, Any]
Trouble = Literal["", "limit", "error", "cut", "torn"]
WORDS = "Tokens of this minute are used up: 120 of 100 (łódź)"
LATE_WORDS = "The model stopped answering in the middle"
KEYS = {"openai": "sk-openai", "anthropic": "sk-ant-up", "gemini": "AIza-ours", "azure": "az-key"}
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


@dataclass(slots=True)
class SixVendors(StrictVendor):
    """The default script of an `Upstream`. `trouble`: `limit` is a 429 with WORDS, `error` an error in the middle of a
    stream with LATE_WORDS, `cut` the end of its connection between two frames, `torn` within one. With `cut_short` the
    limit of tokens ends each answer."""

    trouble: Trouble = ""
    cut_short: bool = False
    calls: list[VendorCall] = field(default_factory=list)
    last_body: str = ""
    tokens: TokenServer = field(default_factory=TokenServer)
    _signatures: list[tuple[str, str | None]] = field(default_factory=list)
    _reasoned: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        StrictVendor.forget(self)
        self.calls.clear()
        self._reasoned.clear()
        self.trouble, self.cut_short = "", False

    async def __call__(self, call: Call) -> None:
        request = call.request
        made = read_call(request)
        if made is None:
            if request.path.endswith("/token"):
                await self.tokens(call)
                return
            self.questions.append(Question(dialect="none", body={}, faults=[f"no such path: {request.target!r}"]))
            await call.give(Reply(status=404, reason="Not Found", pieces=[b'{"error":{"message":"no such path"}}']))
            return
        question = self.judge_call(made, request)
        await call.give(self._refused(made, question.faults[0]) if question.faults else self._answer(made, question))

    def _answer(self, made: VendorCall, question: Question) -> Reply:
        if self.trouble == "limit":
            return _limited(made)
        answer = self.play(question)
        assert isinstance(answer, SpokenTurn)
        answer = replace(answer, stop="length") if self.cut_short else answer
        whole = self.render_call(made, question, answer)
        return _troubled(made, whole, self.trouble) if self.trouble else whole

    # -- what comes in

    def judge_call(self, made: VendorCall, request: Received) -> Question:
        """Return the request with its faults, and keep it."""
        body = camel(made.body) if made.dialect == "gemini" else made.body
        faults = [*self._judge_credential(made, request), *made.faults, *self._judge_body(made, body)]
        question = Question(dialect=made.dialect, body=body, faults=faults)
        self.calls.append(made)
        self.last_body = request.body.decode()
        self.questions.append(question)
        return question

    def _judge_credential(self, made: VendorCall, request: Received) -> list[str]:
        sent = {name: value for name in _CREDENTIALS if (value := request.value(name)) is not None}
        if made.vendor == "bedrock":
            fault = FakeBedrock().fault_of(request)
            return [] if fault is None and sent.keys() == {"authorization"} else [f"{fault}: {sorted(sent)}"]
        key = KEYS.get(made.vendor, "")
        wanted = {
            "openai": {"authorization": f"Bearer {key}"},
            "anthropic": {"x-api-key": key},
            "gemini": {"x-goog-api-key": key},
            "azure": {"api-key": key} | ({"x-api-key": key} if made.dialect == "messages" else {}),
            "vertex": {"authorization": f"Bearer ya29.{self.tokens.given}"},
        }[made.vendor]
        if made.vendor == "vertex" and "/projects/" not in request.path:
            wanted = {"x-goog-api-key": KEYS["gemini"]}
        return [] if sent == wanted else [f"invalid credentials: {sent}, not {wanted}"]

    def _judge_body(self, made: VendorCall, body: Json) -> list[str]:
        if made.dialect == "chat":
            return list(judge_chat(body, compatible=made.vendor == "vertex"))
        if made.dialect == "responses":
            return [*judge_responses(body, issued=self._reasoning), *self._judge_reasoned(body)]
        if made.dialect == "converse":
            own = {name: value for name, value in body.items() if name not in ("model", "stream")}
            return list(judge_converse(own, made.model, issued=self._blocks))
        if made.dialect == "gemini":
            issued = [signature for _, signature in self._signatures if signature]
            body = body | {"systemInstruction": {**body["systemInstruction"]}} if "systemInstruction" in body else body
            body.get("systemInstruction", {}).pop("role", None)  # the SDK's, which nobody reads
            return [*strict_gemini.judge_gemini(body, made.model, issued), *self._judge_signed(body)]
        return list(judge_messages(body, api_version=made.version, beta=made.beta, issued=self._blocks))

    def _judge_reasoned(self, body: Json) -> list[str]:
        """Judge that reasoning stands in front of the calls that it led to."""
        seen, faults = set(), []
        for item in body["input"] if isinstance(body["input"], list) else ():
            seen.add(item.get("encrypted_content"))
            wanted = self._reasoned.get(str(item.get("call_id"))) if item.get("type") == "function_call" else None
            if wanted not in seen | {None}:
                faults.append(
                    f"Item '{item.get('id')}' of type 'function_call' was provided without its required 'reasoning' "
                    "item."
                )
        return faults

    def _judge_signed(self, body: Json) -> list[str]:
        """Judge that each call of ours has the signature that it came with, and no other has one of ours."""
        faults = []
        known = dict(self._signatures)
        parts = [part for content in body["contents"] for part in parts_of(content) if "functionCall" in part]
        for part in parts:
            signature = standard_base64(part.get("thoughtSignature")) or None
            mark = _call_mark(part["functionCall"])
            if (mark in known and signature != known[mark]) or (mark not in known and signature not in (None, FILLER)):
                faults.append(f"Invalid thought signature of {part['functionCall']['name']}: {signature}")
        return faults

    # -- what goes out

    def render_call(self, made: VendorCall, question: Question, turn: SpokenTurn) -> Reply:
        """Return the turn as the answer to a call, in its form."""
        if made.dialect == "gemini":
            return self._gemini(made, question, turn)
        if made.dialect == "chat":
            turn = replace(turn, thinking="")  # nobody shows it here
        reply = self.render(question, turn)
        if made.dialect == "chat" and made.stream:
            reply = replace(reply, pieces=list(_dressed(made.vendor, reply)))
        if made.dialect == "responses" and (signature := _signature_in(reply)):
            self._reasoned.update({call.id: signature for call in turn.calls})
        if made.frames == "invoke" and made.stream:
            data = [piece.partition(b"data: ")[2].strip() for piece in reply.pieces if isinstance(piece, bytes)]
            return Reply(headers=vendors.EVENTS, pieces=[chunk_of(each) for each in data], framing="chunked")
        return reply

    def _gemini(self, made: VendorCall, question: Question, turn: SpokenTurn) -> Reply:
        config = question.body.get("generationConfig", {}).get("thinkingConfig", {})
        shown, ids = config.get("includeThoughts") is True, made.vendor == "gemini"
        if turn.thinking and config.get("thinkingBudget") != 0:
            mark = hashlib.sha256(f"{turn.thinking}{len(self._signatures)}".encode()).digest() * 2
            turn = replace(turn, signature=base64.b64encode(mark).decode())
        whole = gemini(made.model, turn, shown=shown, ids=ids)
        for part in whole["candidates"][0]["content"]["parts"]:
            if "functionCall" in part:
                self._signatures.append((_call_mark(part["functionCall"]), part.get("thoughtSignature")))
        if made.stream:
            chunks = gemini_chunks(made.model, turn, shown=shown, ids=ids)
            return strict_gemini.streamed(chunks, sse=made.frames == "sse")
        return vendors.plain(whole)

    def _refused(self, made: VendorCall, message: str) -> Reply:
        return _failure(made, 400, message)


def _dressed(vendor: str, reply: Reply) -> Iterator[bytes]:
    """Yield the chunks of chat as OpenAI and Azure send them: with members that say nothing, and filters."""
    filters: Json = {"hate": {"filtered": False, "severity": "safe"}}
    for number, piece in enumerate(piece for piece in reply.pieces if isinstance(piece, bytes)):
        if b"[DONE]" in piece:
            yield piece
            continue
        value = json.loads(piece.removeprefix(b"data: "))
        if number == 0 and vendor == "azure":
            judged = {"prompt_index": 0, "content_filter_results": filters}
            yield vendors.data_frame({**value, "choices": [], "id": "", "model": "", "prompt_filter_results": [judged]})
        for choice in value["choices"] if vendor == "azure" else ():
            choice |= {"content_filter_results": filters, "logprobs": None}
        yield vendors.data_frame({"service_tier": "default", "usage": None, "obfuscation": "aB3", **value})


def _call_mark(call: Json) -> str:
    """Return what tells one call from another: Vertex gives them no ids."""
    return json.dumps([call["name"], call.get("args")], sort_keys=True)


def _signature_in(reply: Reply) -> str | None:
    text = b"".join(piece for piece in reply.pieces if isinstance(piece, bytes)).decode()
    match = re.search(r'"encrypted_content": ?"([^"]+)"', text)
    return match[1] if match else None


_NAMES = {400: ("invalid_request_error", "INVALID_ARGUMENT", "ValidationException")} | {
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"),
    503: ("overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"),
}


def _failure(made: VendorCall, status: int, message: str, *headers: tuple[str, str], **more: Any) -> Reply:
    """Return an error in the shape of the vendor, who has one for all its dialects."""
    kind, word, exception = _NAMES[status]
    value: Any = {"error": {"message": message, "type": kind, "param": None, "code": None} | more}
    if made.vendor == "azure":
        value = {"error": {"code": str(status), "message": message}}
    elif made.vendor == "anthropic":
        value = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011Csix"}
    elif made.vendor in ("gemini", "vertex"):
        value = {"error": {"code": status, "message": message, "status": word} | more}
        value = [value] if made.frames == "array" else value
    elif made.vendor == "bedrock":
        value, headers = {"message": message}, (*headers, ("x-amzn-ErrorType", f"{exception}:http://internal/"))
    return Reply(status=status, reason=kind, headers=vendors.JSON + headers, pieces=[json.dumps(value).encode()])


def _limited(made: VendorCall) -> Reply:
    """Return a 429. Google says when to try again in the body, the others in a header."""
    if made.vendor in ("gemini", "vertex"):
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        quota = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "PerMinute"}]}
        return _failure(made, 429, WORDS, details=[quota, retry])
    named = {"type": "tokens", "code": "rate_limit_exceeded"} if made.vendor == "openai" else {}
    return _failure(made, 429, WORDS, ("Retry-After", "7"), ("x-ratelimit-remaining-requests", "0"), **named)


def _troubled(made: VendorCall, whole: Reply, trouble: Trouble) -> Reply:
    """Return the stream until its middle, and what goes wrong there."""
    pieces = [piece for piece in whole.pieces if isinstance(piece, bytes)]
    begun = pieces[: len(pieces) // 2 + 1]
    if trouble == "error":
        return replace(whole, pieces=[*begun, _late_error(made)])
    return replace(whole, pieces=begun if trouble == "cut" else [*begun[:-1], begun[-1][:-3]], end="cut")


def _late_error(made: VendorCall) -> bytes:
    if made.frames in ("events", "invoke"):
        more = {"originalStatusCode": 503, "originalMessage": LATE_WORDS}
        return message_of("modelStreamErrorException", {"message": LATE_WORDS, **more})
    if made.dialect == "responses" and made.vendor == "azure":
        failed = vendors.response(made.model, status="failed") | {
            "error": {"code": "server_error", "message": LATE_WORDS}
        }
        return vendors.event_frame({"type": "response.failed", "response": failed, "sequence_number": 9})
    if made.dialect == "responses":
        named: dict[str, object] = {"type": "error", "code": "server_error", "message": LATE_WORDS, "param": None}
        return vendors.event_frame(named | {"sequence_number": 9})
    if made.dialect == "messages":
        return vendors.event_frame({"type": "error", "error": {"type": "overloaded_error", "message": LATE_WORDS}})
    if made.dialect == "gemini":
        error = {"error": {"code": 503, "message": LATE_WORDS, "status": "UNAVAILABLE"}}
        return strict_gemini.frame(error) if made.frames == "sse" else b",\r\n" + json.dumps(error).encode() + b"]"
    return vendors.data_frame({"error": {"message": LATE_WORDS, "type": "server_error", "code": None}})

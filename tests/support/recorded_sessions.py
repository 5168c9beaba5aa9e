"""Replay the recorded conversations below `tests/golden/sessions`.

A file holds one situation: a `title`, its public `sources`, the `clients` with their headers and addresses, `names` for
sessions that must be called so, and `recordings`, each a list of requests in order. A request has the label of the
session that it belongs to, and the answer that the provider gives: a text, or what stands in `ScriptedAnswer`.
Begin reading at `RECORDINGS`.
"""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Reply, Script
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parent.parent / "golden" / "sessions"
_CREDENTIALS = ("authorization", "x-api-key")


class ScriptedAnswer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The answer of the provider: a `text`, or the vendor's own `message` (chat), `content` (messages) or `output`
    (responses); an error by its `status`; or a whole `body`."""

    id: str | None = None
    status: int = 200
    text: str = ""
    message: dict[str, Any] | None = None
    content: list[dict[str, Any]] | None = None
    output: list[dict[str, Any]] | None = None
    body: dict[str, Any] | None = None


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One request; `headers` are added to those of its client."""

    session: str
    client: str
    path: str
    headers: dict[str, str] = {}
    body: dict[str, Any]
    answer: str | ScriptedAnswer


class Client(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One client, with the headers and address that identify it."""

    headers: dict[str, str] = {}
    address: str = "127.0.0.1"


class Situation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    title: str
    sources: list[str]
    clients: dict[str, Client]
    names: dict[str, str] = {}
    recordings: dict[str, list[Request]]


class Recording(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One conversation, or several at once, of one situation."""

    name: str
    title: str
    sources: list[str]
    clients: dict[str, Client]
    names: dict[str, str]
    requests: list[Request]
    _given_ids: dict[str, str] = {}

    def speak(self, program: Program, number: int) -> tuple[int, str | None]:
        """Send the request `number`; the status of its answer and the session that it names."""
        request = self.requests[number]
        client = self.clients[request.client]
        headers = {name: self._own(name, value) for name, value in (client.headers | request.headers).items()}
        headers = {"User-Agent": self.name, "Content-Type": "application/json"} | headers
        connection = http.client.HTTPConnection(
            *program.address, timeout=PATIENCE_S, source_address=(client.address, 0)
        )
        try:
            connection.request("POST", request.path, json.dumps(self._with_given_ids(request.body)), headers)
            answer = connection.getresponse()
            self._note_id(request.answer, answer.read())
            return answer.status, answer.getheader("x-llmproxy-session")
        finally:
            connection.close()

    def _note_id(self, answer: str | ScriptedAnswer, body: bytes) -> None:
        """Remember the id that the proxy gave to a translated answer: a recording can only name the provider's."""
        found = re.search(rb'"id":"(resp_[0-9a-f]{48})"', body)
        if found and not isinstance(answer, str) and answer.id:
            self._given_ids[f"resp_{answer.id.removeprefix('msg_')}"] = found[1].decode()

    def _with_given_ids(self, body: dict[str, Any]) -> dict[str, Any]:
        previous = body.get("previous_response_id")
        return body | {"previous_response_id": self._given_ids[previous]} if previous in self._given_ids else body

    def script(self, number: int) -> Script:
        """Return the provider's script for the request `number`, in its dialect and form."""
        value = self.requests[number].answer
        answer = ScriptedAnswer(text=value) if isinstance(value, str) else value

        async def reply(call: Call) -> None:
            await call.give(_reply(call, answer, f"{self.name}-{number}"))

        return reply

    def _own(self, name: str, value: str) -> str:
        """Return a header's value that no client of another recording sends: all speak to one program."""
        if name.lower() == "user-agent":
            return f"{value} ({self.name})"
        return f"{value}-{self.name}" if name.lower() in _CREDENTIALS else value


def _read(path: Path) -> list[Recording]:
    situation = msgspec.json.decode(path.read_bytes(), type=Situation)
    return [
        Recording(
            name=f"{path.stem}-{which}",
            title=situation.title,
            sources=situation.sources,
            clients=situation.clients,
            names=situation.names,
            requests=requests,
        )
        for which, requests in situation.recordings.items()
    ]


RECORDINGS = [recording for path in sorted(ROOT.glob("*.json")) for recording in _read(path)]


def _reply(call: Call, answer: ScriptedAnswer, identity: str) -> Reply:
    if answer.status != 200:
        return vendors.failure(answer.status, "Failed")
    if answer.body is not None:
        return vendors.plain(answer.body)
    request = json.loads(call.request.body)
    form = _FORMS[call.request.path.rpartition("/")[2]]
    whole, frames = form(answer, answer.id or identity, request["model"])
    return vendors.streamed(frames) if request.get("stream") is True else vendors.plain(whole)


def _chat(answer: ScriptedAnswer, identity: str, model: str) -> tuple[dict[str, Any], list[bytes]]:
    message = answer.message or {"role": "assistant", "content": answer.text}
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    about = {"id": identity, "created": 1700000000, "model": model}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    whole = {**about, "object": "chat.completion", "choices": [choice], "usage": vendors.chat_usage()}
    calls = [{"index": index, **each} for index, each in enumerate(message.get("tool_calls") or ())]
    delta = message | ({"tool_calls": calls} if calls else {})
    choices = [
        {"index": 0, "delta": delta, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": finish},
    ]
    chunks = [{**about, "object": "chat.completion.chunk", "choices": [each]} for each in choices]
    return whole, [*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks), b"data: [DONE]\n\n"]


def _messages(answer: ScriptedAnswer, identity: str, model: str) -> tuple[dict[str, Any], list[bytes]]:
    content = answer.content or [{"type": "text", "text": answer.text}]
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    about = {"id": identity, "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    usage = vendors.message_usage()
    whole = {**about, "content": content, "stop_reason": stop, "usage": usage}
    begun: dict[str, Any] = {**about, "content": [], "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(content):
        opened, deltas = _block(block)
        events.append({"type": "content_block_start", "index": index, "content_block": opened})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}})
    events.append({"type": "message_stop"})
    return whole, _events(events)


def _block(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as a stream opens it, and what it then adds."""
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "tool_use":
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        case _:
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [thought, signed]


def _responses(answer: ScriptedAnswer, identity: str, model: str) -> tuple[dict[str, Any], list[bytes]]:
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    text = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    output = answer.output or [text]
    whole = vendors.response(model) | {"id": identity, "output": output}
    begun: dict[str, Any] = whole | {"status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(output):
        events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return whole, _events([event | {"sequence_number": number} for number, event in enumerate(events)])


def _events(events: list[dict[str, Any]]) -> list[bytes]:
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


_FORMS = {"completions": _chat, "messages": _messages, "responses": _responses}

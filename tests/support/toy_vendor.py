"""The vendor of the toy dialect: refuses every request that is not exactly in it.

It answers with the texts, tool calls and tokens of the other vendors (`vendors.py`).
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.support import vendors
from tests.support.connection import Received
from tests.support.provider import Call, Pairs, Reply
from tests.support.toy_dialect import ToyBody, line

_PATH = re.compile(r"/v1/toy/([^/]+):(run|stream)")
LINES: Pairs = (("Content-Type", "application/jsonl"),)


async def answer(call: Call) -> None:
    """Script: answer paths of the toy, all others as their vendors do."""
    reply = toy_reply(call.request) if "/toy/" in call.request.path else vendors.reply_to(call.request)
    await call.give(reply)


def toy_reply(request: Received) -> Reply:
    """Answer one request of a toy client."""
    found = _PATH.fullmatch(request.path)
    try:
        body = msgspec.json.decode(request.body, type=ToyBody)
    except msgspec.ValidationError as error:
        return refusal(400, str(error))
    if found is None:
        return refusal(404, f"no such path: {request.path}")
    model, verb = unquote(found[1]), found[2]
    calls = bool(body.gadgets) and body.talk[-1].by != "gadget"
    if verb == "stream":
        return Reply(headers=LINES, pieces=frames(model, calls), framing="chunked")
    return vendors.plain(whole(model, calls))


def refusal(status: int, note: str) -> Reply:
    """Answer with an error as a toy words it."""
    return Reply(status=status, headers=vendors.JSON, pieces=[json.dumps({"oops": {"note": note}}).encode()])


def whole(model: str, calls: bool) -> dict[str, Any]:
    """Return a whole answer: the text, or two tool calls."""
    uses = [{"use": {"ref": ref, "fn": fn, "with": json.loads(text)}} for ref, fn, text in vendors.TOOL_CALLS]
    return {
        "key": "toy-1",
        "engine": model,
        "said": uses if calls else [{"text": vendors.TEXT}],
        "why": "use" if calls else "done",
        "cost": {"read": vendors.IN, "wrote": vendors.OUT},
    }


def frames(model: str, calls: bool) -> list[bytes]:
    """Return the lines of a stream with the same."""
    parts: list[Any] = [{"begin": {"key": "toy-1", "engine": model}}]
    if calls:
        for number, (ref, fn, text) in enumerate(vendors.TOOL_CALLS):
            halves = [{"more": half, "of": number} for half in (text[: len(text) // 2], text[len(text) // 2 :])]
            parts += [{"open": {"ref": ref, "fn": fn}}, *halves, {"shut": number}]
    else:
        parts += [{"open": "text"}, *({"more": piece, "of": 0} for piece in vendors.PIECES), {"shut": 0}]
    cost = {"read": vendors.IN, "wrote": vendors.OUT}
    parts.append({"end": {"why": "use" if calls else "done", "cost": cost}})
    return [line(part) for part in parts]

"""A vendor that judges requests as the real ones do, and plays a script for those that it takes.

Put a `StrictVendor` into an `Upstream` (`provider.py`). It answers a request that the vendor of its path would refuse
by that vendor's 400, in its shape, and keeps the reason in `faults`. All others it hands to its script, which returns
a `SpokenTurn`, or another script or reply for what goes wrong on a server. Judges: `strict_chat`, `strict_responses`,
`strict_messages`; rules of models: `strict_models`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support import scripted_turns, vendors
from tests.support.connection import Received
from tests.support.provider import Call, Reply, Script
from tests.support.scripted_turns import SpokenTurn
from tests.support.strict_chat import judge_chat
from tests.support.strict_converse import called_model, judge_converse
from tests.support.strict_messages import blocks_of, judge_messages
from tests.support.strict_models import claude_of, openai_of
from tests.support.strict_responses import judge_responses

Json = dict[str, Any]
_DIALECTS = {"/chat/completions": "chat", "/responses": "responses", "/messages": "messages"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that was judged: `answered` are the ids of the calls with a result, `tools` the names of the tools."""

    dialect: str
    body: Json
    faults: list[str]

    @property
    def answered(self) -> list[str]:
        return [identity for identity, _ in self.results]

    @property
    def results(self) -> list[tuple[str, str]]:
        """Return the ids of the answered calls, each with its result as JSON."""
        if self.dialect == "chat":
            said = [each for each in self.body["messages"] if each.get("role") == "tool"]
            return [(each["tool_call_id"], json.dumps(each["content"])) for each in said]
        if self.dialect == "converse":
            inner = [block for message in self.body["messages"] for block in message["content"]]
            parts = [block["toolResult"] for block in inner if "toolResult" in block]
            return [(part["toolUseId"], json.dumps(part["content"])) for part in parts]
        if self.dialect == "gemini":
            parts = [part for content in self.body["contents"] for part in content.get("parts", ())]
            given = [part["functionResponse"] for part in parts if "functionResponse" in part]
            return [(each.get("id") or each["name"], json.dumps(each)) for each in given]
        if self.dialect == "responses":
            items = self.body["input"] if isinstance(self.body["input"], list) else []
            said = [each for each in items if str(each.get("type")).endswith("_output")]
            return [(each["call_id"], json.dumps(each)) for each in said]
        inner = [block for message in self.body["messages"] for block in blocks_of(message)]
        results = [block for block in inner if block.get("type") == "tool_result"]
        return [(block["tool_use_id"], json.dumps(block.get("content"))) for block in results]

    @property
    def declared(self) -> list[Json]:
        """Return the tools, those of namespaces and those that came later in the input among them."""
        if self.dialect == "converse":
            offered = self.body.get("toolConfig", {}).get("tools", ())
            return [tool["toolSpec"] for tool in offered if "toolSpec" in tool]
        if self.dialect == "gemini":
            return [each for tool in self.body.get("tools", ()) for each in tool.get("functionDeclarations", ())]
        items = self.body.get("input")
        more = (
            [tool for item in items if item.get("tools") for tool in item["tools"]] if isinstance(items, list) else []
        )
        tools = [*(self.body.get("tools") or ()), *more]
        return [*tools, *(inner for tool in tools for inner in tool.get("tools") or ())]

    @property
    def tools(self) -> list[str]:
        names = [tool.get("name") or (tool.get(str(tool.get("type"))) or {}).get("name") for tool in self.declared]
        return [str(name) for name in names if name]

    @property
    def thinks(self) -> bool:
        """Return whether the model would think. A compatible service shows its thinking unasked."""
        model = str(self.body.get("model"))
        if self.dialect in ("messages", "converse"):
            claude = claude_of(model)
            fields = self.body if self.dialect == "messages" else self.body.get("additionalModelRequestFields", {})
            kind = (fields.get("thinking") or {}).get("type")
            return kind in ("enabled", "adaptive", "between_tools") or bool(claude and claude.always_thinks)
        if self.dialect == "responses":
            rules = openai_of(model)
            effort = (self.body.get("reasoning") or {}).get("effort")
            return (effort not in (None, "none")) or bool(rules and rules.always_reasons)
        return True


Play = Callable[[Question], SpokenTurn | Script | Reply]


@dataclass(slots=True)
class StrictVendor:
    """The default script of an `Upstream`. `compatible` makes it judge chat as a compatible service, not as OpenAI,
    `judge_service` as another judge does."""

    play: Play
    compatible: bool = True
    judge_service: Callable[[Json], Iterator[str]] | None = None
    questions: list[Question] = field(default_factory=list)
    _blocks: dict[str, list[Json]] = field(default_factory=dict)
    _reasoning: dict[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """Return what was wrong with the requests so far, each with its dialect."""
        return [f"{question.dialect}: {fault}" for question in self.questions for fault in question.faults]

    def forget(self) -> None:
        """Forget the requests; what was issued stays valid."""
        self.questions.clear()

    async def __call__(self, call: Call) -> None:
        dialect = next((name for end, name in _DIALECTS.items() if call.request.path.endswith(end)), None)
        dialect = "converse" if called_model(call.request.path) else dialect
        if dialect is None or call.request.method != "POST":
            await call.give(vendors.reply_to(call.request))
            return
        question = self.judge(dialect, call.request)
        if question.faults:
            await call.give(refusal(dialect, question.faults[0]))
            return
        answer = self.play(question)
        if isinstance(answer, SpokenTurn):
            answer = self.render(question, answer)
        await (call.give(answer) if isinstance(answer, Reply) else answer(call))

    def judge(self, dialect: str, request: Received) -> Question:
        """Return the request with its faults, and keep it."""
        body = json.loads(request.body)
        if dialect == "chat":
            own = self.judge_service
            faults = judge_chat(body, compatible=self.compatible) if own is None else own(body)
        elif dialect == "responses":
            faults = judge_responses(body, issued=self._reasoning)
        elif (called := called_model(request.path)) is not None:
            model, stream = called
            faults = judge_converse(body, model, issued=self._blocks)
            body = {**body, "model": model, "stream": stream}
        else:
            version, beta = request.value("anthropic-version") or "", bool(request.values("anthropic-beta"))
            faults = judge_messages(body, api_version=version, beta=beta, issued=self._blocks)
        question = Question(dialect=dialect, body=body, faults=list(faults))
        self.questions.append(question)
        return question

    def render(self, question: Question, turn: SpokenTurn) -> Reply:
        """Return the turn as an answer to the question, signed where the model thinks."""
        dialect, body = question.dialect, question.body
        turn = _signed(turn) if question.thinks and turn.thinking else replace(turn, thinking="", signature="")
        if dialect in ("messages", "converse"):
            if (body.get("thinking") or {}).get("display") == "omitted":
                turn = replace(turn, thinking="")
            names = [*(call.id for call in turn.calls), turn.signature]
            self._blocks.update(dict.fromkeys(names, scripted_turns.blocks(turn)))
        elif dialect == "responses" and turn.signature:
            self._reasoning[scripted_turns.reasoning_id(turn)] = turn.signature
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return scripted_turns.render(dialect, body["model"], turn, stream=body.get("stream") is True, usage=usage)


def _signed(turn: SpokenTurn) -> SpokenTurn:
    mark = hashlib.sha256(f"{turn.thinking} {[call.id for call in turn.calls]}".encode()).hexdigest()
    return replace(turn, signature=f"EqQBCkgIChABGAIiQ+{mark}")


def refusal(dialect: str, message: str) -> Reply:
    """Return the vendor's 400."""
    return failure(dialect, 400, "Bad Request", "invalid_request_error", message)


def failure(
    dialect: str,
    status: int,
    reason: str,
    kind: str,
    message: str,
    *headers: tuple[str, str],
    code: str | None = None,
) -> Reply:
    """Return an error in the shape of the vendor of `dialect`; Anthropic's have no code."""
    body: Json = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    if dialect == "converse":
        body, headers = {"message": message}, (*headers, ("x-amzn-ErrorType", "ValidationException:http://aws/"))
    if dialect == "messages":
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011Cstrict"}
    return Reply(status=status, reason=reason, headers=vendors.JSON + headers, pieces=[json.dumps(body).encode()])

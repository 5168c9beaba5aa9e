"""What the fake vendor does while an agent works: the turns of its model, and what goes wrong on its server.

The task is the same each time: read two files at once, write a third, say the end. A turn is found by the calls that
have results already, so that repeated requests get the same answer. Begin at `Situation`; `scripts.try_agents` uses it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.provider import Reply, Script
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.strict_vendor import Question, StrictVendor, failure

PROMPT = "Read 1.txt and 2.txt, then write 3.txt. Say when you are done."
END = "Both files are read and the third is written."
WORDS = ("alpha-4711", "beta-0815", "gamma-1234")
REMOTE_COMPACTION = "remote compaction"
SITUATIONS = (
    *("tool loop", "tool search", "429", "529", "cut in a call", "cut in a text"),
    *("compaction", REMOTE_COMPACTION, "subagent"),
)
FULL = 190_000
"""Tokens beyond those at which agents compact a conversation."""
_SUBTASK = "Look at both files and say which words they hold."
_REPORT = f"The files hold {WORDS[0]} and {WORDS[1]}."


@dataclass(slots=True)
class Situation:
    """The script of one run of an agent in `folder`; one of `SITUATIONS` by `name`."""

    name: str
    folder: Path
    vendor: StrictVendor = field(init=False)
    troubles: int = 0

    def __post_init__(self) -> None:
        self.vendor = StrictVendor(self.answer)

    def prepare(self) -> None:
        """Write the files that the agent reads."""
        for number, word in enumerate(WORDS[:2], start=1):
            (self.folder / f"{number}.txt").write_text(f"{word}\n", encoding="utf-8")

    def answer(self, question: Question) -> SpokenTurn | Script | Reply:
        """Return what the vendor says to a request."""
        if self.name.endswith("compaction") and _asks_for_summary(question):
            self.troubles += 1
            return SpokenTurn(text=f"{_REPORT} 3.txt is still to be written with {WORDS[2]}.")
        if _shell(question) is None:
            return SpokenTurn(text="A task with three files")  # titles and the like
        answered = " ".join(question.answered)
        if "wrote" in answered:
            return self._end(question)
        if self.name == "subagent" and (turn := self._delegate(question, answered)):
            return turn
        if self.name.endswith("compaction"):
            return self._compacted(question, answered)
        if "read" in answered:
            return self._write(question)
        if self.name == "tool search" and "search" not in answered:
            return self._search(question)
        return self._read(question)

    def problems(self, output: str) -> list[str]:
        """Return what was wrong at the end: the vendor's refusals, else what is missing in its requests, in the agent's
        output and in the files."""
        found = list(dict.fromkeys(self.vendor.faults))
        if found:
            return found
        results = [result for question in self.vendor.questions for result in question.results]
        found += [
            f"the result {word} never reached the vendor"
            for word, name in zip(WORDS, ("read1", "read2"), strict=False)
            if not any(name in identity and word in text for identity, text in results)
        ]
        third = self.folder / "3.txt"
        if not third.exists() or WORDS[2] not in third.read_text(encoding="utf-8"):
            found.append("3.txt is not written")
        if self.name == "tool search" and not any("search" in identity for identity, _ in results):
            found.append("the search was not answered")
        if END not in output:
            found.append("the agent does not show the last answer")
        return found + self._other_problems()

    def _other_problems(self) -> list[str]:
        found = []
        if not all(map(_is_instructed, self.vendor.questions)):
            found.append("the agent's instructions do not stand where the vendor's system prompt stands")
        if self.name not in ("tool loop", "tool search", "subagent") and not self.troubles:
            found.append("the trouble never came")
        if self.name == "subagent" and not any(_has_report(question) for question in self.vendor.questions):
            found.append("the report of the other agent never reached the vendor")
        return found

    def _read(self, question: Question) -> SpokenTurn:
        calls = tuple(_command(question, f"read{number}", f"cat {number}.txt") for number in (1, 2))
        tokens = FULL if self.name.endswith("compaction") else None
        thinking, text = "I read both files at once.", "I read both files."
        return SpokenTurn(thinking=thinking, text=text, calls=calls, input_tokens=tokens)

    def _compacted(self, question: Question, answered: str) -> SpokenTurn | Script | Reply:
        """Say that the context is full, for agents that count; refuse the next request of those that wait for that."""
        if self.troubles:
            return self._write(question)
        return _too_long(question.dialect) if "read" in answered else self._read(question)

    def _delegate(self, question: Question, answered: str) -> SpokenTurn | None:
        """Have another agent read the files, and wait for it where the tool does not."""
        text = json.dumps(question.body, ensure_ascii=False)
        if PROMPT not in text:
            return SpokenTurn(thinking="I have both.", text=_REPORT) if "read" in answered else self._read(question)
        if "spawn" not in answered:
            spawn = _find(question, "Agent", "Task", "spawn_agent")
            return self._search(question) if spawn is None else _spawn(question, spawn)
        if _REPORT not in text and (wait := _find(question, "wait_agent")):
            self.troubles += 1
            names = re.findall(r"agent_id\W+([\w-]+)", text)
            call = _call(f"wait{self.troubles}", wait, targets=names[:1], timeout_ms=20_000)
            return SpokenTurn(thinking="It is at work.", calls=(replace(call, namespace=_namespace(question, wait)),))
        return None

    def _search(self, question: Question) -> SpokenTurn:
        name = _find(question, "ToolSearch", "tool_search")
        if name == "ToolSearch":
            call = _call("search", name, query="select:WebFetch", max_results=3)
        else:
            kind = "tool_search" if name is None else "function"
            call = replace(_call("search", name or "tool_search", query="spawn a sub-agent", limit=4), kind=kind)
        return SpokenTurn(thinking="Another tool may help.", calls=(call,))

    def _write(self, question: Question) -> SpokenTurn | Script | Reply:
        turn = SpokenTurn(thinking="Now the third file.", calls=(self._write_call(question),))
        if self.name in ("429", "529") and self.troubles < 2:
            self.troubles += 1
            return _trouble(question.dialect, self.name)
        return self._cut(question, turn) if self.name == "cut in a call" else turn

    def _write_call(self, question: Question) -> SpokenCall:
        if write := _find(question, "Write"):
            return _call("wrote", write, file_path=str(self.folder / "3.txt"), content=f"{WORDS[2]}\n")
        patch = f"*** Begin Patch\n*** Add File: 3.txt\n+{WORDS[2]}\n*** End Patch\n"
        if name := _find(question, "apply_patch"):
            return _text_call(question, "wrote", name, patch)
        return _command(question, "wrote", f"echo {WORDS[2]} > 3.txt")

    def _end(self, question: Question) -> SpokenTurn | Script | Reply:
        turn = SpokenTurn(thinking="That was all.", text=END)
        return self._cut(question, turn) if self.name == "cut in a text" else turn

    def _cut(self, question: Question, turn: SpokenTurn) -> Reply | SpokenTurn:
        """Cut the stream once, where half of its frames are out."""
        if self.troubles:
            return turn
        self.troubles += 1
        whole = self.vendor.render(question, turn)
        pieces = list(whole.pieces)
        return replace(whole, pieces=pieces[: len(pieces) * 2 // 3], end="cut")


def _is_instructed(question: Question) -> bool:
    """Return whether a request begins with the instructions of the agent. Responses takes them anywhere."""
    if question.dialect == "messages":
        return bool(question.body.get("system"))
    return question.dialect == "responses" or question.body["messages"][0]["role"] == "system"


def _asks_for_summary(question: Question) -> bool:
    """Return whether the agent, or llmproxy for it, asks for a summary with which to go on. The last turn does."""
    turns = question.body.get("input") or question.body.get("messages")
    last = json.dumps(turns[-1]) if isinstance(turns, list) else str(turns)
    return any(words in last for words in ("summary of the conversation", "CHECKPOINT COMPACTION", "Call no tool"))


def _has_report(question: Question) -> bool:
    text = json.dumps(question.body, ensure_ascii=False)
    return PROMPT in text and _REPORT in text


def _trouble(dialect: str, name: str) -> Reply:
    if name == "429":
        message = "Rate limit reached"
        return failure(dialect, 429, "Too Many Requests", "rate_limit_error", message, ("retry-after", "1"))
    return failure(dialect, 529, "Overloaded", "overloaded_error", "Overloaded")


def _too_long(dialect: str) -> Reply:
    if dialect == "messages":
        message, code = f"prompt is too long: {FULL} tokens > 180000 maximum", None
    else:
        message = (
            f"This model's maximum context length is 180000 tokens. However, your messages resulted in {FULL} tokens."
        )
        code = "context_length_exceeded"
    return failure(dialect, 400, "Bad Request", "invalid_request_error", message, code=code)


def _find(question: Question, *ends: str) -> str | None:
    """Return the tool that has one of these names, or one of them behind a prefix."""
    return next((name for end in ends for name in question.tools if name == end or name.endswith(f"_{end}")), None)


def _identity(name: str) -> str:
    return f"call_{name}_7Qm2vXc4"


def _call(identity: str, tool: str, **arguments: object) -> SpokenCall:
    return SpokenCall(id=_identity(identity), name=tool, input=dict(arguments))


def _command(question: Question, identity: str, command: str) -> SpokenCall:
    """Return a call of the agent's shell."""
    name = _shell(question) or ""
    if name.endswith("exec_command"):
        return _call(identity, name, cmd=command)
    if name.endswith("exec"):
        script = f"const done = await tools.exec_command({json.dumps({'cmd': command})}); text(done.output);"
        return _text_call(question, identity, name, script)
    if name.endswith("Bash"):
        return _call(identity, name, command=command, description="Work on a file")
    return _call(identity, name, command=["sh", "-c", command])


def _spawn(question: Question, name: str) -> SpokenTurn:
    """Call the tool that starts another agent."""
    call = _call("spawn", name, description="Read files", prompt=_SUBTASK, subagent_type="general-purpose")
    if name.endswith("spawn_agent"):
        call = replace(_call("spawn", name, message=_SUBTASK), namespace=_namespace(question, name))
    return SpokenTurn(thinking="Another agent can read.", calls=(call,))


def _shell(question: Question) -> str | None:
    return _find(question, "exec_command", "exec", "Bash", "shell")


def _text_call(question: Question, identity: str, name: str, text: str) -> SpokenCall:
    """Return a call of a tool for freeform text, which may be a function with one argument."""
    kind, argument = _freeform(question, name)
    given = text if kind == "custom" else {argument: text}
    return SpokenCall(id=_identity(identity), name=name, input=given, kind=kind, namespace=_namespace(question, name))


def _namespace(question: Question, name: str) -> str | None:
    """Return the namespace in which a tool is declared."""
    spaces = [tool for tool in question.declared if name in [each.get("name") for each in tool.get("tools") or ()]]
    return spaces[0]["name"] if spaces else None


def _freeform(question: Question, name: str) -> tuple[str, str]:
    """Return the kind of a tool for freeform text, and the name of its argument where it is a function."""
    tool = next(tool for tool in question.declared if (tool.get("name") or _inner(tool).get("name")) == name)
    if tool.get("type") == "custom":
        return "custom", ""
    schema = tool.get("input_schema") or tool.get("parameters") or _inner(tool).get("parameters") or {}
    return "function", next(iter(schema.get("properties") or {"input": None}))


def _inner(tool: dict[str, Any]) -> dict[str, Any]:
    inner = tool.get(str(tool.get("type")))
    return inner if isinstance(inner, dict) else {}

"""What the fake vendor does while an agent works: the turns of its model, and what goes wrong on its server.

The task is the same each time: read two files at once, write a third, say the end. A turn is found by the calls that
have results already, so that repeated requests get the same answer. Begin at `Situation`; `scripts.try_agents` uses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.provider import Reply, Script
from tests.support.scripted_turns import SpokenCall, SpokenTurn
from tests.support.strict_vendor import Question, StrictVendor, failure

END = "Both files are read and the third is written."
WORDS = ("alpha-4711", "beta-0815", "gamma-1234")
SITUATIONS = ("tool loop", "tool search", "429", "529", "cut in a call", "cut in a text")


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
        if _shell(question) is None:
            return SpokenTurn(text="A task with three files")  # titles and the like
        answered = " ".join(question.answered)
        if "wrote" in answered:
            return self._end(question)
        if "read" in answered:
            return self._write(question)
        if self.name == "tool search" and "search" not in answered:
            return self._search(question)
        calls = tuple(_command(question, f"read{number}", f"cat {number}.txt") for number in (1, 2))
        return SpokenTurn(thinking="I read both files at once.", text="I read both files.", calls=calls)

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
        if self.name not in ("tool loop", "tool search") and not self.troubles:
            found.append("the trouble never came")
        return found

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
    """Say whether a request begins with the instructions of the agent. Responses takes them anywhere."""
    if question.dialect == "messages":
        return bool(question.body.get("system"))
    return question.dialect == "responses" or question.body["messages"][0]["role"] == "system"


def _trouble(dialect: str, name: str) -> Reply:
    if name == "429":
        message = "Rate limit reached"
        return failure(dialect, 429, "Too Many Requests", "rate_limit_error", message, ("retry-after", "1"))
    return failure(dialect, 529, "Overloaded", "overloaded_error", "Overloaded")


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


def _shell(question: Question) -> str | None:
    return _find(question, "exec_command", "exec", "Bash", "shell")


def _text_call(question: Question, identity: str, name: str, text: str) -> SpokenCall:
    """Return a call of a tool for freeform text, which may be a function with one argument."""
    kind, argument = _freeform(question, name)
    given = text if kind == "custom" else {argument: text}
    spaces = [tool for tool in question.declared if name in [each.get("name") for each in tool.get("tools") or ()]]
    space = spaces[0]["name"] if spaces else None
    return SpokenCall(id=_identity(identity), name=name, input=given, kind=kind, namespace=space)


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

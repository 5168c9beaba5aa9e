"""Drive a server with wrk, and measure the CPU time and memory of its processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PATH = "/v1/chat/completions"
MODEL = "gpt-4o"
PATHS = {
    ("chat", False): (PATH, PATH),
    ("chat", True): (PATH, PATH),
    ("gemini", False): (f"/v1beta/models/{MODEL}:generateContent", "/v1/models/{model}:generateContent"),
    ("gemini", True): (
        f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
        "/v1/models/{model}:streamGenerateContent",
    ),
    ("converse", False): (f"/model/{MODEL}/converse", "/model/{model}/converse"),
    ("converse", True): (f"/model/{MODEL}/converse-stream", "/model/{model}/converse-stream"),
}
"""The paths of calls, and what /metrics calls them, by dialect and whether they stream."""
AGENT_TURNS = 20
"""How many turns of a conversation an agent sends before it begins the next one."""
_WRK_SCRIPT = """
wrk.method = "POST"
local file = io.open(os.getenv("BODY")); wrk.body = file:read("*a"); file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-client"
"""
_DISTINCT_SCRIPT = f"""{_WRK_SCRIPT}
local head, tail = wrk.body:match('^(.*)"bench"(.*)$')
local began, number = os.time(), 0
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, head .. '"bench ' .. began .. '.' .. number .. '"' .. tail)
end
"""
_AGENT_SCRIPT = f"""{_WRK_SCRIPT}
local lines = {{}}
for line in wrk.body:gmatch("[^\\n]+") do table.insert(lines, line) end
local tail, turn, conversation = table.remove(lines), {AGENT_TURNS}, os.time() * 1000
request = function()
  turn = turn + 1
  if turn > {AGENT_TURNS} then turn, conversation = 1, conversation + 1 end
  lines[2] = '{{"role": "user", "content": "This is conversation ' .. conversation .. '."}}'
  local last = #lines - 2 * ({AGENT_TURNS} - turn)
  return wrk.format(nil, nil, nil, lines[1] .. table.concat(lines, ", ", 2, last) .. tail)
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of traffic.

    `limit` is the maximum CPU time per request relative to nginx, or, with `of`, relative to the case of that name.
    `cached` means that every answer but the first comes from the cache. Clients speak `dialect`. With `agent` each
    request is the next turn of a conversation: of 20 tools and up to 400 messages. With `distinct` each request is of
    another user.
    """

    name: str
    body_bytes: int
    stream: bool
    connections: int
    limit: float
    of: str = ""
    cached: bool = False
    dialect: str = "chat"
    agent: bool = False
    distinct: bool = False

    @property
    def path(self) -> str:
        """Return the path that clients call."""
        return PATHS[self.dialect, self.stream][0]

    @property
    def template(self) -> str:
        """Return the path in /metrics."""
        return PATHS[self.dialect, self.stream][1]

    @property
    def body(self) -> bytes:
        """Return the body of each request, of an agent's last turn."""
        if self.agent:
            begin, *messages, end = agent_lines(self.body_bytes)
            return (begin + ", ".join(messages) + end).encode()
        return _BODIES[self.dialect](self.body_bytes, stream=self.stream).encode()

    def body_of(self, number: int) -> bytes:
        """Return the body of one request: of the agent's conversation or of the user with this number."""
        body = self.body
        if self.agent:
            return body.replace(_FIRST % 0, _FIRST % number, 1)
        return body.replace(b'"bench"', b'"bench %d"' % number) if self.distinct else body


class _WriteBody(Protocol):
    def __call__(self, size_bytes: int, *, stream: bool) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The results of one run of wrk. `requests` counts complete answers, with those of the warm-up."""

    cpu_us: float
    requests: int
    per_second: float
    p50: str
    p99: str
    failures: tuple[str, ...]


def chat_body(size_bytes: int, *, stream: bool, user: str = "bench") -> str:
    """Build a conversation of about `size_bytes`; `stream` is the last field, where the upstream looks for it."""
    messages = [{"role": "system", "content": _SYSTEM}]
    messages += [{"role": role, "content": text} for role, text in _turns(size_bytes)]
    return json.dumps({"model": MODEL, "messages": messages, "temperature": 0.7, "user": user, "stream": stream})


def agent_lines(size_bytes: int) -> list[str]:
    """Return the conversation of a coding agent of about `size_bytes`: the JSON before its messages, each message, the
    JSON after them."""
    schema = {"type": "object", "properties": {f"argument_{each}": {"type": "string"} for each in range(6)}}
    tools = [
        {"type": "function", "function": {"name": f"tool_{each}", "description": _WORDS * 6, "parameters": schema}}
        for each in range(20)
    ]
    end = f'], "tools": {json.dumps(tools)}, "stream": false}}'
    text = _WORDS * ((size_bytes - len(end)) * 3 // (400 * 2 * len(_WORDS)))
    messages: list[dict[str, object]] = []
    for number in range(133):
        call = {"name": "tool_3", "arguments": json.dumps({"argument_1": f"src/file_{number}.py", "argument_2": "x"})}
        messages += [
            {"role": "user" if number % 8 == 0 else "assistant", "content": f"Step {number}: {text}"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call_{number}", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": f"call_{number}", "content": f'{number}\n\t"{text}"\n'},
        ]
    begin = f'{{"model": "{MODEL}", "messages": ['
    first = {"role": "user", "content": (_FIRST % 0).decode()}
    return [begin, *map(json.dumps, [first, *messages]), end]


_FIRST = b"This is conversation %d."
_WORDS = "The file is read, the test is run, it fails at line 12; see https://example.org/a/b for the reason. "


def gemini_body(size_bytes: int, *, stream: bool) -> str:
    """Build the same conversation for generateContent."""
    roles = {"user": "user", "assistant": "model"}
    contents = [{"role": roles[role], "parts": [{"text": text}]} for role, text in _turns(size_bytes)]
    system = {"parts": [{"text": _SYSTEM}]}
    return json.dumps(
        {"contents": contents, "systemInstruction": system, "generationConfig": {"temperature": 0.7, "seed": 7}}
    )


def converse_body(size_bytes: int, *, stream: bool) -> str:
    """Build the same conversation for Converse."""
    messages = [{"role": role, "content": [{"text": text}]} for role, text in _turns(size_bytes)]
    return json.dumps({"messages": messages, "system": [{"text": _SYSTEM}], "inferenceConfig": {"temperature": 0.7}})


_BODIES: Mapping[str, _WriteBody] = {"chat": chat_body, "gemini": gemini_body, "converse": converse_body}
_SYSTEM = "You are a helpful assistant. " * 6


def _turns(size_bytes: int) -> list[tuple[str, str]]:
    turns: list[tuple[str, str]] = []
    while sum(len(text) + 40 for _, text in turns) < size_bytes - 400:
        turns.append(("user", "What is the capital of France, and why? " * 3))
        turns.append(("assistant", "Paris is the capital of France. " * 5))
    return [*turns, ("user", "Go on.")]


def drive(port: int, pid: int, case: Case, seconds: float, folder: Path) -> Run:
    """Warm a server up for a second, then drive it for `seconds` and measure its process `pid`."""
    url = f"http://127.0.0.1:{port}{case.path}"
    warm_up = _wrk(url, case, 1, folder)
    before_s = cpu_seconds(pid)
    printed = _wrk(url, case, seconds, folder)
    spent_s = cpu_seconds(pid) - before_s
    requests = int(_find(r"(\d+) requests in", printed))
    return Run(
        cpu_us=spent_s / max(requests, 1) * 1e6,
        requests=requests + int(_find(r"(\d+) requests in", warm_up)),
        per_second=float(_find(r"Requests/sec:\s+([\d.]+)", printed)),
        p50=_find(r"50%\s+(\S+)", printed),
        p99=_find(r"99%\s+(\S+)", printed),
        failures=tuple(re.findall(r"(?:Non-2xx|Socket errors)[^\n]*", warm_up + printed)),
    )


def _wrk(url: str, case: Case, seconds: float, folder: Path) -> str:
    script, body = folder / "post.lua", folder / "body.json"
    script.write_text(_AGENT_SCRIPT if case.agent else _DISTINCT_SCRIPT if case.distinct else _WRK_SCRIPT)
    body.write_bytes("\n".join(agent_lines(case.body_bytes)).encode() if case.agent else case.body)
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds:.0f}s", "--latency", "-s", str(script), url]
    return subprocess.run(
        command, env={**os.environ, "BODY": str(body)}, capture_output=True, text=True, check=True
    ).stdout


def _find(pattern: str, printed: str) -> str:
    match = re.search(pattern, printed)
    if not match:
        raise SystemExit(f"the output of wrk has no {pattern!r}:\n{printed}")
    return match[1]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its children so far."""
    ticks = 0
    for each in _tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and all its children."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            yield from _tree(int(child))

"""Run Codex and Claude Code against llmproxy in front of a strict fake vendor, and print a table.

Each run has a folder of its own with the agent's home, its work, and llmproxy's traces. Nothing but `--install` leaves
this machine: the agents have telemetry and updates switched off, and a proxy for other addresses that refuses all. What
the vendor does stands in `scripts.agent_situations`. Begin reading at `main`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.agent_situations import PROMPT, REMOTE_COMPACTION, SITUATIONS, Situation
from tests.support.program import Program
from tests.support.provider import Upstream

PACKAGES = ("@openai/codex@latest", "@anthropic-ai/claude-code@latest")
_LIMIT_S = 180.0
_WINDOW = 150_000  # tokens, beyond which the agents compact
_CODEX = """
model = "{model}"
model_provider = "llmproxy"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
model_auto_compact_token_limit = {window}
[analytics]
enabled = false
[model_providers.llmproxy]
name = "{provider}"
base_url = "{url}/v1"
env_key = "LLMPROXY_KEY"
wire_api = "responses"
request_max_retries = 3
stream_max_retries = 3
"""
_PROVIDERS = {
    "chat": '{{name: main, type: {type}, base_url: "{url}/v1", dialects: [chat], api_key: sk-up}}',
    "responses": '{{name: main, type: openai, base_url: "{url}/v1", dialects: [responses], api_key: sk-up}}',
    "messages": '{{name: main, type: anthropic, base_url: "{url}", api_key: sk-ant-up}}',
}
# The models that answer in a dialect that is not the agent's own.
_TARGETS = {
    "chat": ("qwen3-coder", "openai/gpt-oss-120b"),
    "responses": ("gpt-5.5",),
    "messages": ("claude-opus-4-8", "claude-sonnet-4-5", "claude-opus-5-5"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A coding agent: its command in node_modules/.bin, its dialect, and models for which it sends other requests."""

    name: str
    dialect: str
    models: tuple[str, ...]


AGENTS = (
    Agent(name="codex", dialect="responses", models=("gpt-5.5", "gpt-6-astra")),
    Agent(name="claude", dialect="messages", models=("claude-opus-5-5", "claude-sonnet-4-6")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: the agent asks for `model`, which `target` answers in `dialect`."""

    agent: Agent
    model: str
    dialect: str
    target: str
    situation: str

    @property
    def title(self) -> str:
        way = "relay" if self.dialect == self.agent.dialect else f"{self.dialect} ({self.target})"
        return f"{self.agent.name} {self.model}: {way}, {self.situation}"


def runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Yield the runs that the command line asks for: every situation for the first models, a tool loop for others."""
    for agent, dialect in itertools.product(AGENTS, _PROVIDERS):
        if arguments.agent not in (None, agent.name) or arguments.dialect not in (None, dialect):
            continue
        for number, model in enumerate(agent.models):
            targets = (model,) if dialect == agent.dialect else _TARGETS[dialect]
            for place, target in enumerate(targets):
                situations = SITUATIONS if number == place == 0 else SITUATIONS[:1]
                for situation in situations:
                    remote = agent.name == "codex" and dialect != agent.dialect
                    if arguments.situation in (None, situation) and (remote or situation != REMOTE_COMPACTION):
                        yield Run(agent=agent, model=model, dialect=dialect, target=target, situation=situation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended: `problems` is empty where all went well."""

    seconds: float
    requests: int
    problems: list[str]


def play(run: Run, packages: Path, folder: Path) -> Outcome:
    """Have the agent do its task through llmproxy, and return what was wrong."""
    home, work, state = (folder / name for name in ("home", "work", "proxy"))
    for each in (home, work, state):
        each.mkdir(parents=True)
    situation = Situation(run.situation, work)
    situation.prepare()
    kind = "groq" if "gpt-oss" in run.target else "openai-compatible"
    with Upstream(situation.vendor) as upstream:
        config = f"providers: [{_PROVIDERS[run.dialect].format(url=upstream.url, type=kind)}]\n"
        if run.target != run.model:
            config += f"models: [{{name: {run.model}, targets: [main/{run.target}]}}]\n"
        with Program(state, "serve", "--trace", config=config) as program:
            started = time.monotonic()
            output, problem = _ask(run, program.url, packages, home, work)
            seconds = time.monotonic() - started
    (folder / "output.txt").write_text(output, encoding="utf-8")
    problems = _refusals(state / "traces") or situation.problems(output)
    problems += [problem] if problem else []
    if problems and (last := [line for line in output.splitlines() if line.strip()]):
        problems.append(f"it said: {last[-1].strip()}")
    return Outcome(seconds=seconds, requests=len(situation.vendor.questions), problems=problems)


def _refusals(traces: Path) -> list[str]:
    """Return the errors that llmproxy answered by itself, from its traces. An agent may work around them."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(traces.rglob("*.json"))]
    own = [record for record in records if not any(attempt["status"] for attempt in record["attempts"])]
    failed = [record for record in own if (record["status"] or 0) >= 400]
    lines = [f"llmproxy answered {record['status']}: {(record['error'] or {}).get('message')}" for record in failed]
    return list(dict.fromkeys(lines))


def _ask(run: Run, url: str, packages: Path, home: Path, work: Path) -> tuple[str, str]:
    """Run the agent; return what it printed, and what was wrong with its end."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # the discard port: no address but the proxy's is reached
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    command = [str(packages / "node_modules" / ".bin" / run.agent.name)]
    if run.agent.name == "codex":
        # Codex asks its provider to compact where that has OpenAI's name, and does so itself elsewhere.
        provider = "OpenAI" if run.situation == REMOTE_COMPACTION else "llmproxy"
        settings = _CODEX.format(model=run.model, provider=provider, url=url, window=_WINDOW)
        (home / "config.toml").write_text(settings, encoding="utf-8")
        environment |= {"CODEX_HOME": str(home), "LLMPROXY_KEY": "dummy"}
        command += ["exec", "--skip-git-repo-check", PROMPT]
    else:
        environment |= {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "dummy",
            "ANTHROPIC_MODEL": run.model,
            "ANTHROPIC_SMALL_FAST_MODEL": run.model,
            "ENABLE_TOOL_SEARCH": "true",  # its default with the vendor's own address
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(_WINDOW),
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
        }
        command += ["--print", PROMPT, "--allowedTools", "Bash,Read,Write,Edit,ToolSearch,Task"]
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired as fault:
        return str(fault.stdout or ""), f"still running after {_LIMIT_S:g} s"
    problem = f"exit code {done.returncode}" if done.returncode else ""
    return done.stderr + done.stdout, problem


def install(folder: Path) -> None:
    """Install the agents from npm."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES], check=True)


def _report(run: Run, outcome: Outcome, *, width: int) -> None:
    verdict = "FAILED" if outcome.problems else "ok"
    print(f"{run.title:<{width}}  {verdict:<6}  {outcome.requests:>3} requests  {outcome.seconds:5.1f} s", flush=True)
    for problem in outcome.problems:
        print(f"    {problem[:300]}", flush=True)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmproxy-agents"
    parser = argparse.ArgumentParser(prog="scripts/try-agents", description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install the agents from npm first")
    parser.add_argument("--cache", type=Path, default=cache, help="folder for packages and runs (default: %(default)s)")
    parser.add_argument("--agent", choices=[agent.name for agent in AGENTS], help="run this agent only")
    parser.add_argument("--dialect", choices=list(_PROVIDERS), help="run against this dialect only")
    parser.add_argument("--situation", choices=SITUATIONS, help="play this situation only")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; return 1 where an agent did not get through."""
    arguments = _arguments(argv)
    cache: Path = arguments.cache.resolve()
    if arguments.install:
        install(cache)
    missing = [agent.name for agent in AGENTS if not (cache / "node_modules" / ".bin" / agent.name).exists()]
    if missing:
        print(f"Not installed in {cache}: {', '.join(missing)}. Run scripts/try-agents --install.", file=sys.stderr)
        return 2
    folder = cache / "runs"
    shutil.rmtree(folder, ignore_errors=True)
    selected = list(runs(arguments))
    width = max((len(run.title) for run in selected), default=0)
    failed = 0
    for number, run in enumerate(selected):
        outcome = play(run, cache, folder / f"{number:02}")
        failed += bool(outcome.problems)
        _report(run, outcome, width=width)
    print(f"{len(selected) - failed} of {len(selected)} runs went well; folders of all: {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

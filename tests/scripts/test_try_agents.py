"""The runs of coding agents, as far as they go without the agents, which are installed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import try_agents
from scripts.agent_situations import END, Situation
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient


def test_agents_that_are_not_installed_are_named_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert try_agents.main(["--cache", str(tmp_path)]) == 2
    assert "codex, claude. Run scripts/try-agents --install" in capsys.readouterr().err


def test_an_agent_that_does_nothing_is_blamed_for_each_step(tmp_path: Path) -> None:
    situation = Situation("429", tmp_path)
    situation.prepare()
    problems = situation.problems("")
    assert len(problems) == 5 and "3.txt is not written" in problems


def test_a_whole_task_passes_without_blame(tmp_path: Path) -> None:
    situation = Situation("tool loop", tmp_path)
    situation.prepare()
    tool = {"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}}
    messages: list[dict[str, object]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go"}]
    with Upstream(situation.vendor) as upstream, RawClient(("127.0.0.1", upstream.port)) as client:
        for _ in range(3):
            client.post("/v1/chat/completions", {"model": "m", "messages": messages, "tools": [tool]})
            said = client.read_answer().json["choices"][0]["message"]
            results = {"read1": "alpha-4711", "read2": "beta-0815", "wrote": ""}
            messages.append(said)
            for call in said.get("tool_calls") or ():
                text = results[call["id"].split("_")[1]]
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    (tmp_path / "3.txt").write_text("gamma-1234\n", encoding="utf-8")
    assert situation.problems(said["content"]) == []
    assert said["content"] == END

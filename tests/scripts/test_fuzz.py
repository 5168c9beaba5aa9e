"""A short run of scripts/fuzz: every kind, always the same cases. The script itself runs for minutes, with others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from scripts.fuzzing import mutation
from scripts.fuzzing.exchanges import Outcome, Sent, judge
from scripts.fuzzing.findings import Finding
from tests.support.program import ROOT, clean_environment
from tests.support.vendors import chat_frames

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it looks at processes as POSIX has them")
STREAM = [("Content-Type", "text/event-stream")]


def fuzz(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.fuzzing", *arguments]
    environment = clean_environment(home)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_nothing_is_found_in_the_first_cases_of_each_kind(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seed", "1", "--rounds", "10")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    rows = [line.split(" | ")[0] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["| raw", "| json", "| answers", "| streams", "| crowds", "| files", "| redis", "| at the end"]


@pytest.mark.long
def test_nothing_is_found_in_minutes(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", "180")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_a_case_of_a_seed_is_always_the_same() -> None:
    value = {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f"}]}
    made = [mutation.to_json(rng, mutation.spoil(rng, value)) for rng in (Random("1/json/7"), Random("1/json/7"))]
    assert made[0] == made[1]
    assert len({mutation.to_json(rng, mutation.spoil(rng, value)) for rng in map(Random, range(50))}) > 40


FRAMES = chat_frames("gpt-x", False, False)
WHOLE, BEGUN = b"".join(FRAMES), b"".join(FRAMES[:2])


@pytest.mark.parametrize(
    ("target", "outcome", "sent", "fault"),
    [
        ("chat", Outcome(end="whole", status=500, body=b'{"error": "Internal Server Error"}'), Sent(), "500"),
        ("chat", Outcome(end="none"), Sent(), "invalid"),
        ("chat", Outcome(end="whole", status=200, body=b"a"), Sent(body=b"b", calls=1), "invalid"),
        ("chat", Outcome(end="whole", status=200, body=b"a"), Sent(body=b"a", whole=False, calls=1), "false end"),
        (
            "chat",
            Outcome(end="whole", status=200, headers=STREAM, body=BEGUN),
            Sent(body=BEGUN, whole=False, calls=1),
            "false end",
        ),
        ("messages", Outcome(end="whole", status=200, headers=STREAM, body=b"data: {}\n\n"), Sent(), "invalid"),
        ("messages", Outcome(end="whole", status=200, body=b'{"id": "x"}'), Sent(), "invalid"),
        ("messages", Outcome(end="whole", status=502, body=b"oops"), Sent(), "invalid"),
        (
            "messages",
            Outcome(end="whole", status=200, headers=STREAM, body=WHOLE),
            Sent(body=b'data: {"type": "message_start"}\n\n', streamed=True, whole=False, calls=1),
            "false end",
        ),
    ],
)
def test_each_fault_of_an_answer_is_found(target: str, outcome: Outcome, sent: Sent, fault: str) -> None:
    with pytest.raises(Finding) as found:
        judge("chat", target, outcome, sent)
    assert found.value.fault == fault


@pytest.mark.parametrize(
    ("target", "outcome", "sent"),
    [
        ("chat", Outcome(end="whole", status=200, body=b"a"), Sent(body=b"a", calls=1)),
        ("chat", Outcome(end="cut", status=200, headers=STREAM, body=BEGUN), Sent(body=BEGUN, whole=False, calls=1)),
        (
            "chat",
            Outcome(end="whole", status=200, headers=STREAM, body=BEGUN + b'data: {"error": {}}\n\n'),
            Sent(body=BEGUN, whole=False, calls=1),
        ),
        ("messages", Outcome(end="whole", status=200, headers=STREAM, body=WHOLE), Sent()),
    ],
)
def test_honest_answers_are_no_finding(target: str, outcome: Outcome, sent: Sent) -> None:
    judge("chat", target, outcome, sent)

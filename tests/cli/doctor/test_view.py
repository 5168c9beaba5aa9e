from __future__ import annotations

import pytest

from llmproxy.cli.doctor.diagnosis import Diagnosis
from llmproxy.cli.doctor.view import as_object, render_diagnoses

FINDINGS = [
    Diagnosis(check="clock", detail="agrees with the providers'"),
    Diagnosis(subject="openai", check="key", status="warning", detail="none", fix="set KEY " + "or so " * 20),
    Diagnosis(subject="openai", check="call", status="error", detail="evil \x1b[31m answer"),
]


@pytest.mark.parametrize("width", [80, 120])
def test_each_subject_has_a_block_that_fits_the_width(width: int) -> None:
    lines = [line.plain for line in render_diagnoses(FINDINGS, width)]
    assert lines[:2] == ["this machine", "  ok       clock  agrees with the providers'"]
    assert lines[3:6] == ["openai", "  warning  key    none", lines[5]]
    assert lines[5].startswith("                  fix: set KEY")
    assert lines[-1] == "1 error, 1 warning"
    assert all(len(line) <= width for line in lines)
    assert "\x1b" not in "".join(lines)


def test_without_a_fault_it_says_so() -> None:
    assert [line.plain for line in render_diagnoses(FINDINGS[:1], 80)][-1] == "All is well."


def test_programs_get_the_same() -> None:
    shown = as_object(FINDINGS, "llmproxy.yaml")
    assert shown["status"] == "error" and shown["config"] == "llmproxy.yaml"
    assert isinstance(shown["findings"], list) and shown["findings"][0] == {
        "subject": "this machine",
        "check": "clock",
        "status": "ok",
        "detail": "agrees with the providers'",
        "fix": "",
    }

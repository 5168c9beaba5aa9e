from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load
from llmproxy.limit import Limit

STUB = "providers: [{name: stub, type: stub}]\n"


def limits(directory: Path, environ: dict[str, str], text: str = STUB) -> list[Limit]:
    (directory / "llmproxy.yaml").write_text(text)
    return [each.limit() for each in load(directory=directory, environ=environ).checked().limits]


def per_key(requests: int, seconds: float) -> Limit:
    return Limit(kind="requests", amount=requests, per_s=seconds)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"PROXY_API_RATE_LIMIT_REQUESTS": "5", "PROXY_API_RATE_LIMIT_WINDOW": "30"}, [per_key(5, 30)]),
        ({"PROXY_API_RATE_LIMIT_REQUESTS": "5"}, [per_key(5, 60)]),
        ({"PROXY_API_RATE_LIMIT_WINDOW": "30"}, [per_key(100, 30)]),
        ({"RATE_LIMIT_ENABLED": "false", "RATE_LIMIT_MAX_REQUESTS": "9"}, []),
        ({"RATE_LIMIT_MAX_REQUESTS": "9", "RATE_LIMIT_WINDOW_SECONDS": "9"}, []),
        ({"RATE_LIMIT_ENABLED": "True"}, [per_key(60, 60)]),
        (
            {"RATE_LIMIT_ENABLED": "1", "RATE_LIMIT_MAX_REQUESTS": "9", "RATE_LIMIT_WINDOW_SECONDS": "8"},
            [per_key(9, 8)],
        ),
    ],
)
def test_older_variables_are_a_limit(tmp_path: Path, environ: dict[str, str], expected: list[Limit]) -> None:
    assert limits(tmp_path, environ) == expected


def test_they_add_to_the_limits_of_the_file(tmp_path: Path) -> None:
    found = limits(tmp_path, {"PROXY_API_RATE_LIMIT_REQUESTS": "5"}, STUB + "limits: [{requests: 3}]\n")

    assert found == [per_key(3, 60), per_key(5, 60)]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PROXY_API_RATE_LIMIT_REQUESTS": "0"}, "variable PROXY_API_RATE_LIMIT_REQUESTS"),
        ({"PROXY_API_RATE_LIMIT_WINDOW": "soon"}, "variable PROXY_API_RATE_LIMIT_WINDOW"),
        ({"RATE_LIMIT_ENABLED": "maybe"}, "RATE_LIMIT_ENABLED: must be true or false"),
        ({"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_MAX_REQUESTS": "-1"}, "variable RATE_LIMIT_MAX_REQUESTS"),
    ],
)
def test_a_mistake_is_reported_with_its_variable(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    (tmp_path / "llmproxy.yaml").write_text(STUB)
    problems = load(directory=tmp_path, environ=environ).problems

    assert [message in str(problem) for problem in problems] == [True], [str(each) for each in problems]

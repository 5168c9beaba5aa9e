from __future__ import annotations

import json
from pathlib import Path

from llmproxy.config.problems import (
    ConfigError,
    Mark,
    Problem,
    Verdict,
    as_github,
    as_gitlab,
    as_json,
    as_sarif,
    sort_problems,
)

HERE = Mark(source="conf dir/a.yaml", line=3, column=5)
ERROR = Problem(mark=HERE, key="providers[0].type", message="100% wrong,\nreally: no", code="unknown-type")
WARNING = Problem(
    mark=Mark(source="environment variable X"), message="is odd", code="unused-variable", severity="warning"
)
UNREADABLE = Problem(mark=Mark(source="b.yaml"), message="file not found", code="unreadable")
VERDICTS = [
    Verdict(file="conf dir/a.yaml", problems=[ERROR, WARNING]),
    Verdict(file="b.yaml", problems=[UNREADABLE]),
    Verdict(file="c.yaml"),
]


def test_text_has_file_line_column_key_and_message() -> None:
    assert str(ERROR) == "conf dir/a.yaml:3:5: providers[0].type: 100% wrong,\nreally: no"
    assert str(WARNING) == "environment variable X: warning: is odd"
    assert str(UNREADABLE) == "b.yaml: file not found"


def test_only_errors_spoil_a_file() -> None:
    assert not Verdict(file="a", problems=[WARNING, ERROR]).valid
    assert Verdict(file="a", problems=[WARNING]).valid
    assert Verdict(file="a").valid


def test_problems_are_ordered_by_place_and_reported_once() -> None:
    late = Problem(mark=Mark(source="a.yaml", line=9, column=1), message="late")
    early = Problem(mark=Mark(source="a.yaml", line=2, column=7), message="early")
    earlier = Problem(mark=Mark(source="a.yaml", line=2, column=1), message="earlier")
    assert sort_problems([late, WARNING, early, late, earlier]) == [earlier, early, late, WARNING]


def test_json_names_every_file_and_problem() -> None:
    message = json.loads(as_json(VERDICTS))
    assert message["ok"] is False
    assert [(file["file"], file["ok"]) for file in message["files"]] == [
        ("conf dir/a.yaml", False),
        ("b.yaml", False),
        ("c.yaml", True),
    ]
    assert message["files"][0]["problems"] == [
        {
            "severity": "error",
            "code": "unknown-type",
            "source": "conf dir/a.yaml",
            "line": 3,
            "column": 5,
            "key": "providers[0].type",
            "message": "100% wrong,\nreally: no",
        },
        {
            "severity": "warning",
            "code": "unused-variable",
            "source": "environment variable X",
            "line": None,
            "column": None,
            "key": "",
            "message": "is odd",
        },
    ]
    assert json.loads(as_json([Verdict(file="c.yaml")])) == {
        "ok": True,
        "files": [{"file": "c.yaml", "ok": True, "problems": []}],
    }


def test_github_annotations_are_escaped_and_stand_at_the_line() -> None:
    assert as_github(VERDICTS).splitlines() == [
        "::error file=conf dir/a.yaml,line=3,col=5,title=llmproxy unknown-type"
        "::providers[0].type: 100%25 wrong,%0Areally: no",
        "::warning file=conf dir/a.yaml,title=llmproxy unused-variable::environment variable X: is odd",
        "::error file=b.yaml,title=llmproxy unreadable::file not found",
    ]
    odd = Problem(mark=Mark(source="a,b:c.yaml", line=1, column=1), message="x")
    assert as_github([Verdict(file="a,b:c.yaml", problems=[odd])]).startswith("::error file=a%2Cb%3Ac.yaml,line=1")
    assert as_github([Verdict(file="c.yaml")]) == ""


def test_gitlab_gets_relative_paths_and_fingerprints_that_no_line_changes() -> None:
    first, second, third = json.loads(as_gitlab(VERDICTS))
    assert first["description"] == "providers[0].type: 100% wrong,\nreally: no"
    assert (first["check_name"], first["severity"]) == ("llmproxy unknown-type", "major")
    assert first["location"] == {"path": "conf dir/a.yaml", "lines": {"begin": 3}}
    assert (second["description"], second["severity"]) == ("environment variable X: is odd", "minor")
    assert second["location"] == {"path": "conf dir/a.yaml", "lines": {"begin": 1}}
    assert third["location"]["path"] == "b.yaml"
    assert len({each["fingerprint"] for each in (first, second, third)}) == 3

    def report(line: int) -> dict[str, object]:
        problem = Problem(mark=Mark(source="./c.yaml", line=line, column=1), message="x")
        (found,) = json.loads(as_gitlab([Verdict(file="./c.yaml", problems=[problem])]))
        assert found.pop("location") == {"path": "c.yaml", "lines": {"begin": line}}
        return dict(found)

    assert report(1) == report(2)
    assert json.loads(as_gitlab([])) == []


def test_sarif_has_rules_and_places() -> None:
    message = json.loads(as_sarif(VERDICTS, "1.2.3"))
    assert message["version"] == "2.1.0"
    (run,) = message["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("llmproxy", "1.2.3")
    rules = [rule["id"] for rule in driver["rules"]]
    first, second, third = run["results"]
    assert (first["ruleId"], first["level"]) == ("unknown-type", "error")
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert first["message"]["text"] == "providers[0].type: 100% wrong,\nreally: no"
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "conf%20dir/a.yaml"},
                "region": {"startLine": 3, "startColumn": 5},
            }
        }
    ]
    assert second["message"]["text"] == "environment variable X: is odd"
    assert second["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "conf%20dir/a.yaml"}}}]
    assert third["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "b.yaml"}}}]
    assert json.loads(as_sarif([], "1"))["runs"][0]["results"] == []


def test_sarif_names_absolute_paths_as_uris(tmp_path: Path) -> None:
    file = str(tmp_path / "a b.yaml")
    problem = Problem(mark=Mark(source=file, line=1, column=1), message="x")
    message = json.loads(as_sarif([Verdict(file=file, problems=[problem])], "1"))
    place = message["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (tmp_path / "a b.yaml").as_uri()


def test_an_error_lists_every_problem() -> None:
    error = ConfigError([UNREADABLE, ERROR])
    assert str(error) == f"{UNREADABLE}\n{ERROR}"
    assert error.problems == [UNREADABLE, ERROR]

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.settings import (
    Duration,
    DurationLimit,
    ExistingFile,
    Size,
    SizeLimit,
    Strict,
    Whole,
    format_size,
    parse_duration,
    parse_size,
    write_duration,
    write_size,
)


class Block(Strict):
    size: Size = 0
    size_limit: SizeLimit = None
    duration: Duration = 0.0
    limit: DurationLimit = None
    whole: Whole = 0
    file: ExistingFile | None = None


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("64MB", 64 * 1024**2),
        ("64mb", 64 * 1024**2),
        ("64 MiB", 64 * 1024**2),
        ("1.5k", 1536),
        ("2G", 2 * 1024**3),
        ("1TB", 1024**4),
        ("100", 100),
        ("100B", 100),
        (100, 100),
        (0, 0),
    ],
)
def test_sizes_are_powers_of_1024(written: object, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes


@pytest.mark.parametrize("written", ["", "MB", "64XB", "-1", -1, 1.5, True, None, [], "1e3", "6 4"])
def test_what_is_no_size_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="64KB"):
        parse_size(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("1m 30s", 90), ("2d", 172800), ("1.5", 1.5), (5, 5), (0.5, 0.5)],
)
def test_durations_are_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "1:30", "30x", "-5s", -5, True, None, float("inf"), "1h30", "none"])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"invalid duration"):
        parse_duration(written)


@pytest.mark.parametrize("word", ["none", "None", "off", "never", "unlimited", None])
def test_limits_may_be_none(word: object) -> None:
    block = Block.model_validate({"size_limit": word, "limit": word})
    assert (block.size_limit, block.limit) == (None, None)


@pytest.mark.parametrize(
    ("size_bytes", "written"), [(64 * 1024**2, "64MB"), (1000, "1000B"), (0, "0B"), (None, "none")]
)
def test_sizes_are_shown_as_people_write_them(size_bytes: int | None, written: str) -> None:
    assert write_size(size_bytes) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(30, "30s"), (3600, "1h"), (0.25, "250ms"), (0, "0s"), (None, "none")]
)
def test_durations_are_shown_as_people_write_them(seconds: float | None, written: str) -> None:
    assert write_duration(seconds) == written


def test_json_has_the_human_forms() -> None:
    output = Block(size=1024, size_limit=None, duration=60, limit=None).model_dump(mode="json")
    assert (output["size"], output["size_limit"], output["duration"], output["limit"]) == ("1KB", "none", "60s", "none")


def test_true_is_no_whole_number() -> None:
    with pytest.raises(ValidationError, match="whole number, not true"):
        Block.model_validate({"whole": True})
    assert Block.model_validate({"whole": "7"}).whole == 7


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="sice"):
        Block.model_validate({"sice": 1})


def test_blocks_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Block().size = 1


def test_a_file_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    block = Block.model_validate({"file": "ca.pem"}, context={"directory": tmp_path})
    assert block.file == str(tmp_path / "ca.pem")
    assert Block.model_validate({"file": str(tmp_path / "ca.pem")}).file == str(tmp_path / "ca.pem")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="file not found"):
        Block.model_validate({"file": "ca.pem"}, context={"directory": tmp_path})
    with pytest.raises(ValidationError, match="is a directory"):
        Block.model_validate({"file": "."}, context={"directory": tmp_path})


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (4300, "4.2KB"),
        (1024**2 - 1, "1.0MB"),
        (1024**3 - 1, "1.0GB"),
        (5 * 1024**4, "5120.0GB"),
    ],
)
def test_sizes(size_bytes: int, expected: str) -> None:
    assert format_size(size_bytes) == expected

"""What is read, byte by byte; what YAML may hold is in the golden cases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmproxy.config.document import MAX_DOCUMENT_BYTES, from_python, parse_yaml, read
from llmproxy.config.problems import Mark

PLAIN = "server:\n  port: 3000\n"


def report(path: Path) -> str:
    node, problems = read(path, "x.yaml")
    assert (node is None) == bool(problems)
    return "\n".join(map(str, problems)) or repr(node and node.plain())


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r\n").encode("utf-8-sig"),
        PLAIN.replace("\n", "\r").encode(),
    ],
    ids=["plain", "byte-order mark", "UTF-16", "CRLF", "CRLF with byte-order mark", "CR"],
)
def test_byte_order_marks_and_line_ends_do_not_matter(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    assert report(tmp_path / "x.yaml") == "{'server': {'port': 3000}}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_places_are_right_whatever_the_line_ends(tmp_path: Path, end: str, mark: str) -> None:
    (tmp_path / "x.yaml").write_bytes(f"{mark}a: ü{end}b: 1{end}b: 2{end}".encode())
    node, problems = read(tmp_path / "x.yaml", "x.yaml")
    assert node
    assert node.members["a"].mark == Mark(source="x.yaml", line=1, column=4)
    assert str(problems[0]) == "x.yaml:3:1: b: duplicate key; the first one is on line 2"


def test_a_mark_at_the_very_first_byte_does_not_move_the_column(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: {b: [}")
    assert report(tmp_path / "x.yaml").startswith("x.yaml:1:9: is not valid YAML")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a: 1\nb: caf\xe9\n", "x.yaml:2:7: is not UTF-8 (byte 0xE9); save the file as UTF-8"),
        (b"\x80", "x.yaml:1:1: is not UTF-8 (byte 0x80); save the file as UTF-8"),
        (b"a: 1\n\xff", "x.yaml:2:1: is not UTF-8 (byte 0xFF); save the file as UTF-8"),
        (b"a: \x00", "x.yaml:1:4: is not valid YAML: the character U+0000 is not allowed in YAML; remove it"),
        (b"\xff\xfe\x00", "x.yaml:1:1: is not UTF-8 (byte 0x00); save the file as UTF-8"),
    ],
)
def test_what_is_no_text_is_reported_with_its_place(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    assert report(tmp_path / "x.yaml") == text


def test_a_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"# " + b"x" * 10 * 1024 * 1024)
    assert report(tmp_path / "x.yaml") == "x.yaml: is longer than 1024 KB; a configuration must be shorter"


def test_a_file_of_just_the_longest_length_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: 1 #".ljust(MAX_DOCUMENT_BYTES, b"x"))
    assert report(tmp_path / "x.yaml") == "{'a': 1}"


def test_what_is_no_file_is_reported(tmp_path: Path) -> None:
    assert report(tmp_path / "nowhere.yaml") == "x.yaml: file not found"
    assert report(tmp_path) == "x.yaml: is a directory, not a file"
    assert report(tmp_path / "nowhere.yaml" / "x.yaml") == "x.yaml: file not found"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everybody may read everything here")
def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").touch(mode=0)
    assert report(tmp_path / "x.yaml") == "x.yaml: cannot be read: permission denied"


def test_a_fault_while_reading_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert report(tmp_path / "x.yaml") == "x.yaml: cannot be read: permission denied"


def test_nesting_without_end_is_refused() -> None:
    node, problems = parse_yaml("[" * 20000, "x.yaml")
    assert node is None
    assert str(problems[0]) == "x.yaml: is nested too deeply"


def test_aliases_stand_for_their_anchors() -> None:
    node, problems = parse_yaml("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n", "x.yaml")
    assert node and not problems
    assert node.plain() == {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}, {"k": 1}]}
    assert node.members["c"].items[1].members["k"].key == "c[1].k"


def test_merge_keys_add_what_is_missing_and_the_first_wins() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {y: 4, <<: *a}\n"
    node, problems = parse_yaml(text, "x.yaml")
    assert node and not problems
    assert node.plain()["c"] == {"x": 3, "y": 1, "z": 2}
    assert node.plain()["d"] == {"y": 4, "x": 1}


def test_python_values_become_a_tree_with_paths() -> None:
    node = from_python({"providers": ({"name": "a", "priority": 2},), "path": Path("x")}, "config")
    assert node.plain() == {"providers": [{"name": "a", "priority": 2}], "path": "x"}
    priority = node.members["providers"].items[0].members["priority"]
    assert (priority.key, str(priority.mark), priority.text) == ("providers[0].priority", "config", "2")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-1", -1),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("null", None),
        ("~", None),
        ("!!str 12", "12"),
        ("!!int abc", "abc"),
        ("'12'", "12"),
        ("9" * 5000, "9" * 5000),
        *((word, word) for word in ("yes", "off", "0x1F", "0o17", "1_000", "1:30", "2024-10-21", "1.2.3", "=", "+")),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    node, problems = parse_yaml(f"key: {written}", "x.yaml")
    assert node and not problems
    assert node.plain() == {"key": value}


def test_json_may_have_tabs_and_comments_and_keeps_its_positions(tmp_path: Path) -> None:
    text = '/* one\n */ {\n\t"a": "x // y\\t/* z */", // two\n\t"b": [1,\n\t\t{"c": "https://h/p"}],\n}\n'
    (tmp_path / "x.json").write_text(text)
    tree, problems = read(tmp_path / "x.json", "x.json")
    assert tree is not None and not problems
    assert tree.plain() == {"a": "x // y\t/* z */", "b": [1, {"c": "https://h/p"}]}
    assert (tree.members["b"].items[1].members["c"].mark.line, tree.members["a"].mark.column) == (5, 7)


def test_yaml_in_braces_is_not_taken_for_json(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("{providers: [{name: a, base_url: http://h//p}]}\n")
    tree, _ = read(tmp_path / "x.yaml", "x.yaml")
    assert tree is not None
    assert tree.plain()["providers"][0]["base_url"] == "http://h//p"

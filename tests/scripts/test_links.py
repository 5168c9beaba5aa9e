"""The search for dead links."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.links import anchors, problems

PAGES = {"README.md": "[a](docs/a.md) [web](https://x.example/y) `[x](y)`", "docs/a.md": "# One\n\n## Two of `it`\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "y").touch()
    return tmp_path


def found(root: Path, addition: str) -> list[str]:
    return list(problems({**PAGES, "docs/a.md": PAGES["docs/a.md"] + addition}, root))


@pytest.mark.parametrize(
    "link", ["", "[a](#two-of-it)", "[b](a.md#one)", "[c](../README.md)", "```\n[d](none.md)\n```"]
)
def test_living_links_are_fine(root: Path, link: str) -> None:
    assert found(root, link) == []


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](b.md)", "the link b.md is dead: there is no file docs/b.md"),
        ('<img src="x.svg">', "the link x.svg is dead: there is no file docs/x.svg"),
        ("[a](#three)", "the link #three is dead: docs/a.md has no heading of that name"),
        ("[a](../README.md#one)", "the link ../README.md#one is dead: README.md has no heading of that name"),
    ],
)
def test_dead_links_are_reported(root: Path, link: str, complaint: str) -> None:
    assert found(root, link) == [f"docs/a.md: {complaint}"]


def test_a_page_that_nothing_links_to_is_reported(root: Path) -> None:
    assert list(problems({**PAGES, "docs/c.md": ""}, root)) == ["docs/c.md: no page links to it"]


def test_anchors_are_those_of_github() -> None:
    assert anchors("# Who, what?\n```sh\n# no heading\n```\n## `llmproxy keys` and more\n") == {
        "who-what",
        "llmproxy-keys-and-more",
    }

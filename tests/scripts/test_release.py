from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from llmproxy import __version__
from llmproxy.cli.version import BUILD
from scripts import release
from tests.support.program import ROOT

CHANGELOG = "# Changelog\n\nWords.\n\n## 1.2.3 (2026-11-30)\n\n* New.\n  More.\n\n## 1.2.2 (2026-10-01)\n\n* Old.\n"


def test_the_newest_section_is_the_text_of_the_release() -> None:
    assert release.notes(CHANGELOG, "1.2.3", "v1.2.3") == "* New.\n  More."


@pytest.mark.parametrize(
    ("changelog", "version", "tag", "reason"),
    [
        (CHANGELOG, "1.2.4", "v1.2.4", "is not that of 1.2.4"),
        (CHANGELOG.replace("2026-11-30", "not released"), "1.2.3", "v1.2.3", "'not released' in place of the day"),
        (CHANGELOG, "1.2.3", "v1.2.4", "the tag v1.2.4 is not v1.2.3"),
        ("", "1.2.3", "v1.2.3", "is not that of 1.2.3"),
    ],
)
def test_version_changelog_and_tag_must_agree(changelog: str, version: str, tag: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        release.notes(changelog, version, tag)


def test_the_changelog_of_this_project_has_a_section_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = changelog.replace("(not released)", "(2026-11-30)", 1)
    assert release.notes(dated, __version__, f"v{__version__}").startswith("* ")


def test_wheel_and_source_archive_hold_exactly_what_they_should(tmp_path: Path) -> None:
    wheel, archive = release.build(tmp_path)
    assert (wheel.name, archive.name) == (f"llmproxy-{__version__}-py3-none-any.whl", f"llmproxy-{__version__}.tar.gz")
    names = release.names_in(wheel)
    assert {"llmproxy/docs/running.md", "llmproxy/server/pages/assets/reference.js", f"llmproxy/{BUILD}"} <= names
    assert not [name for name in names if name.startswith(("tests", "scripts")) or name.endswith(".pyc")]
    with zipfile.ZipFile(wheel) as opened:
        metadata = opened.read(f"llmproxy-{__version__}.dist-info/METADATA").decode()
        assert "llmproxy.cli:main" in opened.read(f"llmproxy-{__version__}.dist-info/entry_points.txt").decode()
    assert f"\nVersion: {__version__}\n" in metadata and "\nLicense-Expression: MIT\n" in metadata


def test_a_file_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "expected_in_wheel", lambda: frozenset({"llmproxy/missing.py"}))
    with pytest.raises(SystemExit, match=r"lacks or should not have: .*llmproxy/missing\.py"):
        release.build(tmp_path)

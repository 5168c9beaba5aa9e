from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy import __version__
from llmproxy.cli.version import BUILD, describe_version


@pytest.mark.parametrize(
    ("build", "shown"),
    [
        ('{"commit": "1a2b3c4d5e6f", "built": "2026-11-30"}', " (commit 1a2b3c4d5e6f, built 2026-11-30)"),
        ('{"commit": "", "built": "2026-11-30"}', " (built 2026-11-30)"),
        ("{", ""),
    ],
)
def test_a_build_has_its_commit_and_day(tmp_path: Path, build: str, shown: str) -> None:
    (tmp_path / BUILD).write_text(build)
    assert describe_version(tmp_path) == f"llmproxy {__version__}{shown}"


def test_a_checkout_has_its_version_alone() -> None:
    assert describe_version() == f"llmproxy {__version__}"

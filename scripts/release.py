"""Make what is released: `python -m scripts.release notes --tag v1.2.3` prints the text of the release,
`python -m scripts.release build --into dist` makes the wheel and the source archive, and checks what they hold.

The version is `llmproxy.__version__` and nothing else; the newest section of the changelog and the tag must name it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from flit_core import buildapi

from llmproxy import __version__
from llmproxy.cli.version import BUILD
from scripts.executable.bundle import describe_build

ROOT = Path(__file__).parents[1]
BESIDE = frozenset({"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"})
_SECTION = re.compile(
    r"^## (?P<version>\S+) \((?P<date>[^)]+)\)\n+(?P<text>.*?)\s*(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Ends the program with the reason when something does not fit together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notes").add_argument("--tag", required=True)
    commands.add_parser("build").add_argument("--into", type=Path, default=ROOT / "dist")
    parsed = parser.parse_args(arguments)
    if parsed.command == "notes":
        print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__, parsed.tag))
    else:
        for path in build(parsed.into):
            print(path)


def notes(changelog: str, version: str, tag: str) -> str:
    """Return the newest section of the changelog. Ends the program unless it and the tag are those of `version`."""
    section = _SECTION.search(changelog)
    if section is None or section["version"] != version:
        sys.exit(f"the newest section of CHANGELOG.md is not that of {version}")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", section["date"]):
        sys.exit(f"CHANGELOG.md has {section['date']!r} in place of the day of the release of {version}")
    if tag != f"v{version}":
        sys.exit(f"the tag {tag} is not v{version}, the version in llmproxy/__init__.py")
    return section["text"]


def build(folder: Path) -> list[Path]:
    """Make the wheel and the source archive in `folder`, from a copy of what git knows. Ends the program when one holds
    too little or too much.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llmproxy-release-") as name, contextlib.chdir(name):
        for each in (*_package(), *BESIDE):
            Path(each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / each, each)
        Path("llmproxy", BUILD).write_text(json.dumps(describe_build()), encoding="utf-8")
        wheel, archive = folder / buildapi.build_wheel(str(folder)), folder / buildapi.build_sdist(str(folder))
    for path, expected in ((wheel, expected_in_wheel()), (archive, expected_in_archive())):
        if wrong := sorted(names_in(path) ^ expected):
            sys.exit(f"{path.name} lacks or should not have: {', '.join(wrong)}")
    return [wheel, archive]


def names_in(path: Path) -> frozenset[str]:
    """Return the names of the files in a wheel or a source archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return frozenset(wheel.namelist())
    with tarfile.open(path) as archive:
        return frozenset(each.name for each in archive.getmembers() if each.isfile())


def expected_in_wheel() -> frozenset[str]:
    """Return what the wheel has to hold: the package as git knows it, and its metadata."""
    names = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    return frozenset(
        (*_package(), f"llmproxy/{BUILD}", *(f"llmproxy-{__version__}.dist-info/{name}" for name in names))
    )


def expected_in_archive() -> frozenset[str]:
    """Return what the source archive has to hold: what the wheel is made of, and what a reader looks for first."""
    return frozenset(
        f"llmproxy-{__version__}/{name}" for name in (*_package(), *BESIDE, f"llmproxy/{BUILD}", "PKG-INFO")
    )


def _package() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "llmproxy"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


if __name__ == "__main__":
    main()

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llmproxy import __version__
from scripts.executable import materials
from scripts.executable.materials import Contents, bill, library_of, licence_of, licence_texts, packages_of

MODULES = {"yaml", "aiohttp.web", "google.auth._helpers", "multidict._multidict"}


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    (tmp_path / "llmproxy").write_bytes(b"a program")
    libraries = (library_of("libssl.so.3", b"ssl"), library_of("libother.so", b""))
    return Contents(program=tmp_path / "llmproxy", packages=packages_of(MODULES), libraries=libraries)


def test_packages_are_those_whose_modules_are_in_the_file_and_the_loader(contents: Contents) -> None:
    names = [each.metadata["Name"] for each in contents.packages]
    assert names == ["aiohttp", "google-auth", "multidict", "pyinstaller", "PyYAML"]


def test_each_package_has_a_licence_and_most_a_text(contents: Contents) -> None:
    found = {each.metadata["Name"]: (licence_of(each), bool(licence_texts(each))) for each in contents.packages}
    assert found["PyYAML"] == ("MIT", True) and found["aiohttp"] == ("Apache-2.0 AND MIT", True)
    assert found["pyinstaller"] == ("GPL-2.0-or-later WITH Bootloader-exception", True)


def test_a_library_is_known_by_its_name() -> None:
    assert library_of("lib/libssl.so.3", b"").licence == "Apache-2.0"
    assert library_of("VCRUNTIME140_1.dll", b"").title == "Microsoft Visual C++ runtime"
    assert library_of("libother.so", b"").licence == ""


def test_other_versions_than_those_of_the_lock_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements-dev.txt"
    lock.write_text(
        re.sub(r"^pyyaml==\S+", "pyyaml==0.1", materials.LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    monkeypatch.setattr(materials, "LOCK", lock)
    with pytest.raises(SystemExit, match=r"pyyaml .*; run scripts/setup dev"):
        packages_of(MODULES)


def test_the_bill_names_each_part_once_and_what_needs_it(contents: Contents) -> None:
    document = json.loads(json.dumps(bill(contents, {"commit": "1a2b3c", "built": "2026-11-30"})))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    assert document["metadata"]["component"]["purl"] == f"pkg:pypi/llmproxy@{__version__}"
    refs = [each["bom-ref"] for each in document["components"]]
    assert len(set(refs)) == len(refs)
    needed = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert {each for names in needed.values() for each in names} <= set(refs)
    aiohttp = next(each for each in refs if "/aiohttp@" in each)
    assert [each.partition("@")[0] for each in needed[aiohttp]] == ["pkg:pypi/multidict"]


def test_the_licences_are_one_text(contents: Contents, tmp_path: Path) -> None:
    materials.write_licences(contents, tmp_path / "licences.txt")
    text = (tmp_path / "licences.txt").read_text(encoding="utf-8")
    assert text.startswith(f"llmproxy {__version__}\n")
    assert "OpenSSL: Apache-2.0" in text and "libother.so: licence not known" in text

"""List what is in the executable: the licences of all of it, and a bill of materials (CycloneDX).

Nothing is looked up elsewhere: packages are those whose modules are in the file, versions and licences are those of the
environment, which must be those of the lock. Begin reading at `read_contents`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
import sysconfig
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from llmproxy import __version__
from scripts.executable.bundle import ROOT

LOCK = ROOT / "scripts" / "requirements-dev.txt"
_PINNED = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
_REQUIRED = re.compile(r"[\w.-]+")
_LICENCE_FILE = re.compile(r"(?:^|/)(?:licen[cs]e|copying|notice|authors)[\w.-]*$|/licenses/", re.IGNORECASE)
# Shared libraries of the interpreter and the system, by the beginning of their names: title and SPDX expression.
LIBRARIES = (
    ("libcrypto", "OpenSSL", "Apache-2.0"),
    ("libssl", "OpenSSL", "Apache-2.0"),
    ("libsqlite3", "SQLite", "blessing"),
    ("sqlite3", "SQLite", "blessing"),
    ("libpython", "CPython", "PSF-2.0"),
    ("python3", "CPython", "PSF-2.0"),
    ("libffi", "libffi", "MIT"),
    ("libz.", "zlib", "Zlib"),
    ("zlib", "zlib", "Zlib"),
    ("libbz2", "bzip2", "bzip2-1.0.6"),
    ("liblzma", "XZ Utils", "0BSD"),
    ("libexpat", "Expat", "MIT"),
    ("libuuid", "libuuid", "BSD-3-Clause"),
    ("libncurses", "ncurses", "X11"),
    ("libpanel", "ncurses", "X11"),
    ("libtinfo", "ncurses", "X11"),
    ("libmpdec", "libmpdec", "BSD-2-Clause"),
    ("libcrypt.", "libxcrypt", "LGPL-2.1-or-later"),
    ("libstdc++", "GCC runtime library", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("libgcc_s", "GCC runtime library", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("vcruntime", "Microsoft Visual C++ runtime", "LicenseRef-Microsoft-Visual-C-runtime"),
    ("msvcp", "Microsoft Visual C++ runtime", "LicenseRef-Microsoft-Visual-C-runtime"),
    ("ucrtbase", "Microsoft C runtime", "LicenseRef-Microsoft-C-runtime"),
    ("api-ms-win", "Microsoft C runtime", "LicenseRef-Microsoft-C-runtime"),
)
LOADER_LICENCE = "GPL-2.0-or-later WITH Bootloader-exception"  # only the loader is in the file
PYTHON_LICENCE = "https://docs.python.org/3/license.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A shared library that belongs to no package."""

    name: str
    title: str
    licence: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Hold what is in `program`: packages by name, and shared libraries of the interpreter and the system."""

    program: Path
    packages: tuple[metadata.Distribution, ...]
    libraries: tuple[Library, ...]


def read_contents(program: Path) -> Contents:
    """Return what is in the executable. Ends this program when a version is not that of the lock."""
    from PyInstaller.archive.readers import CArchiveReader

    archive = CArchiveReader(str(program))
    files = {name.replace("\\", "/"): name for name in archive.toc}
    modules = set(archive.open_embedded_archive("PYZ.pyz").toc)
    packages = packages_of(modules | {_module(name) for name in files})
    owned = {str(file) for each in packages for file in each.files or ()}
    libraries = tuple(
        library_of(name, archive.extract(stored))
        for name, stored in sorted(files.items())
        if archive.toc[stored][-1] == "b" and name not in owned and "lib-dynload/" not in name
        if not name.endswith(".pyd")
    )
    if unknown := [each.name for each in libraries if not each.licence]:
        print(f"  the licences of these libraries are not known: {', '.join(unknown)}", file=sys.stderr)
    return Contents(program=program, packages=packages, libraries=libraries)


def packages_of(modules: set[str]) -> tuple[metadata.Distribution, ...]:
    """Return the installed packages that have one of these modules, and PyInstaller, whose loader starts them."""
    found = {}
    for each in metadata.distributions():
        name = _normal(each.metadata["Name"])
        if name != "llmproxy" and (name == "pyinstaller" or any(_module(str(f)) in modules for f in each.files or ())):
            found[name] = each
    locked = {(_normal(name), version) for name, version in _PINNED.findall(LOCK.read_text(encoding="utf-8"))}
    if other := [f"{name} {each.version}" for name, each in found.items() if (name, each.version) not in locked]:
        sys.exit(f"these are not the versions of {LOCK.name}: {', '.join(sorted(other))}; run scripts/setup dev")
    return tuple(found[name] for name in sorted(found))


def library_of(name: str, data: bytes) -> Library:
    """Return what is known of a shared library; its title is its name and its licence "" when nothing is."""
    base = name.rpartition("/")[2].lower()
    known = [(title, licence) for begins, title, licence in LIBRARIES if base.startswith(begins)]
    title, licence = known[0] if known else (base, "")
    return Library(name=name, title=title, licence=licence, sha256=hashlib.sha256(data).hexdigest())


def write_licences(contents: Contents, path: Path) -> None:
    """Write the licences of everything in the executable, each with its text where the package has one."""
    parts = [f"llmproxy {__version__}\n\n{(ROOT / 'LICENSE').read_text(encoding='utf-8')}"]
    python = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    text = python.read_text(encoding="utf-8") if python.exists() else f"PSF-2.0: {PYTHON_LICENCE}\n"
    parts.append(f"CPython {platform.python_version()} and its standard library\n\n{text}")
    for each in contents.packages:
        texts = licence_texts(each) or [f"(The package has no text of its licence. {_home(each)})\n"]
        parts.append(f"{each.metadata['Name']} {each.version}: {licence_of(each)}\n\n" + "\n".join(texts))
    lines = sorted({f"{each.title}: {each.licence or 'licence not known'}" for each in contents.libraries})
    parts.append("Shared libraries of the interpreter and the system\n\n" + "\n".join(lines) + "\n")
    path.write_text(f"\n{'=' * 100}\n".join(parts), encoding="utf-8")


def licence_of(package: metadata.Distribution) -> str:
    """Return the licence of a package as it says it: an SPDX expression, a short text, or its classifiers."""
    if package.metadata["Name"] == "pyinstaller":
        return LOADER_LICENCE
    short = _field(package, "License").strip()
    classifiers = package.metadata.get_all("Classifier") or ()
    classified = [line.rpartition(" :: ")[2] for line in classifiers if "License ::" in line]
    if expression := _field(package, "License-Expression"):
        return expression
    return short if short and "\n" not in short and len(short) < 60 else ", ".join(classified) or "see its text"


def licence_texts(package: metadata.Distribution) -> list[str]:
    """Return the texts of a package's licences, as they are beside its metadata."""
    files = [file for file in package.files or () if ".dist-info/" in str(file) and _LICENCE_FILE.search(str(file))]
    return [file.read_text(encoding="utf-8") for file in sorted(files)]


def write_bill(contents: Contents, build: dict[str, str], path: Path) -> None:
    """Write the bill of materials of the executable: CycloneDX 1.6, as JSON."""
    path.write_text(json.dumps(bill(contents, build), indent=2) + "\n", encoding="utf-8")


def bill(contents: Contents, build: dict[str, str]) -> dict[str, Any]:
    """Return the bill of materials; `build` has the commit and the day."""
    checksum = hashlib.sha256(contents.program.read_bytes()).hexdigest()
    main = f"pkg:pypi/llmproxy@{__version__}"
    python = {"name": "cpython", "version": platform.python_version(), "licenses": [{"expression": "PSF-2.0"}]}
    components: list[dict[str, Any]] = [{"type": "platform", "bom-ref": "cpython", **python}]
    components += [_package(each) for each in contents.packages]
    components += [
        {
            "type": "library",
            "bom-ref": f"file:{each.name}",
            "name": each.title,
            "licenses": [{"license": {"name": each.licence or "not known"}}],
            "hashes": [{"alg": "SHA-256", "content": each.sha256}],
        }
        for each in contents.libraries
    ]
    refs = {_normal(each.metadata["Name"]): _purl(each) for each in contents.packages}
    dependencies = [{"ref": purl, "dependsOn": []} for purl in refs.values()]
    for entry, each in zip(dependencies, contents.packages, strict=True):
        entry["dependsOn"] = _needed(each, refs)
    own = {"ref": main, "dependsOn": ["cpython", *_needed(metadata.distribution("llmproxy"), refs)]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, checksum)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{build['built']}T00:00:00Z",
            "component": {
                "type": "application",
                "bom-ref": main,
                "name": "llmproxy",
                "version": __version__,
                "purl": main,
                "licenses": [{"license": {"id": "MIT"}}],
                "hashes": [{"alg": "SHA-256", "content": checksum}],
                "properties": [{"name": "llmproxy:commit", "value": build["commit"]}],
            },
        },
        "components": components,
        "dependencies": [own, *dependencies],
    }


def _package(package: metadata.Distribution) -> dict[str, Any]:
    expression = _field(package, "License-Expression")
    licence = {"expression": expression} if expression else {"license": {"name": licence_of(package)}}
    return {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.metadata["Name"],
        "version": package.version,
        "purl": _purl(package),
        "licenses": [licence],
    }


def _purl(package: metadata.Distribution) -> str:
    return f"pkg:pypi/{_normal(package.metadata['Name'])}@{package.version}"


def _needed(package: metadata.Distribution, refs: dict[str, str]) -> list[str]:
    names = {_normal(match[0]) for line in package.requires or () if (match := _REQUIRED.match(line))}
    return sorted(refs[name] for name in names if name in refs)


def _module(file: str) -> str:
    """Return the dotted name of the module in a file: of Python, or compiled."""
    path = Path(file)
    parts = [*path.parts[:-1], path.name.partition(".")[0]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _home(package: metadata.Distribution) -> str:
    urls = [line.partition(", ")[2] for line in package.metadata.get_all("Project-URL") or ()]
    return "See " + (_field(package, "Home-page") or next(iter(urls), "its page")) + "."


def _field(package: metadata.Distribution, name: str) -> str:
    return str((package.metadata.get_all(name) or [""])[0])

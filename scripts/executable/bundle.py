"""Make one executable file of the package, its dependencies and the standard library, with PyInstaller.

PyInstaller follows imports, but llmproxy names its components as strings, so every module of the package is collected.
So is the standard library, since a middleware or provider in a user's file may import any of it. Begin reading at
`bundle`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENTRY = Path(__file__).with_name("entry.py")
# Desktop and interpreter tools, modules for compilers and test runners, and bindings of the standard library to
# libraries under the GPL (readline, gdbm), or to some that no server needs.
LEFT_OUT = frozenset(
    {"_tkinter", "antigravity", "distutils", "ensurepip", "hypothesis", "idlelib", "lib2to3", "mypy", "pip", "pytest"}
    | {"setuptools", "test", "this", "tkinter", "turtle", "turtledemo", "_dbm", "_gdbm", "dbm.gnu", "dbm.ndbm", "nis"}
    | {"readline", "_testbuffer", "_testcapi", "_testclinic", "_testimportmultiple", "_testinternalcapi"}
    | {"_testmultiphase", "_testsinglephase", "_xxtestfuzz", "_ctypes_test", "xxlimited", "xxlimited_35"}
)
# Imported by name at run time, by google-auth and by the OpenTelemetry SDK.
NAMED_ELSEWHERE = (
    "google.oauth2.service_account",
    "google.auth.compute_engine",
    "opentelemetry.context.contextvars_context",
)
# botocore has the descriptions of all services, 28 MB; credentials need those of a few, 1.6 MB.
BOTOCORE_HOOK = """
from PyInstaller.utils.hooks import collect_data_files
services = [f"data/{name}/**/*" for name in ("signin", "sso", "sso-oidc", "sts")]
datas = collect_data_files("botocore", includes=["cacert.pem", "data/*.json*", *services])
"""


def bundle(program: Path, work: Path) -> dict[str, str]:
    """Make `program`, with temporary files in `work`. Return its commit and day. Ends the program when that fails."""
    build = describe_build()
    (work / "build.json").write_text(json.dumps(build), encoding="utf-8")
    hooks = work / "hooks"
    hooks.mkdir()
    (hooks / "hook-botocore.py").write_text(BOTOCORE_HOOK, encoding="utf-8")
    names = [*package_modules(), *standard_library(), *NAMED_ELSEWHERE]  # too many for a command line of Windows
    (hooks / "hook-llmproxy.py").write_text(f"hiddenimports = {names!r}\n", encoding="utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--onefile", "--console", "--name", program.stem, "--noconfirm"]
    command += ["--log-level", "WARN", "--distpath", str(program.parent), "--workpath", str(work)]
    command += ["--specpath", str(work), "--paths", str(ROOT), "--additional-hooks-dir", str(hooks)]
    command += ["--collect-data", "llmproxy", "--add-data", f"{work / 'build.json'}:llmproxy"]
    if sys.platform == "linux" and shutil.which("strip"):
        command.append("--strip")  # 30 MB less to unpack at each start
    for name in sorted(LEFT_OUT):
        command += ["--exclude-module", name]
    done = subprocess.run(
        [*command, str(ENTRY)],
        cwd=ROOT,
        env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(work / "cache")},  # two builds must not share it
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stdout + done.stderr
    missing = [line for line in said.splitlines() if "Hidden import" in line or " ERROR: " in line]
    if done.returncode != 0 or missing:
        sys.exit("\n".join(missing) if missing and done.returncode == 0 else said)
    return build


def describe_build() -> dict[str, str]:
    """Return `commit` (12 hex digits, with `-dirty` after changes; "" outside of git) and `built`, a day in UTC.

    SOURCE_DATE_EPOCH sets the day, for builds that can be repeated.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return {"commit": commit, "built": moment.date().isoformat()}


def package_modules() -> list[str]:
    """Return the names of all modules of llmproxy."""
    return ["llmproxy", *_below("llmproxy", [str(ROOT / "llmproxy")])]


def standard_library() -> list[str]:
    """Return the names of all modules of the standard library that this system has, but for `LEFT_OUT`."""
    found: list[str] = []
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        spec = importlib.util.find_spec(name)
        if spec is not None:
            found += [name, *_below(name, list(spec.submodule_search_locations or ()))]
    return found


def _below(package: str, folders: list[str]) -> Iterator[str]:
    """Yield the modules in a package, without importing any: some have effects, and some fail."""
    for each in pkgutil.iter_modules(folders):
        name = f"{package}.{each.name}"
        if name in LEFT_OUT or each.name in ("test", "tests", "__main__", "idle_test"):
            continue
        yield name
        if each.ispkg:
            yield from _below(name, [str(Path(folder, each.name)) for folder in folders])

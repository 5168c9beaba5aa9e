"""Build the executable: `python build.py` writes dist/llmproxy (dist/llmproxy.exe on Windows), and tests it.

The licences of all that is in it go beside it; `--sbom` adds a bill of materials. Needs the development environment.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
MAKE_IT = (
    "py -m venv .venv && .venv\\Scripts\\pip install -r scripts\\requirements-dev.txt && "
    ".venv\\Scripts\\pip install --no-deps -e ."
    if os.name == "nt"
    else "scripts/setup dev"
)
MOST_MEGABYTES = 60


def main() -> int:
    """Build the executable, test it, and print the results. A failure ends the program with the reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="the folder for the executable (dist)")
    parser.add_argument("--sbom", action="store_true", help="write llmproxy.cdx.json beside it: CycloneDX 1.6")
    parser.add_argument("--test-only", action="store_true", help="build nothing, test the executable that is there")
    arguments = parser.parse_args()
    if not all(importlib.util.find_spec(name) for name in ("PyInstaller", "llmproxy", "cryptography")):
        return _in_environment()
    folder: Path = arguments.into.resolve()
    program = folder / ("llmproxy.exe" if os.name == "nt" else "llmproxy")
    if not arguments.test_only:
        _build(program, sbom=arguments.sbom)
    _describe(program)

    from scripts.executable.trial import try_out

    try_out(program)
    return 0


def _build(program: Path, *, sbom: bool) -> None:
    from scripts.executable import bundle, materials

    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmproxy-build-") as work:
        build = bundle.bundle(program, Path(work))
    print(f"built in {time.monotonic() - began_s:.0f} s", flush=True)
    contents = materials.read_contents(program)
    materials.write_licences(contents, program.with_name("llmproxy-licenses.txt"))
    if sbom:
        materials.write_bill(contents, build, program.with_name("llmproxy.cdx.json"))


def _describe(program: Path) -> None:
    """Print size and checksum. Ends the program when it is too large."""
    data = program.read_bytes()
    megabytes = len(data) / 1e6
    print(f"{program}: {megabytes:.1f} MB, sha256 {hashlib.sha256(data).hexdigest()}", flush=True)
    if megabytes > MOST_MEGABYTES:
        sys.exit(f"it has more than {MOST_MEGABYTES} MB")


def _in_environment() -> int:
    """Do the same with the interpreter of the environment for development, or say how to make it."""
    if ENVIRONMENT.exists() and Path(sys.prefix) != ENVIRONMENT.parent.parent:
        return subprocess.call([str(ENVIRONMENT), __file__, *sys.argv[1:]])
    print(f"build.py needs the development environment. Make it in {ROOT} with:\n\n  {MAKE_IT}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

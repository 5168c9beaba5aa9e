"""`--version`: the version of the package, and of which commit and day the build is.

Whoever builds an executable, a wheel or an image leaves `build.json` in the package; a checkout has none.
"""

from __future__ import annotations

import json
from pathlib import Path

from llmproxy import __version__

BUILD = "build.json"
"""File of the package with the strings `commit` and `built`; either may be missing."""


def describe_version(package: Path | None = None) -> str:
    """Return `llmproxy 0.1.0 (commit 1a2b3c4d5e6f, built 2026-11-30)`, without what is not known."""
    try:
        build = json.loads(((package or Path(__file__).parent.parent) / BUILD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        build = {}
    parts = [f"{name} {build[name]}" for name in ("commit", "built") if build.get(name)]
    return f"llmproxy {__version__}" + (f" ({', '.join(parts)})" if parts else "")

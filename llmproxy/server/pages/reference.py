"""The page `/docs`, which shows `/openapi.json` to people: three files of this package, and nothing from elsewhere.

They say nothing of this server, so that everybody may have them; the document is for whom our other pages are for.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path

from llmproxy.answer import Answer
from llmproxy.server.pages.json_page import page_headers

_FOLDER = Path(__file__).with_name("assets")
# Everything from this server; `data:` is the empty icon.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML = "text/html; charset=utf-8"
ASSETS = {
    "/docs": ("reference.html", HTML),
    "/redoc": ("reference.html", HTML),
    "/docs/reference.css": ("reference.css", "text/css; charset=utf-8"),
    "/docs/reference.js": ("reference.js", "text/javascript; charset=utf-8"),
}
"""The files and their types, by path."""


async def reference_page(path: str) -> Answer:
    """Return the file at `path`, one of `ASSETS`."""
    name, content_type = ASSETS[path]
    headers = page_headers(content_type)
    headers["Content-Security-Policy"] = _POLICY
    return Answer(status=200, headers=headers, body=await asyncio.to_thread(_read, name))


@lru_cache(maxsize=len(ASSETS))
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()

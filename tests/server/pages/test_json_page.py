from __future__ import annotations

from pathlib import PurePosixPath

from llmproxy.server.pages.json_page import json_page
from llmproxy.server.secure_headers import SECURE_HEADERS


def test_a_page_is_indented_json_that_nobody_caches() -> None:
    answer = json_page({"path": PurePosixPath("/a"), "count": 1}, status=503)
    assert (answer.status, answer.body) == (503, b'{\n  "path": "/a",\n  "count": 1\n}\n')
    assert dict(answer.headers) == {"Content-Type": "application/json", **dict(SECURE_HEADERS)}
    assert answer.headers["Cache-Control"] == "no-store"
